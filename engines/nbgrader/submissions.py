"""What students have handed in: found, read with distrust, and laid into the notebook of the course.

Of a submission only the answers and the student's own cells are taken. Tasks, set-up and tests come from the course, so
that a test that was changed, moved or removed is run as the course has it.
"""

from __future__ import annotations

import copy
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell
from review import remarks

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
LARGEST = 10 * 2**20
BEGIN, END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


@dataclass
class Submission:
    """One student's notebook for one assignment."""

    student: str
    assignment: str
    file: Path
    source: Path
    fault: str = ""
    review: list[str] = field(default_factory=list)
    notebook: Any = None

    @property
    def digest(self) -> str:
        """Changes when the submission or the assignment does."""
        total = hashlib.sha256(self.source.read_bytes())
        total.update(self.file.read_bytes() if _plain(self.file) else self.fault.encode())
        return total.hexdigest()


def find(course: Path, assignment: str | None, student: str | None) -> tuple[list[Submission], list[str]]:
    """The submissions that lie in ``submitted/STUDENT/ASSIGNMENT/``, and sentences about what is out of place."""
    found, odd = [], []
    known = {
        file.parent.name: file
        for file in sorted((course / "source").glob("*/*.ipynb"))
        if file.stem == file.parent.name
    }
    for folder in sorted((course / "submitted").glob("*")):
        if not folder.is_dir() or folder.is_symlink() or not NAME.fullmatch(folder.name):
            odd.append(f"submitted/{folder.name} is not the folder of a student (letters, digits, dots, dashes).")
            continue
        if student not in (None, folder.name):
            continue
        for place in sorted(folder.glob("*")):
            if place.name not in known:
                odd.append(f"submitted/{folder.name}/{place.name} belongs to no assignment of this course.")
            elif assignment in (None, place.name):
                found.append(_locate(folder.name, place, known[place.name]))
    return found, odd


def _plain(file: Path) -> bool:
    return file.is_file() and not file.is_symlink() and not file.parent.is_symlink()


def _locate(student: str, place: Path, source: Path) -> Submission:
    name = f"{place.name}.ipynb"
    submission = Submission(student, place.name, place / name, source)
    if place.is_symlink() or not place.is_dir():
        submission.fault = "The submission is a link or a file, not a folder."
    elif not (place / name).exists() and not (place / name).is_symlink():
        others = sorted(file.name for file in place.iterdir())[:3]
        submission.fault = f"The folder has no file '{name}', only: {', '.join(others) or 'nothing'}."
    elif not _plain(place / name):
        submission.fault = f"'{name}' is a link, not a file."
    elif (place / name).stat().st_size > LARGEST:
        submission.fault = f"'{name}' is larger than {LARGEST // 2**20} MiB."
    return submission


def read(submission: Submission) -> None:
    """Fill in the notebook to grade; if the submission cannot be read, the empty assignment and the fault."""
    source = nbformat.read(submission.source, as_version=4)
    handed_in = nbformat.v4.new_notebook()
    if not submission.fault:
        try:
            handed_in = nbformat.reads(submission.file.read_text(encoding="utf-8"), as_version=4)
            nbformat.validate(handed_in)
        except Exception as error:  # whatever a hostile file makes the reader raise
            handed_in = nbformat.v4.new_notebook()
            submission.fault = f"The file is not a notebook ({type(error).__name__})."
    submission.notebook, notes = assemble(source, handed_in)
    if not submission.fault:
        submission.review += notes + remarks(source, submission.notebook)


def grade_id(cell) -> str:
    facts = cell.metadata.get("nbgrader", {})
    return str(facts.get("grade_id", "")) if isinstance(facts, dict) else ""


def is_test(cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade", False))


def is_answer(cell) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("solution", False))


def is_hidden(cell) -> bool:
    return is_test(cell) and BEGIN in cell.source


def assemble(source, handed_in) -> tuple[Any, list[str]]:
    """The course's notebook with a student's answers in it and the student's own cells at their places.

    Returns
    -------
    tuple of NotebookNode and list of str
        The notebook, and what a reviewer should know.
    """
    notes: list[str] = []
    answers: dict[str, str] = {}
    own: dict[str, list[Any]] = {}
    known = {grade_id(cell): cell for cell in source.cells if grade_id(cell)}
    tasks = {cell.source for cell in source.cells if not grade_id(cell)}
    last = ""
    for cell in handed_in.cells:
        name = grade_id(cell)
        if name in known:
            last = name
            if is_answer(known[name]) and name not in answers and cell.cell_type == "code":
                answers[name] = cell.source
                continue
            if not is_answer(known[name]):
                if shown(known[name]) != cell.source:
                    notes.append(f"'{name}' was changed; the original was run")
                continue
            notes.append(f"there is more than one cell '{name}'; they were run in order")
        elif cell.cell_type == "markdown" and cell.source in tasks:
            continue
        if cell.cell_type == "code" and cell.source.strip():
            own.setdefault(last, []).append(new_code_cell(cell.source))
        elif cell.cell_type == "markdown":
            own.setdefault(last, []).append(new_markdown_cell(cell.source))
    made = copy.deepcopy(source)
    cells = [*own.get("", [])]
    for cell in made.cells:
        name = grade_id(cell)
        if is_answer(cell):
            if handed_in.cells and name not in answers:
                notes.append(f"the answer cell '{name}' is missing")
            cell.source = answers.get(name, "raise NotImplementedError('There is no answer.')")
        cells.append(cell)
        cells += own.get(name, []) if name else []
    made.cells = cells
    return made, notes


def shown(cell) -> str:
    """A cell of the course as a student sees it: hidden tests are taken out."""
    lines, inside = [], False
    for line in cell.source.split("\n"):
        inside = inside or BEGIN in line
        if not inside:
            lines.append(line)
        inside = inside and END not in line
    return "\n".join(lines)
