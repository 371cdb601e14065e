"""Gates that need no execution: what the errata and the coverage map name must have been claimed, and no row
of a written chapter may be open."""

from __future__ import annotations

from book import ledger, rows
from book.generated import Book
from book.paths import Paths
from helpers.claims import Claim


def faults(paths: Paths, *, partial: bool) -> list[str]:
    """Everything that does not agree, one sentence each; empty if all is well.

    Parameters
    ----------
    partial : bool
        True if only some chapters were executed: claims of the others are not missed.
    """
    book = Book.collect(paths)
    found = [*book.ledger.faults, *(fault for proof in book.proofs for fault in proof["faults"])]
    executed = set(book.notebooks)
    if not partial:
        for path in sorted(paths.notebooks.glob("*.ipynb")):
            if path.stem not in executed:
                found.append(
                    f"'{path.stem}' is not executed, or has changed since; run: python -m book execute --only {path.stem}"
                )
    for name, notebook in book.notebooks.items():
        declared = set(notebook.metadata.get("book", {}).get("data", []))
        used = {record["name"] for record in ledger.data_of(notebook)}
        for extra in sorted(used - declared):
            found.append(f"'{name}' loads the data set '{extra}' but does not declare it in its metadata (book.data)")
    for row in book.bugs:
        if row["caught_by"] not in book.ledger.claims and row["chapter"] in executed:
            found.append(
                f"bugs.yml: '{row['id']}' is to be caught by '{row['caught_by']}', a claim that no notebook made"
            )
    for page in ("resources", "coverage"):
        found += [
            f"a claim about the book's pages fails: {Claim(**c)}"
            for c in book.claims().get(page, [])
            if not c["passed"]
        ]
    if not partial and executed == {path.stem for path in paths.notebooks.glob("*.ipynb")}:
        found += rows.faults(book)
    return found
