"""Claims of the executed notebooks, and what they prove: errata of the article, capabilities of the coverage map."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nbformat
import yaml

from book import BookError
from book.paths import Paths

CLAIM = "application/vnd.book.claim+json"
DATA = "application/vnd.book.data+json"
VERDICTS = ("wrong", "misleading", "outdated", "incomplete", "unverifiable", "correct")


def claims_of(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """Claims recorded in an executed notebook, in order."""
    return _records(notebook, CLAIM)


def data_of(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """Data sets that an executed notebook loaded."""
    return _records(notebook, DATA)


def _records(notebook: nbformat.NotebookNode, mime: str) -> list[dict[str, Any]]:
    return [
        dict(output.data[mime])
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.get("outputs", [])
        if output.output_type in ("display_data", "execute_result") and mime in output.get("data", {})
    ]


def read_rows(paths: Paths, name: str) -> list[dict[str, Any]]:
    """Rows of ``book/data/<name>.yml`` (errata or coverage).

    Raises
    ------
    BookError
        If the file is missing or is not a list of rows with an id.
    """
    file = paths.data / f"{name}.yml"
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, yaml.YAMLError) as error:
        raise BookError(f"'{paths.show(file)}' cannot be read: {' '.join(str(error).split())}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
        raise BookError(f"'{paths.show(file)}' must be a list of rows that each have an id.")
    return rows


@dataclass
class Ledger:
    """All claims of a build, and the faults found when they are held against the errata and the coverage map."""

    claims: dict[str, dict[str, Any]] = field(default_factory=dict)
    chapter_of: dict[str, str] = field(default_factory=dict)
    proofs: dict[str, list[str]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def proven_by(self, row: dict[str, Any]) -> list[str]:
        """Ids of the claims that prove a row: those the row names and those that name the row."""
        return list(dict.fromkeys([*row.get("claims", []), *self.proofs.get(row["id"], [])]))


def build(
    claims: dict[str, list[dict[str, Any]]],
    errata: list[dict[str, Any]],
    coverage: list[dict[str, Any]],
    *,
    chapters_missing: frozenset[str] = frozenset(),
) -> Ledger:
    """Hold the claims of each chapter against the rows that they are to prove.

    Parameters
    ----------
    claims : dict of chapter name to list of claim
        From the executed notebooks.
    errata, coverage : list of rows
        See :func:`read_rows`.
    chapters_missing : set of str
        Chapters that were not executed in this build; rows that name their claims are not faulted.
    """
    ledger = Ledger()
    rows = {row["id"]: row for row in [*errata, *coverage]}
    for chapter, made in claims.items():
        for claim in made:
            if claim["id"] in ledger.claims:
                ledger.faults.append(
                    f"claim '{claim['id']}' is made twice: in {ledger.chapter_of[claim['id']]} and {chapter}"
                )
                continue
            ledger.claims[claim["id"]] = claim
            ledger.chapter_of[claim["id"]] = chapter
            for row in [*claim["errata"], *claim["capabilities"]]:
                if row not in rows:
                    ledger.faults.append(f"claim '{claim['id']}' of {chapter} names '{row}', which is no row")
                ledger.proofs.setdefault(row, []).append(claim["id"])
    for row in rows.values():
        for claim_id in row.get("claims", []):
            where = {row.get("chapter"), *row.get("chapters", [])}
            if claim_id not in ledger.claims and not where & chapters_missing:
                ledger.faults.append(f"{row['id']} names the claim '{claim_id}', which no notebook made")
    return ledger
