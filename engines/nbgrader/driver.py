"""nbgrader for a course of this book, run by the Python of ``.venv-nbgrader``: ``driver.py COMMAND COURSE [options]``.

Each line that it prints is JSON: what was done (``{"student": ...}``), a remark (``{"note": ...}``), or, as the last line, a
mistake of the user (``{"error": ...}``, exit status 2). It imports nothing of the book.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from pathlib import Path

sys.modules.setdefault("rfc3987_syntax", None)  # see book/__init__.py: a second of every start, for nothing

from autograde import autograde  # noqa: E402
from common import Refused, course_folder, old_record, public, say  # noqa: E402
from nbgrader.api import Gradebook, MissingEntry  # noqa: E402
from nbgrader.converters import GenerateAssignment  # noqa: E402
from processes import end_all  # noqa: E402
from traitlets.config import Config  # noqa: E402


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
        if (
            record is None
            or options.assignment not in (None, place.name)
            or options.student not in (None, place.parent.name)
        ):
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
    commands = {"generate": generate, "autograde": autograde, "feedback": feedback, "grades": grades}
    try:
        commands[options.command](options.course.resolve(), options)
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
