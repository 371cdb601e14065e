"""House rules that every notebook keeps: clean, anatomical, and no measured number in its prose."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from book import sources
from book.paths import REPOSITORY, Paths

NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))
# Decimal fractions with three or more digits, and percentages: what a measurement looks like. A definition or an input of
# a worked example may look like that too; it is then written inside maths ($...$) or code (`...`), which are not searched.
MEASURED = re.compile(r"(?<![\w.])(\d+\.\d{3,}|\d+(\.\d+)?\s?(%|per cent|percent|percentage points?))(?!\w)")
LONGEST_CELL = 40

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [c for c in read(path).cells if c.cell_type == "code"]


def prose(path):
    return [c.source for c in read(path).cells if c.cell_type == "markdown"]


def without_code_and_maths(text: str) -> str:
    for pattern in (r"```.*?```(?=\n|$)", r"\$\$.*?\$\$", r"`[^`]*`", r"\$[^$\n]*\$", r"\]\([^)]*\)", r"<!--.*?-->"):
        keep = r"```\{(admonition|exercise)" if pattern.startswith("```") else None
        text = re.sub(
            pattern, lambda m, keep=keep: m.group(0) if keep and re.match(keep, m.group(0)) else " ", text, flags=re.S
        )
    return text


def measured_numbers(text: str) -> list[str]:
    return [m.group(0) for m in MEASURED.finditer(without_code_and_maths(text))]


def test_there_are_notebooks():
    assert NOTEBOOKS


@every_notebook
def test_is_fit_to_be_executed(path):
    sources.load(path)


@every_notebook
def test_no_cell_ends_with_a_claim_that_the_page_would_print_a_second_time(path):
    for cell in code_cells(path):
        last = ast.parse(cell.source).body[-1:]
        if last and isinstance(last[0], ast.Expr) and not cell.source.rstrip().endswith(";"):
            assert not ast.unparse(last[0]).startswith("claims."), cell.id


@every_notebook
def test_is_committed_clean(path):
    for cell in code_cells(path):
        assert cell.outputs == []
        assert cell.execution_count is None
    raw = json.loads(path.read_text(encoding="utf-8"))
    assert set(raw["metadata"]) <= {"kernelspec", "language_info", "book"}
    assert raw["metadata"]["kernelspec"]["name"] == "python3"


@every_notebook
def test_cell_ids_are_unique_and_readable(path):
    ids = [c.id for c in read(path).cells]
    assert len(ids) == len(set(ids))
    assert not [i for i in ids if re.fullmatch(r"[0-9a-f]{8}", i)], "random ids: give the cells names"


@every_notebook
def test_parameters_come_first_and_set_the_quick_profile(path):
    first = code_cells(path)[0]
    assert "parameters" in first.metadata.tags
    assert sources.load(path).parameters["PROFILE"] == "quick"


@every_notebook
def test_cells_can_be_retyped(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.id
        ast.parse(cell.source)


@every_notebook
def test_no_bare_except_and_no_hidden_warnings(path):
    for cell in code_cells(path):
        assert not re.search(r"except\s*:", cell.source), cell.id
        assert not re.search(r"filterwarnings\(\s*[\"']ignore", cell.source), cell.id


@every_notebook
def test_anatomy_of_a_chapter(path):
    text = "\n".join(prose(path))
    headings = [line.lstrip("# ").strip().lower() for line in text.splitlines() if re.match(r"#{1,3} ", line)]
    for wanted in ("what this does not show", "summary", "exercises", "further reading"):
        assert any(wanted in h for h in headings), f"no section '{wanted}'"
    assert "you will be able to" in text.lower()
    assert "before you run this" in text.lower()


@every_notebook
def test_every_exercise_has_a_folded_solution_that_runs(path):
    cells = read(path).cells
    labels = [re.search(r":label:\s*(\S+)", c.source).group(1) for c in cells if "```{exercise}" in c.source]
    solutions = [c for c in cells if c.cell_type == "code" and "solution" in c.metadata.get("tags", [])]
    assert len(labels) >= 3
    assert len(labels) == len(set(labels)) == len(solutions)
    for cell in solutions:
        assert "hide-cell" in cell.metadata.tags
        assert cell.metadata["mystnb"]["code_prompt_show"]
        assert "assert" in cell.source or "claims." in cell.source, f"{cell.id} checks nothing"


@every_notebook
def test_no_measured_number_in_prose(path):
    for text in prose(path):
        assert measured_numbers(text) == []


@pytest.mark.parametrize(
    "text", ["It reaches 0.9783 on the test set.", "about 98 % are right", "97.8 percent", "a loss of 2.303"]
)
def test_the_prose_linter_finds_measured_numbers(text):
    assert measured_numbers(text)


@pytest.mark.parametrize(
    "text", ["a rate of $0.001$", "`0.9783`", "chapter 5", "Dropout 0.2", "60,000 digits", "[x](a-0.9783)"]
)
def test_the_prose_linter_lets_definitions_pass(text):
    assert measured_numbers(text) == []


def test_links_between_errata_and_notebooks_exist():
    rows = (REPOSITORY / "book/data/errata.yml").read_text(encoding="utf-8")
    known = {f"erratum-{i.lower()}" for i in re.findall(r"^- id: (E\d+)", rows, flags=re.M)}
    for path in NOTEBOOKS:
        for target in re.findall(r"\]\(#(erratum-[^)]+)\)", "\n".join(prose(path))):
            assert target in known, f"{path.stem}: {target}"


def test_code_keeps_the_style():
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-500:]


def test_tree_names_no_machine_and_no_cdn():
    """Only what belongs to an open-source project: no local paths, no addresses that pages would load from."""
    paths = Paths(REPOSITORY)
    here = "|".join(re.escape(f"{folder}/") for folder in (REPOSITORY, Path.home()) if len(folder.parts) > 1)
    suspects = re.compile(rf"cdn\.|jsdelivr|unpkg|cdnjs|googleapis|{here}")
    for file in [*paths.pages.rglob("*.md"), *paths.theme.rglob("*.*"), *REPOSITORY.glob("*.*"), *NOTEBOOKS]:
        if file.is_file() and file.suffix in (
            ".md",
            ".css",
            ".js",
            ".json",
            ".yml",
            ".toml",
            ".ipynb",
            ".lock",
            ".svg",
        ):
            assert not suspects.search(file.read_text(encoding="utf-8")), file.name
