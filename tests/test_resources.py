"""The reading list, the article's citations, its tools, and the claims that the builder makes about its own pages."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from pybtex.database import parse_file
from pybtex.richtext import Text

from book import BookError, check, generated, ledger, outline, page_claims, resources, rows
from book.paths import REPOSITORY, Paths
from book.resources import Library

PATHS = Paths(REPOSITORY)
LIBRARY = resources.read(PATHS)
REFERENCES = parse_file(str(PATHS.data / "references.bib")).entries
WRITTEN = frozenset({"index", "resources", "05_mnist"})


def plain(title: str) -> str:
    return re.sub(r"\W+", " ", str(Text.from_latex(title))).lower().strip()


# --- data ------------------------------------------------------------------------------------------------------------


def test_ids_are_unique():
    for listed in (LIBRARY.resources, LIBRARY.citations, LIBRARY.tools):
        ids = [row["id"] for row in listed]
        assert len(ids) == len(set(ids))


def test_every_goal_has_something_to_offer():
    assert {row["goal"] for row in LIBRARY.resources} == set(resources.GOALS)


@pytest.mark.parametrize("row", LIBRARY.resources, ids=lambda row: row["id"])
def test_a_resource_says_in_one_line_what_it_is_good_for(row):
    assert row["good_for"].endswith(".")
    assert row["whom"].endswith(".")
    assert 4 <= len(row["good_for"].split()) <= 30
    if "bib" in row:
        entry = REFERENCES[row["bib"]]
        # The list may leave out an article or a version, but it must be the same work.
        assert plain(row["title"]) in plain(entry.fields["title"]), row["bib"]


def test_the_citations_are_the_sixteen_of_the_article_and_their_sources_are_in_the_bibliography():
    assert [row["id"] for row in LIBRARY.citations] == [f"B{n}" for n in range(1, 17)]
    for row in LIBRARY.citations:
        assert set(row.get("sources", [])) <= set(REFERENCES), row["id"]


def test_the_tools_are_the_eight_of_the_article():
    wanted = ["tensorflow", "pytorch", "theano", "pandas", "numpy", "scikit-learn", "matplotlib", "seaborn"]
    assert [row["id"] for row in LIBRARY.tools] == wanted


# --- faulty data -----------------------------------------------------------------------------------------------------

RESOURCE = "- id: a\n  title: T\n  kind: book\n  goal: start\n  good_for: It is good.\n  whom: you.\n"


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("resources", RESOURCE, "lacks authors, link"),
        ("resources", RESOURCE.replace("  title: T\n", ""), "lacks title"),
        ("resources", RESOURCE.replace("start", "fame") + "  bib: k\n", "unknown kind or goal"),
        ("citations", "- id: B1\n  section: S1\n  cited: x\n  verdict: fine\n  really: y\n", "the verdict 'fine'"),
        ("tools", "- id: a\n  title: T\n", "lacks link, article, really"),
    ],
)
def test_a_faulty_row_is_one_clear_error(tmp_path, file, text, complaint):
    (tmp_path / "book/data").mkdir(parents=True)
    (tmp_path / f"book/data/{file}.yml").write_text(text)
    with pytest.raises(BookError, match=complaint) as caught:
        resources.read(Paths(tmp_path))
    assert f"{file}.yml" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- pages -----------------------------------------------------------------------------------------------------------


def test_a_resource_with_a_key_is_cited_and_one_without_is_linked():
    made = resources.reading_list(
        Library(
            resources=[
                {"id": "a", "goal": "start", "kind": "book", "title": "One", "bib": "k", "good_for": "G.", "whom": "W."},
                {"id": "b", "goal": "start", "kind": "site", "title": "Two", "authors": "Them", "year": 2020,
                 "link": "https://two.org", "good_for": "H.", "whom": "V."},
            ]
        )
    )  # fmt: skip
    assert "- **One** (book, {cite:t}`k`). G. *For* W." in made
    assert "- **[Two](https://two.org)** (site, Them, 2020). H. *For* V." in made


def test_every_citation_stands_on_the_page_with_its_verdict():
    made = resources.citations(LIBRARY)
    for row in LIBRARY.citations:
        assert f"(citation-{row['id'].lower()})=" in made
        for key in row.get("sources", []):
            assert f"{{cite:t}}`{key}`" in made


def chapter(*cells: str) -> nbformat.NotebookNode:
    return new_notebook(cells=[new_markdown_cell("import pandas"), *map(new_code_cell, cells)])


def test_a_tool_is_used_where_an_executed_cell_imports_it_directly_or_through_a_helper():
    notebooks = {
        "05_mnist": chapter("import numpy as np", "from sklearn.metrics import f1_score"),
        "06_augmented_cnn": chapter("%matplotlib inline\nfrom helpers import figures"),
        "10_optimisation": chapter("# import pandas\ntext = 'import pandas'"),
    }
    used = resources.uses(LIBRARY, notebooks)
    assert "05_mnist" in used["numpy"]
    assert used["scikit-learn"] == ["05_mnist"]
    assert used["matplotlib"] == ["06_augmented_cnn"]
    assert used["pandas"] == []
    assert not {"theano", "seaborn"} & set(used)


# --- claims about pages ----------------------------------------------------------------------------------------------


def everything() -> dict[str, nbformat.NotebookNode]:
    return {"02_concepts": chapter("import tensorflow, pandas, numpy, sklearn, matplotlib.pyplot, torch")}


def made(library=LIBRARY, notebooks=None, written=WRITTEN, structure=("index",)) -> dict[str, dict]:
    listed = [{"id": "C-STRUCT", "section": "S1", "chapters": list(structure)}]
    listed += [{"id": f"E{n}", "section": f"S{n}", "chapter": "05_mnist"} for n in range(2, 11)]
    notebooks = everything() if notebooks is None else notebooks
    found = page_claims.make(PATHS, notebooks, library, listed, written)
    return {claim["id"]: claim for claims in found.values() for claim in claims}


def test_the_claims_about_pages_hold_and_have_the_form_of_a_notebooks_claims():
    claims = made()
    assert all(claim["passed"] for claim in claims.values()), [c for c in claims.values() if not c["passed"]]
    fields = {"id", "statement", "kind", "value", "bound", "passed", "errata", "capabilities", "data"}
    assert all(set(claim) == fields for claim in claims.values())
    assert {row for claim in claims.values() for row in claim["errata"]} == {"E79", "E80", "E81"}
    assert {row for c in claims.values() for row in c["capabilities"]} == {"C-BIB", "C-TOOL", "C-STRUCT"}


def test_a_tool_that_no_chapter_uses_fails_its_claim():
    notebooks = {"02_concepts": chapter("import tensorflow, pandas, numpy, torch, matplotlib")}
    assert not made(notebooks=notebooks)["resources.tools.used"]["passed"]


def test_the_use_of_tools_is_not_claimed_while_chapters_are_missing():
    assert "resources.tools.used" not in made(notebooks={})


def test_a_malformed_identifier_fails_its_claim():
    row = {**LIBRARY.resources[0], "link": "http://www.deeplearningbook.org"}
    claim = made(Library([row], LIBRARY.citations, LIBRARY.tools))["resources.references.form"]
    assert (claim["passed"], claim["value"]) == (False, 1)


def test_a_citation_that_stands_alone_fails_its_claim():
    alone = [{**row, "sources": []} if row["id"] == "B5" else row for row in LIBRARY.citations]
    claim = made(Library(LIBRARY.resources, alone, LIBRARY.tools))["resources.citations.replaced"]
    assert (claim["passed"], claim["value"]) == (False, 1)


def test_a_wrong_home_of_a_tool_fails_its_claim():
    tools = [{**row, "link": "https://numpy.com"} if row["id"] == "numpy" else row for row in LIBRARY.tools]
    assert not made(Library(LIBRARY.resources, LIBRARY.citations, tools))["resources.tools.homes"]["passed"]


def test_the_parts_are_claimed_when_all_their_chapters_are_written_and_fail_when_one_has_none():
    assert made()["coverage.parts.mapped"]["passed"]
    assert "coverage.parts.mapped" not in made(structure=("index", "16_trends"))
    assert not made(written=frozenset({"index"}))["coverage.parts.mapped"]["passed"]


def test_a_book_without_a_reading_list_makes_no_claims_about_it():
    assert made(Library()) == {}


# --- states of rows --------------------------------------------------------------------------------------------------


def row(id: str, chapter: str, sources=()) -> dict:
    return {"id": id, "section": "S1", "chapter": chapter, "verdict": "wrong", "claims": [], "sources": list(sources),
            "says": "s", "truth": "t", "instead": "i"}  # fmt: skip


def book(errata=(), coverage=(), claims=(), written=WRITTEN, notebooks=("05_mnist",)) -> generated.Book:
    found = ledger.build({"05_mnist": list(claims)}, list(errata), list(coverage))
    return generated.Book(dict.fromkeys(notebooks), list(errata), list(coverage), found, written=written)


def claim(id: str, *proven: str, passed=True) -> dict:
    errata = [one for one in proven if one.startswith("E")]
    return {"id": id, "passed": passed, "errata": errata, "capabilities": [p for p in proven if p not in errata]}


def test_a_row_is_proven_else_sourced_else_planned_else_open():
    listed = [
        row("E01", "05_mnist", ["k"]),
        row("E02", "05_mnist", ["k"]),
        row("E03", "16_trends"),
        row("E04", "05_mnist"),
    ]
    shown = book(listed, claims=[claim("a.b", "E01")])
    assert [rows.state(one, shown) for one in listed] == ["proven", "sourced", "planned", "open"]


def test_an_open_row_of_a_written_chapter_is_a_fault_until_it_has_a_claim_or_a_source():
    (fault,) = rows.faults(book([row("E01", "05_mnist")]))
    assert "E01" in fault
    assert "05_mnist" in fault
    assert rows.faults(book([row("E01", "05_mnist", ["k"])])) == []
    assert rows.faults(book([row("E01", "05_mnist")], claims=[claim("a.b", "E01")])) == []
    assert rows.faults(book([row("E01", "05_mnist")], claims=[claim("a.b", "E01", passed=False)]))


def test_the_fault_comes_with_the_chapter_in_the_contents():
    listed = [row("E01", "07_attention")]
    assert rows.faults(book(listed, notebooks=["07_attention"])) == []
    assert rows.faults(book(listed, notebooks=["07_attention"], written=WRITTEN | {"07_attention"}))


def test_a_row_of_a_chapter_that_was_not_executed_is_not_faulted():
    assert rows.faults(book([row("E01", "05_mnist")], notebooks=[])) == []


def test_a_capability_needs_a_claim_and_all_of_its_chapters():
    capability = {"id": "C-X", "section": "S1", "chapters": ["05_mnist", "16_trends"], "sources": []}
    assert rows.state(capability, book(coverage=[capability])) == "planned"
    assert rows.faults(book(coverage=[capability])) == []
    assert rows.faults(book(coverage=[{**capability, "chapters": ["05_mnist"]}]))


def test_a_failed_claim_about_a_page_stops_the_check(monkeypatch, tmp_path):
    failed = claim("resources.x.y", passed=False)
    whole = {"statement": "No.", "kind": "equal", "value": 1, "bound": "exactly 0", "data": [], **failed}
    found = ledger.build({"resources": [whole]}, [], [])
    monkeypatch.setattr(check.Book, "collect", lambda paths: generated.Book({}, [], [], found))
    (fault,) = check.faults(Paths(tmp_path), partial=False)
    assert "resources.x.y" in fault
    assert "Measured 1; required: exactly 0" in fault


def test_an_open_row_stops_the_check_of_a_whole_book_and_not_of_a_part(monkeypatch, tmp_path):
    paths = Paths(tmp_path)
    paths.notebooks.mkdir()
    (paths.notebooks / "05_mnist.ipynb").write_text("{}")
    shown = book([row("E01", "05_mnist")])
    shown.notebooks["05_mnist"] = new_notebook()
    monkeypatch.setattr(check.Book, "collect", lambda paths: shown)
    (fault,) = check.faults(paths, partial=False)
    assert "E01" in fault
    assert check.faults(paths, partial=True) == []


def test_every_part_of_the_article_is_named_by_some_row():
    listed = [*ledger.read_rows(PATHS, "errata"), *ledger.read_rows(PATHS, "coverage")]
    named = {part for one in listed for part in rows.parts_of(one)}
    assert named == set(rows.PARTS)
    assert rows.parts_of({"section": "S7.1, S10, S7.3"}) == ["S7", "S10"]


def test_the_contents_tell_what_is_written(tmp_path):
    assert outline.written(Paths(tmp_path)) is None
    (tmp_path / "_toc.yml").write_text("root: book/pages/index\nparts:\n- chapters:\n  - file: notebooks/05_mnist\n")
    assert outline.written(Paths(tmp_path)) == {"index", "05_mnist"}
    (tmp_path / "_toc.yml").write_text("- a list\n")
    assert outline.written(Paths(tmp_path)) is None
