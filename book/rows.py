"""The errata and the coverage map as pages: every row with its state, and what proves it.

A row is **proven** by a claim of this build, else **sourced** if it cites a publication, else **planned** while a
chapter that it belongs to is not in the table of contents. What is left is **open**: a fault (see ``book.check``).
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from book import ledger
from book.markup import claim_link, filter_form, line, row_anchor, table
from book.outline import CHAPTERS, GROUPS, address, chapters_of

if TYPE_CHECKING:
    from book.generated import Book

STATES = {"proven": "proven by a claim", "sourced": "source cited", "planned": "planned", "open": "open"}
# The ten parts of the article, by the numbers that rows name.
PARTS = {
    "S1": "Background",
    "S2": "Core concepts",
    "S3": "Algorithms and steps",
    "S4": "Mathematics",
    "S5": "The project",
    "S6": "Applications",
    "S7": "Tools and resources",
    "S8": "Trends and challenges",
    "S9": "Frequent questions",
    "S10": "References",
}


def proofs(row: dict[str, Any], book: Book) -> list[str]:
    """Claims of this build that hold and prove the row."""
    made = book.ledger.claims
    return [claim for claim in book.ledger.proven_by(row) if claim in made and made[claim]["passed"]]


def state(row: dict[str, Any], book: Book) -> str:
    """One of :data:`STATES`."""
    if proofs(row, book):
        return "proven"
    if row.get("sources"):
        return "sourced"
    planned = book.written is not None and not set(chapters_of(row)) <= book.written
    return "planned" if planned else "open"


def faults(book: Book) -> list[str]:
    """Rows that have neither a claim nor a source although their chapters are written and were executed here."""
    found = []
    for row in [*book.errata, *book.coverage]:
        chapters = [name for name in chapters_of(row) if name[:2].isdigit()]
        if state(row, book) == "open" and set(chapters) <= set(book.notebooks):
            where = ", ".join(chapters_of(row))
            wanted = "a claim that names it" if row["id"].startswith("C-") else "a claim that names it, or a source"
            found.append(f"{row['id']} is open although its chapter is written ({where}): it needs {wanted}")
    return found


def parts_of(row: dict[str, Any]) -> list[str]:
    """Parts of the article that a row is about: ``S3.1, S4.2`` gives ``[S3, S4]``."""
    return list(dict.fromkeys(re.findall(r"S\d+", str(row["section"]))))


def chapters_by_part(book: Book) -> dict[str, list[str]]:
    """For each part of the article the chapters here that rows of that part belong to, in reading order."""
    order = list(CHAPTERS).index
    rows = [*book.errata, *book.coverage]
    return {
        part: sorted({name for row in rows if part in parts_of(row) for name in chapters_of(row)}, key=order)
        for part in PARTS
    }


def errata_page(book: Book) -> str:
    states = {row["id"]: state(row, book) for row in book.errata}
    chapters = sorted({row["chapter"] for row in book.errata}, key=list(CHAPTERS).index)
    verdicts = [verdict for verdict in ledger.VERDICTS if any(row["verdict"] == verdict for row in book.errata)]
    parts = [
        _summary(book, states, verdicts),
        "",
        filter_form(
            "the errata",
            "entries",
            {
                "chapter": {name: CHAPTERS[name] for name in chapters},
                "verdict": {verdict: verdict for verdict in verdicts},
                "state": _choices(states.values()),
            },
        ),
    ]
    for chapter in chapters:
        parts.append(f"\n## {CHAPTERS[chapter]}\n")
        parts += [_erratum(row, states[row["id"]], book) for row in book.errata if row["chapter"] == chapter]
    return "\n".join(parts)


def _choices(states: Iterable[str]) -> dict[str, str]:
    there = set(states)
    return {name: words for name, words in STATES.items() if name in there}


def _summary(book: Book, states: dict[str, str], verdicts: list[str]) -> str:
    """How many rows there are of each verdict and state; each number shows its rows."""
    counts = Counter((row["verdict"], states[row["id"]]) for row in book.errata)
    kinds = list(_choices(states.values()))

    def cell(verdict: str, kind: str) -> str:
        number = sum(counts[v, k] for v in ([verdict] if verdict else verdicts) for k in ([kind] if kind else kinds))
        chosen = {"verdict": verdict, "state": kind}
        query = "&amp;".join(f"{name}={value}" for name, value in chosen.items() if value)
        if not number or not query:
            return str(number)
        label = f"{number} {verdict} {kind}".replace("  ", " ").strip()
        return f'<a href="errata.html?{query}" aria-label="{label}">{number}</a>'

    rows = [[v or "all", *(cell(v, k) for k in kinds), cell(v, "")] for v in [*verdicts, ""]]
    return table("Errata by verdict and state of proof", ["verdict", *(STATES[k] for k in kinds), "all"], rows)


def _erratum(row: dict[str, Any], status: str, book: Book) -> str:
    proof = " · ".join(claim_link(claim, book.ledger) for claim in proofs(row, book))
    sources = ", ".join(f"{{cite:t}}`{key}`" for key in row.get("sources", []))
    lines = [
        f"({row_anchor(row['id'])})=",
        f"::::{{div}} erratum erratum-{row['verdict']}",
        f'<p class="erratum-head" data-chapter="{row["chapter"]}" data-verdict="{row["verdict"]}" data-state="{status}">'
        f'<strong>{row["id"]}</strong> <span class="badge-verdict">{row["verdict"]}</span> '
        f'<span class="badge-status badge-{status}">{status}</span> <span class="erratum-section">section {row["section"]}</span></p>',
        "",
        f"**The article says.** {line(row['says'])}",
        "",
        f"**In truth.** {line(row['truth'])}",
        "",
        f"**Instead.** {line(row['instead'])}",
        "",
    ]
    if proof:
        lines += [f"**Proven by** {proof}", ""]
    if sources:
        lines += [f"**Source.** {sources}", ""]
    return "\n".join([*lines, "::::", ""])


def coverage_page(book: Book) -> str:
    states = {row["id"]: state(row, book) for row in book.coverage}
    proven = sum(status == "proven" for status in states.values())
    parts = [
        f"{proven} of {len(book.coverage)} capabilities run in this build and are proven by claims.\n",
        filter_form("the coverage map", "capabilities", {"state": _choices(states.values())}),
    ]
    for group, title in GROUPS.items():
        parts.append(f"\n## {title}\n")
        for row in (r for r in book.coverage if r["group"] == group):
            status = states[row["id"]]
            where = ", ".join(_chapter_link(name, book) for name in row["chapters"])
            lines = [
                f"({row_anchor(row['id'])})=",
                f"::::{{div}} erratum coverage-{status}",
                f'<p class="erratum-head" data-state="{status}"><strong>{row["id"]}</strong> {html.escape(row["title"])} '
                f'<span class="badge-status badge-{status}">{status}</span> '
                f'<span class="erratum-section">article: section {html.escape(str(row["section"]))}; here: {where}</span></p>',
                "",
                f"{line(row['runs'])} *Checked:* {line(row['check'])}",
                "",
            ]
            if status == "proven":
                lines += ["**Proven by** " + " · ".join(claim_link(c, book.ledger) for c in proofs(row, book)), ""]
            parts.append("\n".join([*lines, "::::", ""]))
    return "\n".join(parts)


def parts_table(book: Book) -> str:
    """The ten parts of the article, and the chapters here that deal with them."""
    rows = [
        [f"{part} {PARTS[part]}", ", ".join(_chapter_link(name, book) for name in names)]
        for part, names in chapters_by_part(book).items()
    ]
    return table("The ten parts of the article", ["part of the article", "chapters and pages here"], rows)


def _chapter_link(name: str, book: Book) -> str:
    title = html.escape(CHAPTERS.get(name, name))
    if book.written is not None and name in book.written:
        return f'<a href="{address(name)}">{title}</a>'
    return title if book.written is None else f"{title} (planned)"
