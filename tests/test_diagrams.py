"""A graph is drawn as it is given, its words stay readable, and a faulty graph is refused with its names."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from helpers import diagrams, display, figures

ALT = "Three boxes in a circle, joined by three arrows."
CAPTION = "A loop."
NODES = {"weights": (0, 1), "loss": (1, 1), "gradient": (0.5, 0)}
EDGES = [
    ("weights", "loss", "prediction"),
    ("loss", "gradient", "slopes"),
    ("gradient", "weights", "update"),
]


@pytest.fixture
def shown(monkeypatch):
    parts = {}
    monkeypatch.setattr(display, "show", lambda **given: parts.update(given))
    return parts


def draw(nodes=NODES, edges=EDGES, **options):
    diagrams.draw(nodes, edges, **{"alt": ALT, "caption": CAPTION, "height": 2.5, **options})


def words(html: str) -> dict[str, tuple[float, float]]:
    """Text -> the place where it is drawn (in points, y downwards)."""
    found = {}
    for element in ElementTree.fromstring(html).iter():
        if element.tag.endswith("text"):
            found[element.text] = (float(element.get("x")), float(element.get("y")))
    return found


def test_every_word_stays_text_and_the_figure_is_closed(shown):
    draw()
    assert set(words(shown["html"])) == {*NODES, "prediction", "slopes", "update"}
    assert f'aria-label="{ALT}"' in shown["html"]
    assert figures.plt.get_fignums() == []


def test_boxes_lie_as_their_places_say(shown):
    draw()
    places = words(shown["html"])
    assert places["weights"][0] < places["gradient"][0] < places["loss"][0]
    assert places["weights"][1] == pytest.approx(places["loss"][1], abs=2)
    assert places["gradient"][1] > places["loss"][1] + 50  # y of a page grows downwards


def test_places_may_have_any_unit(shown):
    draw()
    before = words(shown["html"])
    draw({name: (300 * x - 7, 2 * y + 1) for name, (x, y) in NODES.items()})
    after = words(shown["html"])
    for name, place in before.items():
        assert np.allclose(place, after[name], atol=0.1)


def test_there_is_one_arrow_per_edge_and_it_takes_the_colour_of_the_page(shown):
    draw()
    html = shown["html"]
    without = html.count("<path")
    draw(edges=EDGES[:2])
    assert without - shown["html"].count("<path") == 2  # a line and a head
    assert not re.search("#000|black|white", html)
    assert figures._INK not in html


def test_a_highlighted_box_differs_in_more_than_colour(shown):
    draw(highlight=["loss"])
    bold = [e.text for e in ElementTree.fromstring(shown["html"]).iter() if e.get("font-weight") == "700"]
    assert bold == ["loss"]
    assert 'stroke-width="2.4"' in shown["html"]


def test_a_graph_there_and_back_needs_bends(shown):
    nodes, edges = {"a": (0, 0), "b": (1, 0)}, [("a", "b", "go"), ("b", "a", "return")]
    draw(nodes, edges, bends={("a", "b"): -0.2, ("b", "a"): -0.2}, height=1.5)
    places = words(shown["html"])
    assert places["go"][1] < places["a"][1] < places["return"][1]  # the left of "to the right" is above


def test_a_label_can_move_to_the_other_side(shown):
    nodes, edges = {"a": (0, 0), "b": (1, 0)}, [("a", "b", "go")]
    draw(nodes, edges, height=1.5)
    above = words(shown["html"])["go"][1]
    draw(nodes, edges, height=1.5, other_side=[("a", "b")])
    assert words(shown["html"])["go"][1] > above + 5


def test_words_are_large_enough_for_a_phone(shown):
    draw()
    sizes = [float(e.get("font-size")) for e in ElementTree.fromstring(shown["html"]).iter() if e.get("font-size")]
    assert len(sizes) == 6
    assert min(sizes) >= 9.5


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("weights", "lose", "x")], "no box 'lose'.*weights, loss, gradient"),
        ([*EDGES, ("loss", "gradient", "again")], "loss -> gradient is given twice"),
        ([("weights", "loss", " ")], "weights -> loss has no label"),
        ([("weights", "loss", None)], "weights -> loss has no label"),
        ([("loss", "loss", "x")], "its own box"),
    ],
)
def test_a_faulty_graph_is_refused_with_its_names(edges, message, shown):
    with pytest.raises(ValueError, match=message):
        draw(edges=edges)
    assert shown == {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"highlight": ["lose"]}, "highlight names 'lose'"),
        ({"bends": {("loss", "weights"): 0.2}}, "loss -> weights, which is no edge"),
        ({"other_side": [("loss", "weights")]}, "loss -> weights, which is no edge"),
    ],
)
def test_options_that_name_nothing_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        draw(**options)


@pytest.mark.parametrize(
    ("nodes", "edges", "message"),
    [
        ({"one long box " * 5: (0, 0), "another long box " * 4: (1, 0)}, [], "do not fit side by side"),
        ({"a": (0, 0), "b": (0, 1)}, [], "do not fit above each other"),
        ({"a" * 99: (0, 0)}, [], "in are free"),
        ({"first box": (0, 0), "second box": (0.1, 0), "far": (4, 0)}, [], "box 'first box' overlaps box 'second box'"),
        ({"a": (0, 0), "b": (1, 0), "c": (2, 0)}, [("a", "c", "over b")], "a -> c crosses box 'b'"),
        ({"a": (0, 0), "b": (1, 0)}, [("a", "b", "long " * 20)], "label of arrow a -> b leaves the figure"),
        ({"a": (0, 0), "b": (1, 0)}, [("a", "b", "go"), ("b", "a", "back")], "overlaps label of arrow b -> a"),
    ],
)
def test_what_could_not_be_read_is_refused(nodes, edges, message, shown):
    with pytest.raises(ValueError, match=message):
        draw(nodes, edges, height=0.25 if "above" in message else 2.5)
    assert shown == {}
    assert figures.plt.get_fignums() == []


def test_in_words_is_one_line():
    line = diagrams.in_words([("a", "test\nset", "go"), ("b", "a", "back")])
    assert line == "a to test set (go); b to a (back)"
