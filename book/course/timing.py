"""How long a section takes in class, by a rule of thumb that is stated on the page: nobody has measured it with students."""

from __future__ import annotations

import re
from dataclasses import dataclass

import nbformat

WORDS_PER_MINUTE = 130  # reading a technical text in a second language
MINUTES_PER_CELL = 1.0  # running a cell, looking at what it shows, one question
MINUTES = {"easy": 10, "medium": 20, "hard": 40}  # one problem or exercise, alone
NOT_TAUGHT = ("Quiz", "Exercises", "Further reading")


@dataclass(frozen=True)
class Section:
    """A section of a chapter (heading of the second level) and the minutes it takes."""

    title: str
    minutes: float


def sections(notebook: nbformat.NotebookNode) -> list[Section]:
    """The sections that are taught, in order. Folded cells (checks, drawings, solutions) are not counted."""
    title, words, cells = "", 0, 0
    found: list[Section] = []

    def close() -> None:
        if title and title not in NOT_TAUGHT:
            found.append(Section(title, words / WORDS_PER_MINUTE + cells * MINUTES_PER_CELL))

    for cell in notebook.cells:
        if cell.cell_type == "code":
            tags = set(cell.metadata.get("tags", []))
            cells += not tags & {"hide-input", "hide-cell", "parameters", "remove-cell", "solution"}
            continue
        for line in cell.source.splitlines():
            if heading := re.match(r"## (.+)", line):
                close()
                title, words, cells = heading.group(1).strip(), 0, 0
            else:
                words += len(line.split())
    close()
    return found


def rounded(minutes: float) -> int:
    """To five minutes, and never to none."""
    return max(5, 5 * round(minutes / 5))


def in_class(minutes: float) -> float:
    """Minutes of teaching for minutes of reading: questions, predictions and runs take as long again."""
    return 2 * minutes
