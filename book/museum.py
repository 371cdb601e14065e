"""The bug museum: faults planted into the chapters' own code, each caught by a claim that is named.

``book/data/bugs.yml`` holds one row per fault. The same row makes three things: a case notebook for the reader (the
chapter with the fault, and no word about where it is), a card on the page of the museum, and a test that plants the
fault and demands that the named claim is the first to fail.
"""

from __future__ import annotations

import copy
import html
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell

from book import BookError
from book.paths import Paths

FIELDS = ("id", "chapter", "cell", "find", "replace", "symptom", "hint", "explanation", "caught_by")


def read(paths: Paths) -> list[dict[str, Any]]:
    """The rows, in the order in which the museum shows them.

    Raises
    ------
    BookError
        If a row lacks a field, or its fault does not fit the notebook: no such cell, or the text is not there once.
    """
    from book import ledger

    rows = ledger.read_rows(paths, "bugs")
    for row in rows:
        missing = [name for name in FIELDS if not str(row.get(name, "")).strip()]
        if missing:
            raise BookError(f"bugs.yml: the row '{row['id']}' lacks {', '.join(missing)}; add it.")
        file = paths.notebooks / f"{row['chapter']}.ipynb"
        if not file.is_file():
            raise BookError(
                f"bugs.yml: the row '{row['id']}' names the chapter '{row['chapter']}', which is not there."
            )
        plant(nbformat.read(file, as_version=4), row)
    return rows


def plant(notebook: nbformat.NotebookNode, row: dict[str, Any]) -> nbformat.NotebookNode:
    """A copy of the notebook with the fault of ``row`` in it."""
    planted = copy.deepcopy(notebook)
    cells = [c for c in planted.cells if c.get("id") == row["cell"] and c.cell_type == "code"]
    if len(cells) != 1 or cells[0].source.count(row["find"]) != 1:
        raise BookError(f"bugs.yml: '{row['id']}' wants to change '{row['find']}' in the cell '{row['cell']}' of "
                        f"{row['chapter']}, which does not have this text exactly once; correct the row.")  # fmt: skip
    cells[0].source = cells[0].source.replace(row["find"], row["replace"])
    return planted


def name(number: int) -> str:
    """File of a case. It says nothing about the fault."""
    return f"case-{number:02d}.ipynb"


def case(notebook: nbformat.NotebookNode, row: dict[str, Any], number: int) -> nbformat.NotebookNode:
    """What a reader gets: the planted notebook, with the task in front."""
    planted = plant(notebook, row)
    task = (
        f"# Case {number:02d} of the bug museum\n\nOne line of this copy of chapter `{row['chapter']}` was changed. "
        f"{line(row['symptom'])}\n\nRun it from top to bottom until a claim fails. Find the line, repair it, and run on. "
        "Open the notebook with `make lab`, so that it finds the package `helpers`."
    )
    planted.cells.insert(0, new_markdown_cell(task, id="case"))
    return planted


def cards(rows: list[dict[str, Any]], chapters: dict[str, str], claim_link) -> str:
    """The page's body: one card per case; hint and answer are folded."""
    parts, chapter = [], None
    for number, row in enumerate(rows, start=1):
        if row["chapter"] != chapter:
            chapter = row["chapter"]
            parts += [f"## Cases from chapter {chapters.get(chapter, chapter)}", ""]
        removed = "\n".join(f"- {one}" for one in row["find"].splitlines())
        added = "\n".join(f"+ {one}" for one in row["replace"].splitlines())
        parts += [
            f"### Case {number:02d}",
            "",
            line(row["symptom"]),
            "",
            f"<p>The first claim that fails: {claim_link(row['caught_by'])}. "
            f'<a href="_static/cases/{name(number)}" download="{name(number)}">Download the case as a notebook</a></p>',
            "",
            "````{dropdown} Hint",
            line(row["hint"]),
            "````",
            "",
            f"````{{dropdown}} Answer to case {number:02d}",
            f"In the cell <code>{html.escape(row['cell'])}</code>:",
            "",
            "```diff",
            removed,
            added,
            "```",
            "",
            line(row["explanation"]),
            "````",
            "",
        ]
    return "\n".join(parts)


def line(text: str) -> str:
    return " ".join(str(text).split())
