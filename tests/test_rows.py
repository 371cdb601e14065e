"""Errata, coverage and references: complete, well-formed, and bound to the book by ids that exist."""

import re

import pytest
import yaml
from pybtex.database import parse_file

from book import check, generated, ledger, outline, rows
from book.paths import REPOSITORY, Paths

PATHS = Paths(REPOSITORY)
ERRATA = ledger.read_rows(PATHS, "errata")
COVERAGE = ledger.read_rows(PATHS, "coverage")
REFERENCES = parse_file(str(PATHS.data / "references.bib")).entries
CHAPTERS = set(outline.CHAPTERS)


def test_errata_are_all_97_in_order():
    assert [row["id"] for row in ERRATA] == [f"E{n:02d}" for n in range(1, 98)]


@pytest.mark.parametrize("row", ERRATA, ids=lambda r: r["id"])
def test_erratum_is_complete(row):
    assert row["verdict"] in ledger.VERDICTS
    assert row["chapter"] in CHAPTERS
    for field in ("says", "truth", "instead"):
        assert len(row[field].split()) >= 3, field
    assert set(row["sources"]) <= set(REFERENCES)


@pytest.mark.parametrize("row", COVERAGE, ids=lambda r: r["id"])
def test_coverage_row_is_complete(row):
    assert re.fullmatch(r"C-[A-Z]+\d?", row["id"])
    assert row["group"] in outline.GROUPS
    assert row["chapters"]
    assert set(row["chapters"]) <= CHAPTERS
    assert row["runs"].strip()
    assert row["check"].strip()


def test_coverage_ids_are_unique():
    ids = [row["id"] for row in COVERAGE]
    assert len(ids) == len(set(ids)) == 72


@pytest.mark.parametrize("key", sorted(REFERENCES))
def test_reference_can_be_found_by_a_reader(key):
    fields = REFERENCES[key].fields
    assert fields.get("title")
    assert fields.get("year")
    assert REFERENCES[key].persons or fields.get("organization") or fields.get("howpublished")
    assert any(fields.get(name) for name in ("doi", "eprint", "isbn", "url")), (
        f"{key}: no doi, arXiv id, ISBN or address"
    )


@pytest.fixture(scope="module")
def book():
    if not any(PATHS.executed.glob("*.ipynb")):
        pytest.skip("no executed notebooks: run make book first")
    return generated.Book.collect(PATHS)


def test_ledger_has_no_fault(book):
    assert check.faults(PATHS, partial=False) == []


# Rows whose chapter is written: each must be proven by a claim of the executed book.
PROVEN_ERRATA = [*range(1, 72), 73, 76, 77, 82, *range(85, 97)]
PROVEN_CAPABILITIES = [
    *("C-ARC1", "C-ARC2", "C-ARC3", "C-ARC4", "C-ARC6", "C-FWD", "C-BWD", "C-LR", "C-MSE", "C-CE", "C-ACT", "C-GD"),
    *("C-FW", "C-CLEAN", "C-STD", "C-ENC", "C-FIG", "C-GOAL", "C-FAC"),
    *("C-M1", "C-M2", "C-M3", "C-M4", "C-M5", "C-M6", "C-MLP"),
    *("C-ENV", "C-CNN1", "C-CNN2", "C-CNN3", "C-CNN4", "C-CNN5", "C-AUG"),
    "C-ARC5",
    *("C-DEP", "C-HPO", "C-PRU", "C-QUA", "C-VAL"),
    *("C-ACC", "C-PRC", "C-F1", "C-ROC", "C-SEL"),
    *("C-GPU", "C-DIST", "C-CLU", "C-SHARD", "C-PAR", "C-DCOMP", "C-RES"),
    *("C-PRE", "C-FT"),
    *("C-PRIV", "C-ENCR", "C-ANON", "C-DP", "C-LAW"),
    *("C-CL",),
    "C-FIN",
    "C-MED",
    "C-CV",
]


@pytest.mark.parametrize("number", PROVEN_ERRATA)
def test_erratum_of_a_written_chapter_is_proven(book, number):
    (row,) = [r for r in ERRATA if r["id"] == f"E{number:02d}"]
    assert book.ledger.proven_by(row), f"E{number:02d} has no claim"


@pytest.mark.parametrize("row_id", PROVEN_CAPABILITIES)
def test_capability_of_a_written_chapter_is_proven(book, row_id):
    (row,) = [r for r in COVERAGE if r["id"] == row_id]
    assert book.ledger.proven_by(row), f"{row_id} has no claim"


# The rule behind the two lists, derived from the table of contents: it tightens itself when a chapter is added there.
WRITTEN = outline.written(PATHS)


@pytest.mark.parametrize("row", [*ERRATA, *COVERAGE], ids=lambda r: r["id"])
def test_a_row_of_a_written_chapter_has_a_claim_or_a_source(book, row):
    if not set(outline.chapters_of(row)) <= WRITTEN:
        pytest.skip("planned: its chapter is not in the table of contents")
    if row["id"].startswith("C-"):
        assert rows.proofs(row, book), "no claim names it, and a capability cannot be proven by a source"
    else:
        assert rows.proofs(row, book) or row["sources"], "it has neither a claim nor a source"


def test_at_least_seventy_errata_are_proven_by_claims(book):
    assert sum(rows.state(row, book) == "proven" for row in ERRATA) >= 70


def test_every_page_of_the_contents_that_rows_name_is_known():
    named = {name for row in [*ERRATA, *COVERAGE] for name in outline.chapters_of(row)}
    notebooks = {path.stem for path in PATHS.notebooks.glob("*.ipynb")}
    assert notebooks <= WRITTEN, "a notebook that the table of contents does not list would make its rows look planned"
    assert {name for name in WRITTEN if name[:2].isdigit()} == notebooks
    assert named <= set(outline.CHAPTERS)


def test_yaml_holds_no_tabs_or_windows_line_ends():
    for name in ("errata.yml", "coverage.yml"):
        raw = (PATHS.data / name).read_bytes()
        assert b"\t" not in raw
        assert b"\r" not in raw
        yaml.safe_load(raw)
