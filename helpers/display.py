"""Output of cells: rich in a notebook, plain text in a terminal, and records that a builder can collect."""

from __future__ import annotations

import html as _html
from typing import Any


def in_notebook() -> bool:
    """True if the code runs in a Jupyter kernel (not in a script or a plain IPython terminal)."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def record(mime: str, data: dict[str, Any], *, text: str, html: str | None = None) -> None:
    """Show ``text`` (or ``html`` where a page can), and attach ``data`` under ``mime`` for the builder."""
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    bundle: dict[str, Any] = {mime: data, "text/plain": text}
    if html is not None:
        bundle["text/html"] = html
    display(bundle, raw=True)


def block(text: str, css_class: str, *, label: str) -> None:
    """Show preformatted text in a box; ``label`` tells a screen reader what the box is."""
    markup = (
        f'<div class="{css_class}"><p class="block-label">{_html.escape(label)}</p>'
        f'<pre tabindex="0">{_html.escape(text)}</pre></div>'
    )
    show(text=f"{label}:\n{text}", html=markup)


def table(
    rows: list[dict[str, Any]], *, caption: str, formats: dict[str, str] | None = None, highlight: str | None = None
) -> None:
    """Show a small table: a real HTML table on a page, aligned text in a terminal.

    Parameters
    ----------
    rows : list of dict
        One dict per row, all with the same keys; the keys are the column headings, the first column
        holds the row's name.
    caption : str
        What the table shows; shown above it and read first by a screen reader.
    formats : dict, optional
        Format spec per column, e.g. ``{"accuracy": ".4f"}``.
    highlight : str, optional
        Name of the column that is in force; it is marked in its heading with "(in use)".
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    columns, formats = list(rows[0]), formats or {}
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"rows differ in their columns: {columns} and {list(row)}")

    def cell(column: str, value: Any) -> str:
        return format(value, formats[column]) if column in formats and not isinstance(value, str) else str(value)

    head = [f"{c} (in use)" if c == highlight else c for c in columns]
    body = [[cell(c, row[c]) for c in columns] for row in rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(columns))]
    lines = ["  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip() for line in [head, *body]]

    def number(value: Any) -> str:
        return ' class="number"' if isinstance(value, (int, float)) and not isinstance(value, bool) else ""

    html_head = "".join(f'<th scope="col">{_html.escape(h)}</th>' for h in head)
    html_rows = "".join(
        "<tr>"
        + f'<th scope="row">{_html.escape(line[0])}</th>'
        + "".join(f"<td{number(row[c])}>{_html.escape(v)}</td>" for c, v in zip(columns[1:], line[1:], strict=True))
        + "</tr>"
        for row, line in zip(rows, body, strict=True)
    )
    markup = (
        f'<div class="book-table" tabindex="0" role="region" aria-label="{_html.escape(caption, quote=True)}">'
        f"<table><caption>{_html.escape(caption)}</caption>"
        f"<thead><tr>{html_head}</tr></thead><tbody>{html_rows}</tbody></table></div>"
    )
    show(text="\n".join([caption, *lines]), html=markup)


def show(*, text: str, html: str) -> None:
    """Show ``html`` on a page and ``text`` in a terminal."""
    if not in_notebook():
        print(text)
        return
    from IPython.display import display

    display({"text/plain": text, "text/html": html}, raw=True)
