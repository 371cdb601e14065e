"""Grade submissions one after the other, each locked in; nbgrader keeps the points."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from common import RECORD, Refused, course_folder, old_record, public, say
from execution import Limits, error, run
from nbgrader.converters import Autograde
from nbgrader.preprocessors import Execute, NbGraderPreprocessor
from processes import adopt_orphans, end_all
from submissions import Submission, find, grade_id, is_test, read
from traitlets.config import Config

HERE = Path(__file__).resolve().parent
STAGE = ".staging"


class IsolatedExecute(NbGraderPreprocessor):
    """In the place of nbgrader's ``Execute``: runs the notebook locked in, and leaves behind text and verdicts only."""

    job: tuple[Submission, Limits, dict] | None = None

    def preprocess(self, nb, resources):
        submission, limits, record = self.job
        tests = {index for index, cell in enumerate(nb.cells) if is_test(cell)}
        if submission.fault:
            record.update(state="not graded", reason=submission.fault)
            ran: set[int] = set()
        else:
            helpers = submission.source.parent / "helpers"
            outcome = run(nb, limits, [helpers] if helpers.is_dir() else [], set_up_again(nb.cells))
            ran = outcome.ran
            reason = outcome.stopped
            if outcome.timeouts and not reason:
                reason = f"{outcome.timeouts} cells were stopped after {limits.seconds:g} s."
            if tests - ran and not submission.fault:
                reason += f" {len(tests - ran)} of {len(tests)} tests did not run."
            record.update(
                state="stopped" if outcome.stopped else "graded", reason=reason.strip(), seconds=outcome.seconds
            )
        for index, cell in enumerate(nb.cells):
            if cell.cell_type == "code":
                cell.outputs = text_only(cell.outputs)
                if index in tests:
                    failed = [o for o in cell.outputs if o.output_type == "error"]
                    cell.outputs = (
                        failed if index in ran or failed else [error("NotRun", f"Not run. {record['reason']}")]
                    )
        return nb, resources


def set_up_again(cells: list) -> dict[int, str]:
    """The set-up, to run once more between an answer and its first test: an answer cannot keep a name that the tests use."""
    code = next((cell.source for cell in cells if grade_id(cell) == "_set-up"), "")
    after = {
        index for index, cell in enumerate(cells) if is_test(cell) and not any(map(is_test, cells[index - 1 : index]))
    }
    return dict.fromkeys(after, code) if code else {}


def text_only(outputs: list) -> list:
    """Outputs as plain text: no HTML, no script, no picture from elsewhere; at most 20,000 characters each."""
    kept = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = output.text[:20_000]
        elif output.output_type == "error":
            output.traceback = [str(line)[:5_000] for line in output.traceback[-12:]]
            output.evalue, output.ename = str(output.evalue)[:1_000], str(output.ename)[:100]
        else:
            text = str(output.get("data", {}).get("text/plain", ""))[:20_000]
            output = nbformat.v4.new_output("stream", name="stdout", text=text + "\n")
        kept.append(output)
    return kept


def autograde(root: Path, options: argparse.Namespace) -> None:
    """Grade what is new or has changed; whatever goes wrong with one submission stays with it."""
    limits = Limits(options.seconds, options.memory_mib, options.unsafe)
    isolation(root, limits)
    found, odd = find(root, options.assignment, options.student)
    for sentence in odd:
        say(note=sentence)
    adopt_orphans()
    for submission in found:
        place = root / "autograded" / submission.student / submission.assignment
        digest, kept = submission.digest, old_record(place)
        if not options.force and kept and kept.get("digest") == digest:
            say(student=submission.student, assignment=submission.assignment, kept=True, **public(kept))
            continue
        record: dict[str, Any] = {"digest": digest, "state": "graded", "reason": "", "review": []}
        try:
            read(submission)
            grade(root, submission, limits, record)
        except Exception as fault:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            record.update(
                state="not graded", reason=f"nbgrader failed ({type(fault).__name__}: {fault})"[:300], digest=""
            )
        finally:
            end_all()
            shutil.rmtree(root / STAGE, ignore_errors=True)
        record["review"] = submission.review
        (place / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        say(student=submission.student, assignment=submission.assignment, kept=False, **public(record))


def isolation(root: Path, limits: Limits) -> None:
    """Say how students' code is locked in; refuse if it cannot be."""
    if limits.unsafe:
        say(note="Students' code runs with all your rights (--unsafe).")
        return
    probe = subprocess.run([sys.executable, "-I", str(HERE / "sandbox.py"), "--probe"], capture_output=True, text=True,
                           check=False)  # fmt: skip
    able = json.loads(probe.stdout) if probe.returncode == 0 else {"landlock": 0, "readable": []}
    if able["landlock"] < 3:  # the first two let a file be truncated that cannot be opened
        has = f"version {able['landlock']} of Landlock" if able["landlock"] else "no Landlock"
        raise Refused(f"This system cannot lock students' code in (it has {has}; Linux from 6.2 has version 3); grade on "
                      "another machine, or add --unsafe in a container of your own.")  # fmt: skip
    for path in able["readable"]:
        if root.is_relative_to(path):
            raise Refused(f"The course lies in '{path}', which students' code may read; move it out of there.")
    if able["landlock"] < 6 and not able["namespaces"]:
        say(note=f"Landlock {able['landlock']} of this system does not forbid signals to your other programs.")


def grade(root: Path, submission: Submission, limits: Limits, record: dict) -> None:
    stage = root / STAGE / "submitted" / submission.student / submission.assignment
    stage.mkdir(parents=True)
    nbformat.write(submission.notebook, stage / f"{submission.assignment}.ipynb")
    shutil.rmtree(root / "autograded" / submission.student / submission.assignment, ignore_errors=True)
    config = Config()
    folder = course_folder(root, config, assignment_id=submission.assignment, student_id=submission.student,
                           submitted_directory=f"{STAGE}/submitted", ignore=["helpers", "__pycache__"])  # fmt: skip
    IsolatedExecute.job = (submission, limits, record)
    converter = Autograde(coursedir=folder, config=config, force=True, permissions=644)
    converter.autograde_preprocessors = [IsolatedExecute if step is Execute else step
                                         for step in converter.autograde_preprocessors]  # fmt: skip
    converter.start()
