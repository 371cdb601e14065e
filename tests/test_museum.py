"""Every fault of the bug museum is planted into its chapter, and the claim that the museum names must be the first to fail."""

from __future__ import annotations

import atexit
import contextlib
import copy
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import nbformat
import pytest

from book import BookError, museum
from book.paths import REPOSITORY, Paths
from conftest import wait_until

PATHS = Paths(REPOSITORY)
ROWS = museum.read(PATHS)
CHAPTERS = sorted({row["chapter"] for row in ROWS})

# Runs the code cells of each planted notebook in one process, until a claim fails. TensorFlow is imported once.
RUNNER = """
import contextlib, io, json, os, sys, traceback
if hasattr(os, "nice"):
    os.nice(19)
from helpers import datasets
from helpers.claims import ClaimFailed
for path in sys.argv[1:]:
    cells = json.load(open(path))["cells"]
    space, found, said = {"__name__": "__main__"}, "no claim failed", io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            for cell in cells:
                if cell["cell_type"] == "code":
                    exec("".join(cell["source"]), space)
        except ClaimFailed as failed:
            found = str(failed).split("] ", 1)[1].split(":", 1)[0]
        except Exception as error:
            found = "an error instead of a claim: " + "".join(traceback.format_exception_only(error)).strip()
    print("FOUND", json.dumps(found), flush=True)
"""


STARTED = "BOOK_MUSEUM"  # where the planted chapters run; workers that pytest starts inherit it


def start() -> Path:
    """Begin to run the planted chapters, one process per chapter, two at a time, at the lowest priority; returns where they report.

    They take minutes, so conftest calls this before the first test and runs the tests that wait for them last.
    """
    if STARTED in os.environ:
        return Path(os.environ[STARTED])
    folder = Path(tempfile.mkdtemp(prefix="museum-"))
    os.environ[STARTED] = str(folder)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    waiting: queue.SimpleQueue[tuple[Path, list[Path]]] = queue.SimpleQueue()
    for chapter in sorted(CHAPTERS, key=lambda c: -sum(row["chapter"] == c for row in ROWS)):
        rows, files = [row for row in ROWS if row["chapter"] == chapter], []
        clean = nbformat.read(PATHS.notebooks / f"{chapter}.ipynb", as_version=4)
        for row in rows:
            files.append(folder / f"{row['id']}.ipynb")
            planted = museum.plant(clean, row)
            # Cells that only measure time are left out: here several chapters run at once, at the lowest priority.
            planted.cells = [cell for cell in planted.cells if cell.id not in row.get("measures_only", ())]
            nbformat.write(planted, files[-1])
        waiting.put((folder / f"{chapter}.txt", files))
    for _ in range(2):
        threading.Thread(target=_run, args=(waiting,), daemon=True).start()
    return folder


def _run(waiting: queue.SimpleQueue[tuple[Path, list[Path]]]) -> None:
    """One after the other, until none is waiting."""
    with contextlib.suppress(queue.Empty):
        while True:
            said, files = waiting.get_nowait()
            with said.open("w") as out:
                process = subprocess.Popen(
                    [sys.executable, "-c", RUNNER, *map(str, files)], cwd=PATHS.root, stdout=out, stderr=out
                )
            atexit.register(process.kill)
            killed = process.wait() == -signal.SIGKILL  # by the end of the tests: start no other
            said.with_suffix(".end").touch()
            if killed:
                return


@pytest.fixture(scope="module")
def verdicts():
    """For each row, the first claim that fails when its fault is planted."""
    folder, found = start(), {}
    for chapter in CHAPTERS:
        rows, said = [row for row in ROWS if row["chapter"] == chapter], folder / f"{chapter}.txt"
        wait_until(said.with_suffix(".end").exists, f"the planted faults of {chapter}", 900)
        text = said.read_text(encoding="utf-8", errors="replace")
        lines = [json.loads(line.removeprefix("FOUND ")) for line in text.splitlines() if line.startswith("FOUND ")]
        assert len(lines) == len(rows), text[-2000:]
        found.update(zip([row["id"] for row in rows], lines, strict=True))
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_the_named_claim_catches_the_fault(row, verdicts):
    assert verdicts[row["id"]] == row["caught_by"]


@pytest.mark.parametrize("row", [row for row in ROWS if "measures_only" in row], ids=lambda row: row["id"])
def test_cells_that_only_measure_time_are_there_and_hold_no_caught_claim(row):
    clean = nbformat.read(PATHS.notebooks / f"{row['chapter']}.ipynb", as_version=4)
    cells = {cell.id: cell.source for cell in clean.cells}
    assert row["cell"] not in row["measures_only"]
    assert all(row["caught_by"] not in cells[name] for name in row["measures_only"])


def test_there_are_enough_faults_and_ids_are_unique():
    assert len(ROWS) >= 12
    assert len({row["id"] for row in ROWS}) == len(ROWS)
    assert len({row["caught_by"] for row in ROWS}) >= 10, "the museum should show many claims at work"
    assert {"03_backprop_math", "05_mnist"} <= set(CHAPTERS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_case_does_not_give_its_answer_away(row):
    clean = nbformat.read(PATHS.notebooks / f"{row['chapter']}.ipynb", as_version=4)
    number = ROWS.index(row) + 1
    case = museum.case(clean, row, number)
    nbformat.validate(case)
    assert row["id"] not in museum.name(number)
    assert row["id"] not in case.cells[0].source
    assert row["replace"] not in case.cells[0].source
    before, after = clean.cells, case.cells[1:]
    changed = [b.id for b, a in zip(before, after, strict=True) if b.source != a.source]
    assert changed == [row["cell"]]


def test_a_row_that_no_longer_fits_its_chapter_is_named():
    clean = nbformat.read(PATHS.notebooks / f"{ROWS[0]['chapter']}.ipynb", as_version=4)
    for change in ({"cell": "nowhere"}, {"find": "no such text"}):
        with pytest.raises(BookError, match="which does not have this text exactly once; correct the row"):
            museum.plant(clean, {**ROWS[0], **change})
    twice = copy.deepcopy(clean)
    for cell in twice.cells:
        if cell.id == ROWS[0]["cell"]:
            cell.source += "\n" + ROWS[0]["find"]
    with pytest.raises(BookError, match="exactly once"):
        museum.plant(twice, ROWS[0])
