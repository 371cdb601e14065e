"""Other backends on the execution page: a table of chapters for each, and what could not be checked there."""

from __future__ import annotations

from typing import Any

import nbformat

from book import backends, cache
from book.ledger import Ledger
from book.machine import title
from book.markup import claim_link, table, text
from book.outline import CHAPTERS, address
from book.paths import Paths
from book.receipts_page import OPEN

OUT_OF_DATE = "the chapter has changed since"
TITLES = {name: title for name, (title, _) in backends.BACKENDS.items()}


def page(paths: Paths, found: Ledger) -> str:
    """For each backend a table of its chapters; under it the claims that were not checked there.

    Parameters
    ----------
    found : Ledger
        Claims of the book, to link to.
    """
    made = backends.read_all(paths)
    missing = [title for name, title in TITLES.items() if name not in {receipt["backend"] for receipt in made}]
    return "\n\n".join(
        [*(_one(paths, receipt, found) for receipt in made), *(f"<p>{title}: {OPEN}.</p>" for title in missing)]
    )


def _one(paths: Paths, receipt: dict[str, Any], found: Ledger) -> str:
    rows, left_out = [], []
    for name, made in receipt["notebooks"].items():
        source = paths.notebooks / f"{name}.ipynb"
        current = source.is_file() and cache.code_digest(nbformat.read(source, as_version=4)) == made["code"]
        rows.append([f'<a href="{address(name)}">{CHAPTERS.get(name, name)}</a>', f"{len(made['claims'])}",
                     f"{len(made['not_checked'])}", f"{made['seconds']:,.0f}", f"{made['peak_memory_mib']:,.0f}",
                     "" if current else OUT_OF_DATE])  # fmt: skip
        left_out += [claim_link(claim, found) for claim in made["not_checked"]]
    head = ["chapter", "claims that hold", "not checked", "seconds", "peak memory in MiB", "remark"]
    versions = ", ".join(f"{name} {version}" for name, version in receipt["versions"].items())
    said = (f"Backend {TITLES[receipt['backend']]}, profile {receipt['profile']}, {receipt['date']}, {text(title(receipt['device']))}, "
            f"{receipt['jobs']} at a time. {text(versions)}; TensorFlow is not installed there.")  # fmt: skip
    why = (
        f"<p>Not checked, because they are about TensorFlow or about the classes of the article, which need it: {', '.join(left_out)}.</p>"
        if left_out
        else ""
    )
    return f"<p>{said}</p>{table('Chapters on ' + TITLES[receipt['backend']], head, rows)}{why}"
