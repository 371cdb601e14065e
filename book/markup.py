"""Small pieces of the generated parts of pages: one line of text, a table, links to claims and rows."""

from __future__ import annotations

import html
import re
from typing import Any

from book.ledger import Ledger
from book.outline import address


def line(text: Any) -> str:
    """Text of a YAML file as one line of Markdown."""
    return " ".join(str(text).split())


def text(value: Any) -> str:
    """Text of a YAML file as one line of HTML."""
    return html.escape(line(value), quote=False)


def table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """One HTML table in a box of its own that scrolls; cells are HTML. Columns of numbers are set flush right."""
    label = html.escape(caption, quote=True)
    kinds = [_kind([row[column] for row in rows if column < len(row)]) for column in range(len(head))]
    columns = "".join(f'<th scope="col"{k}>{html.escape(h)}</th>' for h, k in zip(head, kinds, strict=True))
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>'
        + "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(row[1:], kinds[1:], strict=False))
        + "</tr>"
        for row in rows
    )
    wide = " book-table-wide" if len(head) > 3 else ""
    return (
        f'<div class="book-table{wide}" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<caption>{label}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _kind(cells: list[str]) -> str:
    """The class of a column: numbers, dates, or anything."""
    if cells and all(re.fullmatch(r"[-−]?[\d,]+(\.\d+)?( ?%)?", cell) for cell in cells):
        return ' class="number"'
    if cells and all(re.fullmatch(r"\d{4}-\d\d-\d\d", cell) for cell in cells):
        return ' class="date"'
    return ""


def claim_anchor(claim_id: str) -> str:
    return "claim-" + claim_id.replace(".", "-")


def claim_link(claim_id: str, ledger: Ledger) -> str:
    """The id of a claim as a link to the place that made it; without a link if this build did not make it."""
    if claim_id not in ledger.claims:
        return f"<code>{claim_id}</code>"
    return f'<a href="{address(ledger.chapter_of[claim_id])}#{claim_anchor(claim_id)}"><code>{claim_id}</code></a>'


def row_anchor(row_id: str) -> str:
    return ("capability-" if row_id.startswith("C-") else "erratum-") + row_id.lower()


def row_link(row_id: str) -> str:
    page = "coverage" if row_id.startswith("C-") else "errata"
    return f'<a href="{page}.html#{row_anchor(row_id)}">{row_id}</a>'


def filter_form(name: str, items: str, facets: dict[str, dict[str, str]]) -> str:
    """Controls that ``filter.js`` brings to life; without the script they stay hidden and every item is shown.

    Parameters
    ----------
    name : str
        What is filtered, for the label of the form.
    items : str
        The word for several of them, for the sentence that counts.
    facets : dict of facet to choices
        Name of a data attribute (``data-<facet>``) to its choices: value to what a reader sees.
    """
    selects = "".join(
        f'<div><label for="filter-{facet}">{facet.capitalize()}</label>'
        f'<select id="filter-{facet}" name="{facet}"><option value="">all</option>'
        + "".join(f'<option value="{value}">{html.escape(shown)}</option>' for value, shown in choices.items())
        + "</select></div>"
        for facet, choices in facets.items()
    )
    return (
        f'<form class="book-filter" aria-label="Filter {html.escape(name, quote=True)}" data-items="{items}" hidden>{selects}'
        '<div><label for="filter-words">Words</label>'
        '<input type="search" id="filter-words" name="words" autocomplete="off"></div>'
        '<button type="reset">Show all</button><p class="filter-count" role="status" aria-live="polite"></p></form>'
    )
