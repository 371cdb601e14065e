"""Directed graphs: boxes joined by labelled arrows, in the style of the book's figures.

A graph is data: a dict of boxes with their places, and a list of ``(from, to, label)``. The same data can be drawn,
searched and checked. What is drawn must be readable, so :func:`draw` refuses a graph whose words would overlap.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.transforms import Bbox

from helpers import figures

Edge = tuple[str, str, str]
Pair = tuple[str, str]
_FONT, _LABEL_FONT = 11, 10  # points; on a phone 390 px wide about as many pixels
_PAD = 0.09  # inches between the words of a box and its border
_GAP = 0.05  # inches between an arrow and its label
_SLACK = 0.01  # inches that two words may overlap: their boxes are a little larger than their ink


def draw(
    nodes: Mapping[str, tuple[float, float]], edges: Sequence[Edge], *, alt: str, caption: str, height: float = 3.6,
    highlight: Collection[str] = (), bends: Mapping[Pair, float] | None = None, other_side: Collection[Pair] = (),
    margins: tuple[float, float, float, float] = (0.03, 0.03, 0.03, 0.03),
) -> None:  # fmt: skip
    """Draw a directed graph, 5 inches wide, and show it as a figure of the book.

    Parameters
    ----------
    nodes : dict
        Text of a box -> its place ``(x, y)``, in any unit: x grows to the right, y upwards. The places are stretched
        until the boxes fill the figure. A newline in the text starts a new line.
    edges : sequence of (from, to, label)
        Each ordered pair at most once. A label is short, and never empty.
    alt, caption : str
        As for :func:`helpers.figures.show`.
    height : float
        Inches.
    highlight : collection of str
        Boxes with a thick border and bold text.
    bends : dict, optional
        ``(from, to)`` -> how far the arrow leaves the straight line, as a share of its length. Positive bends to the
        right as seen along the arrow, negative to the left.
    other_side : collection of (from, to)
        Arrows whose label moves to their other side. By default a label stands above a level arrow, to the right of
        a steep one, and outside of a bent one.
    margins : (left, bottom, right, top)
        Inches kept free of boxes, for bent arrows and their labels.

    Raises
    ------
    ValueError
        For an edge to an unknown box, an edge that is given twice, a missing label, options that name no edge or
        box, boxes that do not fit, and words that would overlap or leave the figure. The message names them.
    """
    bends = dict(bends or {})
    _check(nodes, edges, highlight, [*bends, *other_side])
    figure, axes = figures.new_figure(height=height)
    figure.set_layout_engine("none")
    axes.set_position([0, 0, 1, 1])
    width = float(figure.get_figwidth())
    axes.set(xlim=(0, width), ylim=(0, height))  # one unit is one inch, in both directions
    axes.axis("off")
    try:
        boxes = _boxes(axes, nodes, highlight, width, height, margins)
        words = {f"box '{name}'": patch.get_bbox() for name, patch in boxes.items()}
        arrows = {}
        for start, end, label in edges:
            bend, flip = bends.get((start, end), 0.0), (start, end) in other_side
            arrow = f"arrow {start} -> {end}"
            arrows[arrow], words[f"label of {arrow}"] = _arrow(axes, boxes[start], boxes[end], label, bend, flip)
        _refuse_overlaps(words, arrows, width, height)
    except ValueError:
        figures.plt.close(figure)
        raise
    figures.show(figure, alt=alt, caption=caption)


def in_words(edges: Sequence[Edge]) -> str:
    """The graph as one line of text: ``a to b (label); ...``, for alternative texts."""
    return "; ".join(f"{start} to {end} ({label})" for start, end, label in edges).replace("\n", " ")


def _check(nodes: Mapping, edges: Sequence[Edge], highlight: Collection[str], pairs: Sequence[Pair]) -> None:
    seen: set[Pair] = set()
    for start, end, label in edges:
        for name in (start, end):
            if name not in nodes:
                raise ValueError(f"edge {start} -> {end}: there is no box '{name}'; the boxes are {', '.join(nodes)}")
        if start == end:
            raise ValueError(f"edge {start} -> {end} leads to its own box; this module cannot draw that")
        if (start, end) in seen:
            raise ValueError(f"edge {start} -> {end} is given twice; give it once, with one label")
        if not (label or "").strip():
            raise ValueError(f"edge {start} -> {end} has no label; say what passes along it")
        seen.add((start, end))
    for pair in pairs:
        if tuple(pair) not in seen:
            raise ValueError(f"an option names {pair[0]} -> {pair[1]}, which is no edge of this graph")
    for name in highlight:
        if name not in nodes:
            raise ValueError(f"highlight names '{name}', which is no box of this graph")


def _boxes(axes: Axes, nodes: Mapping[str, tuple[float, float]], highlight: Collection[str], width: float,
           height: float, margins: tuple[float, float, float, float]) -> dict[str, FancyBboxPatch]:  # fmt: skip
    texts = {
        name: axes.text(0, 0, name, ha="center", va="center", fontsize=_FONT, linespacing=1.15,
                        fontweight="bold" if name in highlight else "normal")
        for name in nodes
    }  # fmt: skip
    extents = [_extent(axes, text) for text in texts.values()]
    widths = np.array([extent.width + 2 * _PAD for extent in extents])
    heights = np.array([extent.height + 2 * _PAD for extent in extents])
    left, bottom, right, top = margins
    xs = _stretch([x for x, _ in nodes.values()], widths, left, width - right, "side by side")
    ys = _stretch([y for _, y in nodes.values()], heights, bottom, height - top, "above each other")
    boxes = {}
    for (name, text), x, y, w, h in zip(texts.items(), xs, ys, widths, heights, strict=True):
        text.set_position((x, y))
        boxes[name] = FancyBboxPatch(
            (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.08", fill=False,
            edgecolor=figures.STYLE["text.color"], linewidth=2.4 if name in highlight else 1.1,
        )  # fmt: skip
        axes.add_patch(boxes[name])
    return boxes


def _stretch(places: Sequence[float], sizes: np.ndarray, low: float, high: float, where: str) -> np.ndarray:
    """Map places linearly so that boxes of these sizes just fill [low, high]."""
    places = np.asarray(places, dtype=float)
    if np.ptp(places) == 0:
        if sizes.max() > high - low:
            raise ValueError(f"a box is {sizes.max():.2f} in wide or high, and only {high - low:.2f} in are free")
        return np.full(len(places), (low + high) / 2)
    distance = places[None, :] - places[:, None]
    room = (high - low) - (sizes[None, :] + sizes[:, None]) / 2
    scale = float(np.min(room[distance > 0] / distance[distance > 0]))
    if scale <= 0:
        raise ValueError(f"the boxes do not fit {where}: shorten their text, break it, or enlarge the figure")
    return scale * places + np.max(low + sizes / 2 - scale * places)


def _arrow(axes: Axes, start: FancyBboxPatch, end: FancyBboxPatch, label: str, bend: float,
           flip: bool) -> tuple[np.ndarray, Bbox]:  # fmt: skip
    """Draw one arrow and its label; return the points of the arrow between the boxes, and the extent of the label."""
    a, b = _centre(start), _centre(end)
    axes.add_patch(
        FancyArrowPatch(a, b, patchA=start, patchB=end, shrinkA=1, shrinkB=1, arrowstyle="-|>", mutation_scale=11,
                        connectionstyle=f"arc3,rad={bend}", linewidth=1.2, color=figures.STYLE["text.color"])
    )  # fmt: skip
    right = np.array([b[1] - a[1], a[0] - b[0]])  # of the direction of travel, as long as the arrow
    control = (a + b) / 2 + bend * right
    t = np.linspace(0, 1, 201)[:, None]
    curve = (1 - t) ** 2 * a + 2 * t * (1 - t) * control + t**2 * b
    outside = np.array([p for p in curve if not any(box.get_bbox().contains(*p) for box in (start, end))])
    if len(outside) == 0:
        raise ValueError(f"the boxes joined by the arrow '{label}' touch; move them apart")
    middle = outside[len(outside) // 2]
    side = right / np.hypot(*right)
    steep, level = abs(side[0]) >= 0.35, abs(side[0]) < 0.2
    side = side * np.sign(bend or (side[0] if steep else side[1])) * (-1 if flip else 1)
    x, y = middle + side * _GAP
    ha = "center" if level else "left" if side[0] > 0 else "right"  # a slanted arrow meets a corner of its label
    va = "center" if abs(side[1]) < 0.2 else "bottom" if side[1] > 0 else "top"
    text = axes.text(x, y, label, ha=ha, va=va, fontsize=_LABEL_FONT, linespacing=1.05, fontstyle="italic")
    return outside, _extent(axes, text)


def _centre(box: FancyBboxPatch) -> np.ndarray:
    extent = box.get_bbox()
    return np.array([(extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2])


def _extent(axes: Axes, text) -> Bbox:
    """Extent of a text in inches. The page's font is narrower than the one that is measured here."""
    pixels = text.get_window_extent(axes.figure.canvas.get_renderer())
    return pixels.transformed(axes.transData.inverted())


def _refuse_overlaps(words: Mapping[str, Bbox], arrows: Mapping[str, np.ndarray], width: float, height: float) -> None:
    faults = []
    items = list(words.items())
    for i, (name, box) in enumerate(items):
        if box.x0 < -_SLACK or box.y0 < -_SLACK or box.x1 > width + _SLACK or box.y1 > height + _SLACK:
            faults.append(f"{name} leaves the figure")
        for other, beside in items[i + 1 :]:
            common = Bbox.intersection(box, beside)
            if common is not None and min(common.width, common.height) > _SLACK:
                faults.append(f"{name} overlaps {other}")
        inner = box.padded(-_SLACK)
        for arrow, points in arrows.items():
            if any(inner.contains(*point) for point in points):
                faults.append(f"{arrow} crosses {name}")
    if faults:
        raise ValueError(textwrap.shorten("; ".join(faults).replace("\n", " "), 600, placeholder=" ..."))
