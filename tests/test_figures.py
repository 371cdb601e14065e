"""A figure follows the page's theme, says its finding, and leaks nothing into the page."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from bs4 import BeautifulSoup

from helpers import display, figures

ALT = "The loss falls from 2.3 to 0.1 in five epochs."
CAPTION = "Training loss by epoch."


def draw(seed: int = 0, *, image: bool = False):
    figure, axes = figures.new_figure()
    values = np.random.default_rng(seed).random((4, 4))
    if image:
        axes.imshow(values)
    else:
        axes.plot(values[0], label="a < b & c")
        axes.fill_between(range(4), values[1], values[2], alpha=0.3, hatch="//")
        figures.label_line(axes, 1, 0.5, "model", figures.BLUE)
        axes.set_title('Loss "by" epoch')
        axes.legend()
    return figure


def html_of(figure, alt=ALT, caption=CAPTION) -> str:
    html = figures.as_html(figure, alt=alt, caption=caption)
    figures.plt.close(figure)
    return html


@pytest.fixture(scope="module")
def html() -> str:
    return html_of(draw())


def test_the_same_figure_gives_the_same_markup(html):
    assert html_of(draw()) == html
    assert html_of(draw(seed=1)) != html


@pytest.mark.parametrize("image", [False, True])
def test_there_is_no_styling_that_a_strict_policy_would_block_or_that_would_leak(image):
    html = html_of(draw(image=image))
    assert not re.search(r"<(\w+:)?style|\sstyle=|<script|\son\w+=", html)
    assert "font-family" not in html


def test_nothing_is_fetched_from_elsewhere():
    for image in (False, True):
        root = ElementTree.fromstring(html_of(draw(image=image)))
        links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith(("href", "src"))]
        assert links
        assert all(link.startswith(("#", "data:image/")) for link in links)


def test_ids_are_unique_when_two_figures_are_on_one_page(html):
    page = html + html_of(draw(seed=1)) + html_of(draw(image=True))
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) > 20
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("image", [False, True])
def test_every_reference_leads_to_an_id_of_the_same_figure(image):
    html = html_of(draw(image=image))
    ids = set(re.findall(r'\sid="([^"]+)"', html))
    targets = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert targets
    assert targets <= ids


def test_lines_and_text_take_the_colour_of_the_page(html):
    assert html.count("currentColor") > 10
    assert figures._INK not in html.lower()
    assert figures.BLUE.lower() in html.lower()


def test_nothing_is_black_or_white_whatever_is_drawn_after_the_figure_was_made():
    figure, axes = figures.new_figure()
    axes.plot([1, 2], label="curve")
    axes.plot([2, 1], color="black")
    axes.bar([0, 1], [1, 2], hatch="//", facecolor="black")
    axes.text(0, 1, "text")
    axes.annotate("note", (0, 1), xytext=(1, 2), arrowprops={"arrowstyle": "->"})
    axes.legend()
    html = html_of(figure)
    assert not re.search("#000|#fff|black|white", html, re.IGNORECASE)
    root = ElementTree.fromstring(html)
    drawing = next(e for e in root.iter() if e.tag.endswith("svg"))
    assert drawing.get("fill") == "currentColor"
    words = [e for e in root.iter() if e.tag.endswith("text")]
    assert {"curve", "text", "note"} <= {e.text for e in words}
    assert {e.get("fill", "currentColor") for e in words} == {"currentColor"}


def test_the_background_is_the_page(html):
    root = ElementTree.fromstring(html)
    backgrounds = [e for e in root.iter() if re.search(r"-patch_[12]$", e.get("id", ""))]
    assert len(backgrounds) == 2
    fills = {path.get("fill") for group in backgrounds for path in group.iter() if path.tag.endswith("path")}
    assert fills == {"none"}


def test_words_stay_text(html):
    assert "Loss &quot;by&quot; epoch" in html or 'Loss "by" epoch' in html
    assert "a &lt; b &amp; c" in html


def test_alt_text_and_caption_are_escaped():
    alt = 'The "best" <model> & the rest differ by 3 points of accuracy.'
    html = html_of(draw(), alt=alt, caption="<b>Best</b> & rest")
    root = ElementTree.fromstring(html)
    drawing = next(e for e in root.iter() if e.tag.endswith("svg"))
    assert drawing.get("aria-label") == alt
    assert drawing.get("role") == "img"
    assert root.find("figcaption").text == "<b>Best</b> & rest"
    assert "<model>" not in html


@pytest.mark.parametrize(
    "alt", ["", "A plot.", "Loss curve of the training run", "one two three four five", "a b c d e f g"]
)
def test_alt_text_that_says_too_little_is_refused(alt, capsys):
    figure = draw()
    if len(alt.split()) >= 6 and len(alt) >= 30:
        alt = alt[:29]
    with pytest.raises(ValueError, match="alt text"):
        figures.show(figure, alt=alt, caption=CAPTION)
    assert capsys.readouterr().out == ""
    figures.plt.close(figure)


def test_a_caption_is_required():
    figure = draw()
    with pytest.raises(ValueError, match="caption"):
        figures.show(figure, alt=ALT, caption=" ")
    figures.plt.close(figure)


def test_showing_a_figure_closes_it_and_gives_the_finding_as_text(monkeypatch):
    shown = {}
    monkeypatch.setattr(display, "show", lambda **parts: shown.update(parts))
    figure = draw()
    figures.show(figure, alt=ALT, caption=CAPTION)
    assert not figures.plt.fignum_exists(figure.number)
    assert shown["text"] == f"[Figure] {ALT}\n{CAPTION}"
    assert shown["html"].startswith('<figure class="book-figure">')


def test_neighbouring_curves_differ_in_more_than_colour():
    _, axes = figures.new_figure()
    lines = [axes.plot([0, 1], [i, i])[0] for i in range(6)]
    assert len({line.get_color() for line in lines}) == 6
    assert len({line.get_marker() for line in lines}) == 6
    figures.plt.close("all")


def frames(n):
    drawn = []
    for k in range(n):
        figure, axes = figures.new_figure()
        axes.plot([0, 1], [k, 2 * k])
        drawn.append(figure)
    return drawn


STEP_OPTIONS = {"label": "learning rate", "caption": "A path for each rate."}
STEP_ALTS = [f"With rate {k} the path ends at {2 * k}, at the right edge." for k in range(3)]


def test_steps_show_one_frame_and_keep_the_others_at_hand(monkeypatch):
    shown = {}
    monkeypatch.setattr(display, "show", lambda **parts: shown.update(parts))
    figures.show_steps(frames(3), values=["0.1", "0.2", "<1"], alts=STEP_ALTS, start=1, **STEP_OPTIONS)
    soup = BeautifulSoup(shown["html"], "html.parser")
    steps = soup.select("figure.book-figure.book-steps > details.step")
    assert [s["data-value"] for s in steps] == ["0.1", "0.2", "<1"]
    assert [s.has_attr("open") for s in steps] == [False, True, False]
    assert len({s["name"] for s in steps}) == 1, "one group: opening one closes the others"
    assert [s.svg["aria-label"] for s in steps] == STEP_ALTS
    ids = [e["id"] for e in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    assert STEP_ALTS[1] in shown["text"]
    assert not figures.plt.get_fignums()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": 1}, "2 to 16 frames, got 1"),
        ({"values": ["a", "b"]}, "3 frames need as many values and alts, got 2 and 3"),
        ({"values": ["a", "b", "a"]}, "a value of its own"),
        ({"start": 3}, "index from 0 to 2, got 3"),
        ({"label": " "}, "needs a label"),
        ({"alts": [*STEP_ALTS[:2], "too short"]}, "state the finding"),
        ({"caption": ""}, "needs a caption"),
    ],
)
def test_steps_refuse_what_a_reader_could_not_use(change, message):
    options = {"values": ["a", "b", "c"], "alts": STEP_ALTS, **STEP_OPTIONS, **change}
    drawn = frames(options.pop("frames", 3))
    with pytest.raises(ValueError, match=message):
        figures.show_steps(drawn, **options)
    figures.plt.close("all")


def test_coordinates_carry_no_useless_digits():
    figure, axes = figures.new_figure()
    axes.plot(np.linspace(0, 1, 50), np.sin(np.linspace(0, 9, 50)))
    html = figures.as_html(figure, alt="A sine wave with one and a half periods.", caption="Sine.")
    figures.plt.close(figure)
    paths = re.findall(r' d="([^"]*)"', html)
    assert max(map(len, paths)) > 300
    assert not re.search(r"\d\.\d{3,}", " ".join(paths))
