"""One style for every figure, and alt text that states the finding.

A figure is shown as SVG inside the page. Its lines and text take the colour of the page's text, so one drawing serves
the light theme, the dark theme and print; its words stay text, so they can be searched and translated.
"""

from __future__ import annotations

import hashlib
import html
import io
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib

if "inline" not in matplotlib.get_backend().lower():
    matplotlib.use("agg", force=False)
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from helpers import display, figure_data

# Okabe and Ito (2008), "Color Universal Design": told apart with every common colour-vision deficiency. Yellow is left
# out: it vanishes on white. The order keeps neighbours apart in lightness as well.
BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
_INK = "#010203"  # stands for "the colour of the page's text"; no figure would choose it by chance
_SVG = "{http://www.w3.org/2000/svg}"
_PIXELS_PER_POINT = 1.3  # on a wide page 11.5 pt text comes out at 15 px, on a phone 390 px wide at about 11 px
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")  # a hundredth of a point is finer than any screen
ElementTree.register_namespace("", _SVG.strip("{}"))
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

STYLE: dict[str, Any] = {
    "figure.figsize": (5.0, 3.1),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "axes.prop_cycle": matplotlib.cycler(color=COLOURS, marker=MARKERS, linestyle=DASHES),
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "grid.color", "axes.titlecolor", "hatch.color"), _INK),
}  # fmt: skip


def new_figure(rows: int = 1, columns: int = 1, *, height: float = 3.1, **options: Any) -> tuple[Figure, Any]:
    """A figure in the book's style and width (5 in: one that a phone can show).

    The style stays in force for the session: legends, labels and hatches take it when they are made, which is later.

    Parameters
    ----------
    rows, columns : int
        Grid of axes, as in ``plt.subplots``.
    height : float
        Inches.
    **options
        Passed to ``plt.subplots``.

    Returns
    -------
    figure, axes
        As from ``plt.subplots``.
    """
    plt.rcParams.update(STYLE)
    return plt.subplots(rows, columns, figsize=(5.0, height), **options)


def label_line(axes: Axes, x: float, y: float, text: str, colour: str, **options: Any) -> None:
    """Write a label beside a curve in the curve's colour (instead of a legend)."""
    axes.annotate(text, (x, y), color=colour, fontsize=11, textcoords="offset points",
                  **{"xytext": (4, 4), "fontweight": "bold", **options})  # fmt: skip


def show(figure: Figure, *, alt: str, caption: str) -> None:
    """Show a figure, and close it.

    Parameters
    ----------
    alt : str
        The finding in a sentence with its numbers, made from the plotted data. At least 30 characters. It is what a
        reader who cannot see the figure gets.
    caption : str
        What the figure shows; visible below it.

    Raises
    ------
    ValueError
        If ``alt`` or ``caption`` says too little.
    """
    _check_texts(alt, caption)
    markup = as_html(figure, alt=alt, caption=caption)
    plt.close(figure)
    display.show(text=f"[Figure] {alt}\n{caption}", html=markup)


def show_steps(
    frames: Sequence[Figure], *, label: str, values: Sequence[str], alts: Sequence[str], caption: str, start: int = 0
) -> None:
    """Show one of several figures, chosen by a slider that needs no kernel, and close them all.

    The frames are drawn now, so the page shows only what this run computed. Without JavaScript (in JupyterLab, in print)
    the frame ``start`` is open and the others unfold on a click; on the site a small script makes a slider of them.

    Parameters
    ----------
    frames : sequence of Figure
        2 to 16 figures of one size, drawn by one function with fixed axes, so that only the finding moves.
    label : str
        What the slider changes, for example "learning rate".
    values : sequence of str
        The value of each frame, as shown beside the slider.
    alts : sequence of str
        Alternative text of each frame, as in :func:`show`.
    caption : str
        What the figure shows; visible below it.
    start : int
        Index of the frame that is shown first.

    Raises
    ------
    ValueError
        If the sequences differ in length, values repeat, ``start`` is no index, or a text says too little.
    """
    n = len(frames)
    if not 2 <= n <= 16:
        raise ValueError(f"a stepped figure needs 2 to 16 frames, got {n}")
    if not len(values) == len(alts) == n:
        raise ValueError(f"{n} frames need as many values and alts, got {len(values)} and {len(alts)}")
    if len(set(values)) < n:
        raise ValueError(f"each frame needs a value of its own, got {list(values)}")
    if not 0 <= start < n:
        raise ValueError(f"start must be an index from 0 to {n - 1}, got {start}")
    if not label.strip():
        raise ValueError("a stepped figure needs a label: what does the slider change?")
    for alt in alts:
        _check_texts(alt, caption)
    drawings = [_svg(frame, alt) for frame, alt in zip(frames, alts, strict=True)]
    for frame in frames:
        plt.close(frame)
    group = "s" + hashlib.sha256("".join(drawings).encode()).hexdigest()[:8]
    steps = "".join(
        f'<details class="step" name="{group}" data-value="{html.escape(value, quote=True)}"{" open" * (k == start)}>'
        f"<summary>{html.escape(label)}: {html.escape(value)}</summary>{drawing}</details>"
        for k, (value, drawing) in enumerate(zip(values, drawings, strict=True))
    )
    display.show(
        text="\n".join([f"[Figure with a slider for {label}] {alts[start]}", caption]),
        html=f'<figure class="book-figure book-steps" data-label="{html.escape(label, quote=True)}">{steps}'
        f"<figcaption>{html.escape(caption)}</figcaption>{_findings(label, values, alts)}</figure>",
    )


def as_html(figure: Figure, *, alt: str, caption: str) -> str:
    """The figure as an HTML ``<figure>``: inline SVG that follows the page's text colour, and its data in tables."""
    drawing, data = _svg(figure, alt), figure_data.as_html(figure)
    return f'<figure class="book-figure">{drawing}<figcaption>{html.escape(caption)}</figcaption>{data}</figure>'


def _findings(label: str, values: Sequence[str], alts: Sequence[str]) -> str:
    """What each frame of a stepped figure shows, as a table that unfolds."""
    rows = "".join(
        f'<tr><th scope="row">{html.escape(value)}</th><td>{html.escape(alt)}</td></tr>'
        for value, alt in zip(values, alts, strict=True)
    )
    return (
        '<details class="book-data"><summary>Data of this figure</summary><div class="book-table" tabindex="0" role="group" '
        f'aria-label="Data, table 1"><table><thead><tr><th scope="col">{html.escape(label)}</th><th scope="col">finding</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div></details>"
    )


def _check_texts(alt: str, caption: str) -> None:
    if len(alt.split()) < 6 or len(alt) < 30:
        raise ValueError(f"alt text must state the finding in a sentence, got {alt!r}")
    if not caption.strip():
        raise ValueError("a figure needs a caption")


def _svg(figure: Figure, alt: str) -> str:
    """Inline SVG. The same figure gives the same text: ids are derived from the content. Styles become presentation
    attributes, so that nothing leaks into the page and a strict content security policy does not blank the drawing."""
    buffer = io.StringIO()
    with plt.rc_context({**STYLE, "svg.hashsalt": "book"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    prefix = "f" + hashlib.sha256(text.encode()).hexdigest()[:8] + "-"
    svg = ElementTree.fromstring(text)
    for parent in list(svg.iter()):
        for child in list(parent):
            if child.tag in (f"{_SVG}metadata", f"{_SVG}style"):
                parent.remove(child)
    for element in svg.iter():
        _inline_style(element)
        for name, value in list(element.attrib.items()):
            if name == "id":
                element.set(name, prefix + value)
            elif value.startswith("#") and name.endswith("href"):
                element.set(name, f"#{prefix}{value[1:]}")
            elif value.startswith("url(#"):
                element.set(name, f"url(#{prefix}{value[5:]}")
            elif value.lower() in (_INK, "#000000"):
                element.set(name, "currentColor")
            elif name == "d":
                element.set(name, _LONG_NUMBER.sub(lambda m: f"{float(m.group()):.2f}", value))
    points = [float(v) for v in svg.get("viewBox").split()[2:]]
    svg.set("width", f"{points[0] * _PIXELS_PER_POINT:.0f}")
    svg.set("height", f"{points[1] * _PIXELS_PER_POINT:.0f}")
    svg.set("fill", "currentColor")  # black is the default in SVG, and matplotlib leaves it out
    svg.set("role", "img")
    svg.set("aria-label", alt)
    svg.set("stroke-linejoin", "round")
    markup = ElementTree.tostring(svg, encoding="unicode", short_empty_elements=True)
    return re.sub(r">\s+<", "><", markup)


def _inline_style(element: ElementTree.Element) -> None:
    """Turn ``style="fill: none; font: 10px 'DejaVu Sans'"`` into attributes; the page chooses the font family."""
    style = element.attrib.pop("style", None)
    if not style:
        return
    for rule in style.split(";"):
        name, _, value = (part.strip() for part in rule.partition(":"))
        if name == "font":
            size = re.search(r"([\d.]+)px", value)
            if size:
                element.set("font-size", size.group(1))
            if "bold" in value or re.search(r"\b[6-9]00\b", value):
                element.set("font-weight", "bold")
        elif name == "font-size":
            element.set(name, value.removesuffix("px"))
        elif name and name not in ("font-family", "font-stretch"):
            element.set(name, value)
