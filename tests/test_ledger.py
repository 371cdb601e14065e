"""Claims held against the errata and the coverage map: what does not fit is a fault that names both sides."""

from __future__ import annotations

import pytest

from book import BookError, ledger
from book.paths import Paths


def claim(id: str, *, errata=(), capabilities=()) -> dict:
    return {"id": id, "passed": True, "errata": list(errata), "capabilities": list(capabilities)}


def row(id: str, *claims: str) -> dict:
    return {"id": id, "claims": list(claims)}


def test_claims_and_rows_that_fit_have_no_faults():
    made = {"05_mnist": [claim("a.one", errata=["E01"]), claim("a.two", capabilities=["C-M1"])], "06": [claim("b.one")]}
    found = ledger.build(made, [row("E01"), row("E02", "b.one")], [row("C-M1", "a.two")])
    assert found.faults == []
    assert list(found.claims) == ["a.one", "a.two", "b.one"]
    assert found.chapter_of == {"a.one": "05_mnist", "a.two": "05_mnist", "b.one": "06"}


def test_a_row_is_proven_by_claims_of_both_directions_each_once():
    found = ledger.build(
        {"x": [claim("a.one", errata=["E01"]), claim("a.two", errata=["E01"])]}, [row("E01", "a.one")], []
    )
    assert found.proven_by(row("E01", "a.one")) == ["a.one", "a.two"]
    assert found.proven_by(row("E02")) == []


def test_a_claim_made_twice_is_a_fault_that_names_both_chapters():
    found = ledger.build({"first": [claim("a.one")], "second": [claim("a.one")]}, [], [])
    (fault,) = found.faults
    assert all(word in fault for word in ("a.one", "first", "second"))


def test_a_claim_made_twice_in_one_chapter_is_a_fault():
    assert len(ledger.build({"first": [claim("a.one"), claim("a.one")]}, [], []).faults) == 1


@pytest.mark.parametrize("names", [{"errata": ["E99"]}, {"capabilities": ["C-NONE"]}])
def test_a_claim_that_names_an_unknown_row_is_a_fault(names):
    (fault,) = ledger.build({"first": [claim("a.one", **names)]}, [row("E01")], [row("C-M1")]).faults
    assert "a.one" in fault
    assert "first" in fault
    assert next(iter(names.values()))[0] in fault


@pytest.mark.parametrize("kind", ["errata", "coverage"])
def test_a_row_that_names_a_claim_that_nobody_made_is_a_fault(kind):
    rows = {"errata": [], "coverage": [], kind: [row("E01", "a.none")]}
    (fault,) = ledger.build({"first": [claim("a.one")]}, rows["errata"], rows["coverage"]).faults
    assert "E01" in fault
    assert "a.none" in fault


@pytest.mark.parametrize("chapter", [{"chapter": "second"}, {"chapters": ["first", "second"]}])
def test_a_row_is_not_faulted_while_its_chapter_is_missing(chapter):
    wanting = {**row("E01", "a.none"), **chapter}
    found = ledger.build({"first": [claim("a.one")]}, [wanting], [], chapters_missing=frozenset({"second"}))
    assert found.faults == []


def test_a_row_of_an_executed_chapter_is_faulted_while_another_is_missing():
    wanting = {**row("E01", "a.none"), "chapter": "first"}
    found = ledger.build({"first": [claim("a.one")]}, [wanting], [], chapters_missing=frozenset({"second"}))
    assert len(found.faults) == 1


def test_a_duplicate_is_a_fault_even_while_chapters_are_missing():
    made = {"first": [claim("a.one")], "second": [claim("a.one")]}
    assert ledger.build(made, [], [], chapters_missing=frozenset({"third"})).faults


class TestRows:
    @pytest.fixture
    def file(self, tmp_path):
        (tmp_path / "book" / "data").mkdir(parents=True)
        return tmp_path / "book" / "data" / "errata.yml"

    def test_are_read_in_order(self, tmp_path, file):
        file.write_text("- id: E02\n- id: E01\n  claims: [a.one]\n")
        assert ledger.read_rows(Paths(tmp_path), "errata") == [{"id": "E02"}, {"id": "E01", "claims": ["a.one"]}]

    def test_are_none_without_a_file(self, tmp_path):
        assert ledger.read_rows(Paths(tmp_path), "errata") == []

    @pytest.mark.parametrize("text", ["", "id: E01", "- E01", "- claims: []", "- id: 'E01", "- id: E01\n bad"])
    def test_of_another_form_are_one_clear_error(self, tmp_path, file, text):
        file.write_text(text)
        with pytest.raises(BookError, match=r"errata\.yml") as caught:
            ledger.read_rows(Paths(tmp_path), "errata")
        assert "\n" not in str(caught.value)
