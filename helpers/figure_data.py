"""The numbers behind a figure, read from the figure itself: a table for whoever cannot see it, or wants to check it."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import FixedFormatter

ROWS = 24  # more points are thinned out evenly, and the table says so
CELLS = 144  # a larger matrix is a picture


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; ``title`` says which part of the figure, and what was left out."""

    title: str
    head: list[str]
    rows: list[list[str]]


def tables(figure: Figure) -> list[Table]:
    """Tables of all lines, bars, points and small matrices of a figure, in the order of its axes.

    Lines that share their x values share a table. Pictures and areas have no table: the alternative text speaks for them.
    """
    axes = [part for part in figure.axes if part.get_label() != "<colorbar>"]
    found = []
    for number, part in enumerate(axes, start=1):
        name = part.get_title(loc="left") or part.get_title() or (f"part {number}" if len(axes) > 1 else "")
        found += [Table(_title(name, table.title), table.head, table.rows) for table in _of_axes(part)]
    return found


def as_html(figure: Figure) -> str:
    """The tables as a box that unfolds; empty if the figure has none."""
    shown = "".join(_table(table, number) for number, table in enumerate(tables(figure), start=1))
    return f'<details class="book-data"><summary>Data of this figure</summary>{shown}</details>' if shown else ""


def _of_axes(axes: Axes) -> Iterator[Table]:
    x_name, y_name = axes.get_xlabel() or "x", axes.get_ylabel() or "y"
    groups: list[tuple[np.ndarray, list[str], list[np.ndarray]]] = []
    for number, line in enumerate(_lines(axes), start=1):
        x, y = (np.asarray(v, dtype=float) for v in line.get_data())
        name = _name(axes, line, line.get_color(), f"line {number}")
        for known, names, columns in groups:
            if known.shape == x.shape and np.array_equal(known, x):
                names.append(name)
                columns.append(y)
                break
        else:
            groups.append((x, [name], [y]))
    for x, names, columns in groups:
        if len(names) == 1 and names[0].startswith("line "):
            names = [y_name]
        yield _thinned([x_name, *names], [_ticks(axes, x), *map(_numbers, columns)])
    for number, bars in enumerate((c for c in axes.containers if isinstance(c, BarContainer)), start=1):
        yield _of_bars(axes, bars, f"bars {number}")
    for number, points in enumerate((c for c in axes.collections if isinstance(c, PathCollection)), start=1):
        places = np.asarray(np.ma.getdata(points.get_offsets()), dtype=float)
        colours = points.get_facecolor() if len(points.get_facecolor()) else points.get_edgecolor()
        name = _name(axes, points, colours[0], f"points {number}") if len(colours) else f"points {number}"
        if len(places):
            table = _thinned([x_name, y_name], [_ticks(axes, places[:, 0]), _numbers(places[:, 1])])
            yield Table(_title(name, table.title), table.head, table.rows)
    for image in axes.images:
        values = np.asarray(image.get_array())
        if values.ndim == 2 and values.size <= CELLS:
            columns = _labels(axes.xaxis, values.shape[1])
            rows = [
                [label, *_numbers(row)] for label, row in zip(_labels(axes.yaxis, len(values)), values, strict=True)
            ]
            yield Table("", [f"{y_name} / {x_name}", *columns], rows)


def _lines(axes: Axes) -> list[Line2D]:
    """Lines with data: not those that only mark a place across the whole width or height."""
    return [
        line
        for line in axes.lines
        if line.get_visible() and len(line.get_xdata()) > 1 and line.get_transform() == axes.transData
    ]


def _of_bars(axes: Axes, bars: BarContainer, name: str) -> Table:
    flat = bars.orientation == "horizontal"
    places = np.array([b.get_y() + b.get_height() / 2 if flat else b.get_x() + b.get_width() / 2 for b in bars])
    sizes = np.array([b.get_width() if flat else b.get_height() for b in bars])
    labels = _ticks(axes, places, axis=axes.yaxis if flat else axes.xaxis)
    of, what = (axes.get_ylabel(), axes.get_xlabel()) if flat else (axes.get_xlabel(), axes.get_ylabel())
    label = bars.get_label()
    own = label if label and not label.startswith("_") else what or name
    return _thinned([of or "bar", own], [labels, _numbers(sizes)])


def _name(axes: Axes, artist: object, colour: object, otherwise: str) -> str:
    """The label of an artist, else the words that stand in the figure in its colour, else what is given."""
    label = str(artist.get_label())
    if label and not label.startswith("_"):
        return label
    try:
        same = [t.get_text() for t in _words(axes) if to_hex(t.get_color()) == to_hex(colour)]
    except ValueError:
        same = []
    return " ".join(same[0].split()) if len(same) == 1 else otherwise


def _words(axes: Axes) -> list[Text]:
    return [t for t in axes.texts if isinstance(t, (Annotation, Text)) and t.get_text().strip()]


def _ticks(axes: Axes, values: np.ndarray, axis=None) -> list[str]:
    """The words at the ticks where every value stands at one, else the numbers."""
    axis = axis or axes.xaxis
    if isinstance(axis.get_major_formatter(), FixedFormatter) or axis.have_units():
        words = {
            round(float(p), 6): t.get_text() for p, t in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
        }
        found = [words.get(round(float(value), 6), "") for value in values]
        if all(found):
            return found
    return _numbers(values)


def _labels(axis, count: int) -> list[str]:
    words = {
        int(p): t.get_text() for p, t in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False) if p == int(p)
    }
    return [words.get(k) or str(k) for k in range(count)]


def _numbers(values: np.ndarray) -> list[str]:
    return [
        "" if np.isnan(v) else f"{v:,.0f}" if float(v).is_integer() and abs(v) < 1e15 else f"{v:.4g}" for v in values
    ]


def _thinned(head: list[str], columns: list[list[str]]) -> Table:
    count = len(columns[0])
    kept = np.unique(np.linspace(0, count - 1, min(count, ROWS)).round().astype(int))
    title = f"{len(kept)} of {count:,} points" if len(kept) < count else ""
    return Table(title, head, [[column[k] for column in columns] for k in kept])


def _title(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _table(table: Table, number: int) -> str:
    head = "".join(f'<th scope="col">{html.escape(" ".join(cell.split()))}</th>' for cell in table.head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    return (
        f'<div class="book-table" tabindex="0" role="group" aria-label="Data, table {number}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
