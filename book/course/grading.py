"""Grading with nbgrader, which lives in an environment of its own; students' code runs locked in (``engines/nbgrader``)."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from book import BookError
from book.course.problems import STUB
from book.files import write_atomically
from book.paths import REPOSITORY

COLUMNS = ("student", "assignment", "points", "out_of", "state", "reason", "review", "problems")
_ENGINE = REPOSITORY / "engines" / "nbgrader"
PYTHON = REPOSITORY / ".venv-nbgrader" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def available() -> bool:
    """Whether ``.venv-nbgrader`` is there and is the one that its lock file describes."""
    stamp = REPOSITORY / ".venv-nbgrader" / "book-lock.sha256"
    lock = hashlib.sha256((_ENGINE / "requirements.lock").read_bytes()).hexdigest()
    return PYTHON.exists() and stamp.is_file() and stamp.read_text().startswith(lock)


def call(command: str, course: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run nbgrader's driver and yield what it reports, as it does.

    Raises
    ------
    BookError
        If the engine is absent, the driver refuses, or it fails; then with its last words.
    """
    if not available():
        raise BookError("nbgrader's environment '.venv-nbgrader' is absent or out of date; make it with: "
                        "python3 -m book setup --engine nbgrader")  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "JUPYTER"))}
    environment["PATH"] = f"{PYTHON.parent}{os.pathsep}{environment.get('PATH', '')}"  # nbgrader calls alembic by name
    log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed below); a pipe that nobody reads would fill up and stop the driver
    process = subprocess.Popen(
        [str(PYTHON), str(_ENGINE / "driver.py"), command, str(course), "--stub", STUB, *options],
        stdout=subprocess.PIPE, stderr=log, text=True, env=environment, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    refusal = ""
    try:
        for line in process.stdout:
            try:
                report = json.loads(line)
            except ValueError:
                continue  # a library's own words
            refusal = report.get("error", refusal)
            if "error" not in report:
                yield report
        status = process.wait()
        log.seek(0)
        words = log.read().strip().splitlines()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
        process.stdout.close()
        log.close()
    if refusal:
        raise BookError(refusal)
    if status:
        raise BookError(f"nbgrader failed in '{course}'; its last words: {(words or ['none'])[-1]}")


@contextmanager
def opened(course: Path) -> Iterator[Path]:
    """A course folder that nobody else is working on.

    Raises
    ------
    BookError
        If it is no course, or another command is at work in it.
    """
    course = course.resolve()
    if not (course / "kit.json").is_file() or not (course / "gradebook.db").is_file():
        raise BookError(f"'{course}' is no course; make one with: python -m book course make --output {course.name}")
    lock = FileLock(course / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise BookError(f"Another command is at work in '{course}'; wait until it ends.") from None
    try:
        yield course
    finally:
        lock.release()


def grade(course: Path, *, assignment: str | None, student: str | None, seconds: float, memory_mib: int, unsafe: bool,
          force: bool) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Grade what students have handed in, and yield a report on each submission."""
    if not 1 <= seconds <= 3600:
        raise BookError(f"--seconds {seconds:g} is no time limit for a cell; give a number from 1 to 3600.")
    if not 256 <= memory_mib <= 2**20:
        raise BookError(
            f"--memory-mib {memory_mib} is no limit that NumPy can work with; give a number from 256 to {2**20}."
        )
    with opened(course) as folder:
        options = ["--seconds", str(seconds), "--memory-mib", str(memory_mib)]
        options += [*_chosen(folder, assignment, student), *["--unsafe"] * unsafe, *["--force"] * force]
        yield from call("autograde", folder, *options)


def feedback(
    course: Path, *, assignment: str | None, student: str | None, show_hidden: bool
) -> Iterator[dict[str, Any]]:
    """Write the feedback pages of graded submissions, and yield the place of each."""
    with opened(course) as folder:
        yield from call("feedback", folder, *_chosen(folder, assignment, student), *["--show-hidden"] * show_hidden)


def grades(course: Path, output: Path) -> list[dict[str, Any]]:
    """Write the grades as CSV, one line for each student and assignment; returns the lines."""
    with opened(course) as folder:
        rows = list(call("grades", folder))
    if output.is_dir():
        raise BookError(f"'{output}' is a folder; give the name of a file for the grades.")
    write_atomically(output, table(rows))
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Grades as CSV. ``problems`` lists points of points; ``review`` what a human should look at, if anything."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in sorted(rows, key=lambda row: (row["assignment"], row["student"])):
        problems = [f"{name} {has:g}/{of:g}" for name, (has, of) in row["problems"].items()]
        cells = [row["student"], row["assignment"], f"{row['points']:g}", f"{row['out_of']:g}", row["state"], row["reason"],
                 "; ".join(row["review"]), "; ".join(problems)]  # fmt: skip
        # A cell that begins with one of these is a formula to a spreadsheet.
        writer.writerow([f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t") else cell for cell in cells])
    return text.getvalue()


def _chosen(course: Path, assignment: str | None, student: str | None) -> list[str]:
    options = []
    for kind, name, folder in (("assignment", assignment, "source"), ("student", student, "submitted")):
        if name is None:
            continue
        known = sorted(entry.name for entry in (course / folder).glob("*") if entry.is_dir())
        if name not in known:
            raise BookError(f"There is no {kind} '{name}' in this course; there are: {', '.join(known) or 'none'}.")
        options += [f"--{kind}", name]
    return options
