"""The table behind a figure says what the figure shows."""

import numpy as np
import pytest
from bs4 import BeautifulSoup

from helpers import figure_data, figures

ALT = "The loss falls from 2.3 to 0.1 in five epochs."


@pytest.fixture
def axes():
    figure, axes = figures.new_figure()
    yield axes
    figures.plt.close(figure)


def tables(axes):
    return figure_data.tables(axes.figure)


def test_lines_with_the_same_x_share_a_table_and_take_their_names_from_labels_or_words(axes):
    x = np.arange(3)
    axes.plot(x, [1.0, 0.5, 0.25], color=figures.BLUE)
    axes.plot(x, [2, 3, 4], color=figures.ORANGE, label="given")
    axes.plot([0, 1], [7, 8], color=figures.GREEN)
    figures.label_line(axes, 2, 0.25, "training\nloss", figures.BLUE)
    axes.set(xlabel="epoch", ylabel="loss")
    first, second = tables(axes)
    assert first.head == ["epoch", "training loss", "given"]
    assert first.rows == [["0", "1", "2"], ["1", "0.5", "3"], ["2", "0.25", "4"]]
    assert second.head == ["epoch", "loss"]


def test_two_lines_of_one_colour_are_not_given_one_name(axes):
    for height in (1, 2):
        axes.plot([0, 1], [0, height], color=figures.BLUE)
        figures.label_line(axes, 1, height, f"slope {height}", figures.BLUE)
    (table,) = tables(axes)
    assert table.head[1:] == ["line 1", "line 2"]


def test_marks_across_the_whole_figure_are_no_data(axes):
    axes.plot([0, 1], [0, 1])
    axes.axhline(0.5)
    axes.axvline(0.5)
    assert len(tables(axes)) == 1


def test_long_lines_are_thinned_to_points_of_their_own_and_say_so(axes):
    x = np.linspace(0, 1, 1000)
    axes.plot(x, x**2)
    (table,) = tables(axes)
    assert len(table.rows) == figure_data.ROWS
    assert table.title == f"{figure_data.ROWS} of 1,000 points"
    assert table.rows[0] == ["0", "0"]
    assert table.rows[-1] == ["1", "1"]
    assert all(float(y) == pytest.approx(float(x) ** 2, abs=2e-3) for x, y in table.rows)


@pytest.mark.parametrize("flat", [False, True])
def test_bars_have_the_words_of_their_ticks(axes, flat):
    (axes.barh if flat else axes.bar)(["cat", "dog"], [3, 4.5])
    (axes.set_xlabel if flat else axes.set_ylabel)("pictures")
    (table,) = tables(axes)
    assert table.rows == [["cat", "3"], ["dog", "4.5"]]
    assert table.head[1] == "pictures"


def test_points_and_small_matrices_have_tables_and_pictures_have_none(axes):
    axes.scatter([1, 2], [0.5, np.nan], color=figures.GREEN)
    axes.imshow(np.arange(4).reshape(2, 2))
    points, matrix = tables(axes)
    assert points.rows == [["1", "0.5"], ["2", ""]]
    assert [row[1:] for row in matrix.rows] == [["0", "1"], ["2", "3"]]
    figure, other = figures.new_figure()
    other.imshow(np.zeros((28, 28)))
    assert figure_data.tables(figure) == []
    assert figure_data.as_html(figure) == ""
    figures.plt.close(figure)


def test_parts_of_a_figure_are_told_apart():
    figure, (left, right) = figures.new_figure(1, 2)
    for part, title in ((left, "quick"), (right, "")):
        part.plot([0, 1], [2, 3])
        part.set_title(title)
    assert [table.title for table in figure_data.tables(figure)] == ["quick", "part 2"]
    figures.plt.close(figure)


def test_the_box_is_in_the_figure_escaped_and_reachable_by_keyboard(axes):
    axes.plot([0, 1], [0, 1], label="a < b")
    axes.plot([0, 1], [1, 0], label="c")
    soup = BeautifulSoup(figures.as_html(axes.figure, alt=ALT, caption="A caption."), "html.parser")
    box = soup.select_one("figure > details.book-data")
    assert box.get("open") is None
    assert box.select_one(".book-table")["tabindex"] == "0"
    assert [th.get_text() for th in box.select("th")] == ["x", "a < b", "c"]
    assert all(th["scope"] == "col" for th in box.select("th"))


def test_a_stepped_figure_lists_what_each_frame_shows(capsys):
    frames, alts = [], [f"At step {k} the loss is {k / 10} on all examples." for k in range(2)]
    for k in range(2):
        figure, part = figures.new_figure()
        part.plot([0, 1], [0, k])
        frames.append(figure)
    shown = {}
    original = figures.display.show
    figures.display.show = lambda **parts: shown.update(parts)
    try:
        figures.show_steps(frames, label="step", values=["0", "1"], alts=alts, caption="A caption.")
    finally:
        figures.display.show = original
    rows = BeautifulSoup(shown["html"], "html.parser").select(".book-data tbody tr")
    assert [row.td.get_text() for row in rows] == alts
