"""The glossary: its data, its page, and links at the first use of a term, in running text only."""

from __future__ import annotations

import html
import re

import nbformat
import pytest
from bs4 import BeautifulSoup

from book import BookError, glossary, outline
from book.glossary import Linker, Term
from book.paths import REPOSITORY, Paths

PATHS = Paths(REPOSITORY)
TERMS = glossary.read(PATHS)
CHAPTERS = sorted((PATHS.html / "notebooks").glob("*.html"))


def term(name: str, *forms: str, unless=(), not_in=()) -> Term:
    return Term(name, "词", "Means something.", "05_mnist", forms or (name,), tuple(unless), tuple(not_in))


LOGIT, LOSS, RELU = term("logit", "logit", "logits"), term("loss"), term("ReLU")
RATE = term("learning rate")


def linked(body: str, *terms: Term, chapter="05_mnist") -> BeautifulSoup:
    soup = BeautifulSoup(f"<main><article>{body}</article></main>", "html.parser")
    count = Linker(list(terms)).link(soup, chapter, "../")
    assert count == len(soup.select("a.term"))
    return soup


def words(soup: BeautifulSoup) -> list[str]:
    return [link.get_text() for link in soup.select("a.term")]


# --- data ------------------------------------------------------------------------------------------------------------


def test_there_are_enough_terms_in_both_languages():
    assert len(TERMS) >= 120
    for one in TERMS:
        assert re.search(r"[\u4e00-\u9fff]", one.chinese) or one.chinese == one.term, one.term
        assert one.definition.endswith((".", ").")), one.term
        assert 4 <= len(one.definition.split()) <= 32, one.term
        assert one.definition.count(". ") <= 2, one.term


def test_anchors_are_unique_and_the_list_is_sorted():
    anchors = [one.anchor for one in TERMS]
    assert len(anchors) == len(set(anchors))
    assert all(re.fullmatch(r"term-[a-z0-9]+(-[a-z0-9]+)*", anchor) for anchor in anchors)
    assert [one.term.lower() for one in TERMS] == sorted(one.term.lower() for one in TERMS)


def test_terms_occur_in_the_chapters_that_are_said_to_teach_them():
    """Of the chapters that are written. Some slack is left for a chapter that is new and chose another word."""
    written, missing, prose = 0, [], {}
    for one in TERMS:
        file = PATHS.notebooks / f"{one.chapter}.ipynb"
        if file.is_file():
            if file not in prose:
                cells = nbformat.read(file, as_version=4).cells
                prose[file] = " ".join(" ".join(c.source for c in cells if c.cell_type == "markdown").split())
            written += 1
            found = (
                re.search(rf"(?<![\w-]){re.escape(form)}(?![\w-])", prose[file], re.IGNORECASE) for form in one.forms
            )
            if not any(found):
                missing.append(f"{one.term} ({one.chapter})")
    assert len(missing) <= written // 10, f"correct their chapter or their forms in glossary.yml: {', '.join(missing)}"


ROW = "- term: logit\n  chinese: 词\n  chapter: 05_mnist\n  definition: Means something.\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (ROW.replace("05_mnist", "99_no"), "the chapter '99_no'"),
        (ROW + "  not_in: [99_no]\n", "the chapter '99_no'"),
        (ROW.replace("  chinese: 词\n", ""), "chinese"),
        (ROW + ROW.replace("term: logit", "term: other\n  forms: [logit]"), "'logit' belongs to"),
        ("term: logit\n", "list of terms"),
        ("- [\n", "list of terms"),
    ],
)
def test_faulty_data_is_one_clear_error(tmp_path, text, complaint):
    (tmp_path / "book/data").mkdir(parents=True)
    (tmp_path / "book/data/glossary.yml").write_text(text, encoding="utf-8")
    with pytest.raises(BookError, match=complaint) as caught:
        glossary.read(Paths(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_book_without_a_glossary_has_no_terms(tmp_path):
    assert glossary.read(Paths(tmp_path)) == []
    assert words(linked("<p>The loss.</p>")) == []


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_holds_every_term_with_anchor_translation_and_chapter():
    soup = BeautifulSoup(glossary.page(TERMS, frozenset({"05_mnist"})), "html.parser")
    assert [dt["id"] for dt in soup.select("dl dt")] == [one.anchor for one in TERMS]
    for dt, one in zip(soup.select("dl dt"), TERMS, strict=True):
        assert dt.dfn.get_text() == one.term
        assert dt.select_one("[lang=zh-Hans]").get_text() == one.chinese
        link = dt.parent.select_one("dd a")
        assert (link is not None) == (one.chapter == "05_mnist"), "a chapter that is not written cannot be linked"
        assert ("(planned)" in dt.parent.dd.get_text()) == (link is None)


def test_text_of_the_page_is_escaped():
    made = glossary.page([Term("a<b", "<词>", "Less < more.", "05_mnist", ("a<b",))], None)
    assert "<b" not in made.replace("<button", "")
    assert html.escape("Less < more.", quote=False) in made


# --- links -----------------------------------------------------------------------------------------------------------


def test_only_the_first_use_is_linked_and_the_text_stays():
    body = "<p>One logit, two logits.</p><p>More <b>logits</b> and a loss.</p>"
    soup = linked(body, LOGIT, LOSS)
    assert words(soup) == ["logit", "loss"]
    assert soup.get_text() == BeautifulSoup(body, "html.parser").get_text()
    assert soup.a["href"] == "../glossary.html#term-logit"


def test_a_plural_or_a_capital_is_a_use():
    assert words(linked("<p>Logits matter.</p>", LOGIT)) == ["Logits"]
    assert words(linked("<p>The learning\n   rate is 1.</p>", RATE)) == ["learning\n   rate"]


@pytest.mark.parametrize("text", ["logitss", "prelogit", "logit-like", "semi-logit", "LOGIT", "logit_1", "a_logit"])
def test_a_part_of_another_word_is_no_use(text):
    assert words(linked(f"<p>{text}</p>", LOGIT)) == []


@pytest.mark.parametrize("text", ["relu", "RELU", "Relu"])
def test_a_name_is_linked_as_it_is_written(text):
    assert words(linked(f"<p>{text}</p>", RELU)) == []


def test_the_longest_term_wins():
    made = linked("<p>The learning rate, the rate, and learning.</p>", term("learning"), RATE, term("rate"))
    assert words(made) == ["learning rate", "rate", "learning"]


def test_a_phrase_with_another_meaning_is_passed_over():
    precise = term("precision", unless=["double precision"])
    assert words(linked("<p>In double precision.</p>", precise)) == []
    assert words(linked("<p>In double precision, the precision is high.</p>", precise)) == ["precision"]


def test_a_chapter_that_means_something_else_by_a_word_is_left_alone():
    token = term("token", not_in=["11_deployment"])
    assert words(linked("<p>A token.</p>", token, chapter="11_deployment")) == []
    assert words(linked("<p>A token.</p>", token, chapter="07_attention")) == ["token"]


FORBIDDEN = [
    "<a href='x'>{}</a>", "<code>{}</code>", "<pre>{}</pre>", "<h1>{}</h1>", "<h2>{}</h2>", "<h3>{}</h3>", "<h4>{}</h4>",
    "<span class='math notranslate'>{}</span>", "<div class='math'><span>{}</span></div>", "<span class='katex'>{}</span>",
    "<figure><p>{}</p></figure>", "<table><tr><td>{}</td></tr></table>", "<details><summary>{0}</summary><p>{0}</p></details>",
    "<div class='cell_output'><p>{}</p></div>", "<div class='cell_input'>{}</div>", "<div class='claim'><p>{}</p></div>",
    "<p class='admonition-title'>{}</p>", "<p class='run-line'>{}</p>", "<script>{}</script>", "<style>{}</style>",
    "<svg><text>{}</text></svg>", "<button>{}</button>", "<!-- {} -->", "<kbd>{}</kbd>", "<a href='x'><b>{}</b></a>",
]  # fmt: skip


@pytest.mark.parametrize("place", FORBIDDEN)
def test_nothing_is_linked_outside_running_text_and_the_use_after_it_is(place):
    soup = linked(place.format("The logit here.") + "<p>A logit there.</p>", LOGIT)
    assert words(soup) == ["logit"]
    assert soup.select_one("a.term").parent.name == "p"
    assert soup.select_one("a.term").parent.get_text() == "A logit there."


@pytest.mark.parametrize("place", ["<p>{}</p>", "<ul><li>{}</li></ul>", "<p><em>{}</em></p>", "<blockquote>{}</blockquote>",
                                   "<div class='admonition'><p>{}</p></div>"])  # fmt: skip
def test_running_text_is_linked_wherever_it_stands(place):
    assert words(linked(place.format("The logit here."), LOGIT)) == ["logit"]


def test_text_outside_the_article_is_left_alone():
    soup = BeautifulSoup("<nav>logit</nav><article><p>x</p></article>", "html.parser")
    assert Linker([LOGIT]).link(soup, "05_mnist", "../") == 0


# --- the site --------------------------------------------------------------------------------------------------------

if not CHAPTERS:
    pytest.skip("no site: run make book first", allow_module_level=True)

# Said here once more, in the terms of a style sheet, so that the two lists check each other.
NEVER = ("a, code, pre, h1, h2, h3, h4, h5, h6, .math, .katex, figure, svg, table, summary, details, .cell_output, "
         ".cell_input, .claim, .admonition-title, .run-line, nav, header, footer")  # fmt: skip


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_terms_are_linked_once_per_chapter_and_only_in_running_text(page):
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    links = soup.select("a.term")
    targets = [link["href"] for link in links]
    assert len(targets) >= 8
    assert len(set(targets)) == len(targets)
    anchors = {
        dt["id"] for dt in BeautifulSoup((PATHS.html / "glossary.html").read_text(), "html.parser").select("dt[id]")
    }
    forbidden = {id(element) for element in soup.select(NEVER)}
    for link in links:
        address, _, anchor = link["href"].partition("#")
        assert address == "../glossary.html"
        assert anchor in anchors
        assert link.find_parent("article")
        assert not forbidden & {id(parent) for parent in link.parents}, link
    assert sum(len(str(link)) for link in links) < 12_000, "links must weigh little"


def test_the_contents_list_the_glossary():
    assert "glossary" in outline.written(PATHS)
