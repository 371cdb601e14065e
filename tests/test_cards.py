"""The cards of the front page."""

import pytest
import yaml
from bs4 import BeautifulSoup

from book import BookError, cards
from book.paths import REPOSITORY, Paths

PATHS = Paths(REPOSITORY)


@pytest.fixture
def project(tmp_path):
    """A root with the book's chapters and contents, and cards to change."""
    (tmp_path / "notebooks").symlink_to(PATHS.notebooks)
    (tmp_path / "_toc.yml").write_bytes((PATHS.root / "_toc.yml").read_bytes())
    (tmp_path / "book/data").mkdir(parents=True)
    paths = Paths(tmp_path)

    def write(change):
        rows = yaml.safe_load((PATHS.data / "chapters.yml").read_text(encoding="utf-8"))
        change(rows)
        (paths.data / "chapters.yml").write_text(yaml.safe_dump(rows), encoding="utf-8")
        return paths

    return write


def test_every_chapter_has_a_card_in_the_order_of_the_book():
    soup = BeautifulSoup(cards.page(PATHS, {"05_mnist": [1, 2, 3]}, {}), "html.parser")
    links = [a["href"] for a in soup.select("ul.book-cards a")]
    assert sorted(links) == sorted(f"notebooks/{p.stem}.html" for p in PATHS.notebooks.glob("*.ipynb"))
    assert [heading.get_text() for heading in soup.select("h3")] == ["I. Foundations", "II. Practice", "III. Judgement"]
    facts = soup.select_one("a[href='notebooks/05_mnist.html'] small").get_text()
    assert "3 claims" in facts
    assert "minutes to read" in facts
    assert "runs in" not in facts, "a chapter that was not executed has no time"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.pop("05_mnist"), "no card for 05_mnist"),
        (lambda rows: rows["05_mnist"].update(level="brutal"), "'05_mnist' needs"),
        (lambda rows: rows["05_mnist"].update(line=""), "'05_mnist' needs"),
        (lambda rows: rows.update({"99_none": {"level": "beginner", "line": "x"}}), "'99_none' needs"),
    ],
)
def test_a_card_that_is_missing_or_wrong_is_one_sentence(project, change, sentence):
    with pytest.raises(BookError, match=sentence):
        cards.page(project(change), {}, {})
