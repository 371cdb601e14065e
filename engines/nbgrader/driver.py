"""nbgrader for a course of this book, run by the Python of ``.venv-nbgrader``: ``driver.py COMMAND COURSE [options]``.

Each line that it prints is JSON: what was done (``{"student": ...}``), a remark (``{"note": ...}``), or, as the last line, a
mistake of the user (``{"error": ...}``, exit status 2). It imports nothing of the book.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.modules.setdefault("rfc3987_syntax", None)  # see book/__init__.py: a second of every start, for nothing

import nbformat  # noqa: E402
from execution import Limits, adopt_orphans, end_all, error, run  # noqa: E402
from nbgrader.api import Gradebook, MissingEntry  # noqa: E402
from nbgrader.converters import Autograde, GenerateAssignment  # noqa: E402
from nbgrader.coursedir import CourseDirectory  # noqa: E402
from nbgrader.preprocessors import Execute, NbGraderPreprocessor  # noqa: E402
from submissions import Submission, find, grade_id, is_test, read  # noqa: E402
from traitlets.config import Config  # noqa: E402

STAGE = ".staging"
RECORD = "grading.json"


class Refused(Exception):
    """A mistake of the user, as one sentence."""


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def course_folder(root: Path, config: Config, **options: Any) -> CourseDirectory:
    return CourseDirectory(config=config, root=str(root), course_id=root.name, db_url=f"sqlite:///{root / 'gradebook.db'}",
                           **options)  # fmt: skip


def generate(root: Path, options: argparse.Namespace) -> None:
    """Student notebooks by nbgrader's own rules, and the gradebook that knows every test."""
    config = Config()
    config.ClearSolutions.code_stub = {"python": options.stub}
    config.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
    config.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
    for name in options.assignment.split(","):
        folder = course_folder(root, config, assignment_id=name)
        GenerateAssignment(coursedir=folder, config=config, force=True).start()
        say(assignment=name)


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
            submission.review += outcome.notes
            reason = outcome.stopped
            if outcome.timeouts and not reason:
                reason = f"{outcome.timeouts} cells were stopped after {limits.seconds:g} s."
            if tests - ran and not submission.fault:
                reason += f" {len(tests - ran)} of {len(tests)} tests did not run."
            record.update(state="stopped" if outcome.stopped else "graded", reason=reason.strip(), seconds=outcome.seconds)
        for index, cell in enumerate(nb.cells):
            if cell.cell_type == "code":
                cell.outputs = text_only(cell.outputs)
                if index in tests:
                    failed = [o for o in cell.outputs if o.output_type == "error"]
                    cell.outputs = failed if index in ran or failed else [error("NotRun", f"Not run. {record['reason']}")]
        return nb, resources


def set_up_again(cells: list) -> dict[int, str]:
    """The set-up, to run once more between an answer and its first test: an answer cannot keep a name that the tests use."""
    code = next((cell.source for cell in cells if grade_id(cell) == "_set-up"), "")
    after = {index for index, cell in enumerate(cells) if is_test(cell) and not any(map(is_test, cells[index - 1 : index]))}
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
        digest = submission.digest
        kept = old_record(place)
        if not options.force and kept and kept.get("digest") == digest:
            say(student=submission.student, assignment=submission.assignment, kept=True, **public(kept))
            continue
        record: dict[str, Any] = {"digest": digest, "state": "graded", "reason": "", "review": []}
        read(submission)
        try:
            grade(root, submission, limits, record)
        except Exception as fault:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            record.update(state="not graded", reason=f"nbgrader failed ({type(fault).__name__}: {fault})"[:300], digest="")
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
    if not able["landlock"]:
        raise Refused("This system cannot lock students' code in (it has no Landlock; Linux from 5.13 has); grade on another "
                      "machine, or add --unsafe in a container of your own.")  # fmt: skip
    for path in able["readable"]:
        if root.is_relative_to(path):
            raise Refused(f"The course lies in '{path}', which students' code may read; move it out of there.")
    if able["landlock"] < 4 and not able["namespaces"]:
        say(note=f"Landlock {able['landlock']} of this system does not forbid network connections.")
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


def old_record(place: Path) -> dict | None:
    try:
        return json.loads((place / RECORD).read_text())
    except (OSError, ValueError):
        return None


def public(record: dict) -> dict:
    return {name: record.get(name) for name in ("state", "reason", "review", "seconds")}


def grades(root: Path, options: argparse.Namespace) -> None:
    """One line for each student and assignment, from the gradebook."""
    with Gradebook(f"sqlite:///{root / 'gradebook.db'}") as book:
        for place in sorted((root / "autograded").glob("*/*")):
            student, assignment = place.parent.name, place.name
            record = old_record(place)
            if record is None:
                continue
            try:
                submission = book.find_submission(assignment, student)
            except MissingEntry:
                total = book.find_assignment(assignment).max_score
                say(student=student, assignment=assignment, points=0.0, out_of=total, problems={}, **public(record))
                continue
            problems: dict[str, list[float]] = {}
            for part in submission.notebooks:
                for cell in part.grades:
                    has = problems.setdefault(cell.name.partition("_")[0], [0.0, 0.0])
                    has[0] += cell.score or 0.0
                    has[1] += cell.max_score or 0.0
            say(student=student, assignment=assignment, points=submission.score, out_of=submission.max_score,
                problems=problems, **public(record))  # fmt: skip


def feedback(root: Path, options: argparse.Namespace) -> None:
    from feedback import make

    for place in sorted((root / "autograded").glob("*/*")):
        record = old_record(place)
        if record is None or options.assignment not in (None, place.name) or options.student not in (None, place.parent.name):
            continue
        if (place / f"{place.name}.ipynb").is_file():
            folder = course_folder(root, Config(), assignment_id=place.name, student_id=place.parent.name)
            say(student=place.parent.name, assignment=place.name,
                file=str(make(folder, record, show_hidden=options.show_hidden)))  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=("generate", "autograde", "feedback", "grades"))
    parser.add_argument("course", type=Path)
    parser.add_argument("--stub", default="raise NotImplementedError()")
    parser.add_argument("--assignment")
    parser.add_argument("--student")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--memory-mib", type=int, default=1024)
    for switch in ("--unsafe", "--force", "--show-hidden"):
        parser.add_argument(switch, action="store_true")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.CRITICAL)
    logging.getLogger("traitlets").setLevel(logging.ERROR)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        globals()[options.command](options.course.resolve(), options)
    except Refused as refusal:
        say(error=str(refusal))
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        end_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
