"""What goes into the site: pages with their generated parts, and executed notebooks that still fit their source."""

import copy
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book import BookError, cache, generated, ledger, receipts, render, stage
from book.paths import Paths

CLAIM = {
    "id": "a.b.c", "statement": "It <holds>.", "kind": "band", "value": 0.5, "bound": "at least 0.4", "passed": True,
    "errata": ["E20"], "capabilities": ["C-M1"], "data": [],
}  # fmt: skip
ROW = {"id": "E20", "section": "S3", "chapter": "05_mnist", "verdict": "wrong", "says": "Says *x*.", "truth": "True is y.",
       "instead": "Do z.", "claims": [], "sources": []}  # fmt: skip


@pytest.fixture
def project(tmp_path):
    """A root with one notebook, its executed copy, and pages."""
    paths = Paths(tmp_path)
    for folder in (paths.notebooks, paths.pages, paths.executed, paths.theme / "assets", paths.data):
        folder.mkdir(parents=True)
    source = new_notebook(
        cells=[
            new_markdown_cell("# Title", id="title"),
            new_code_cell('PROFILE = "quick"', id="p", metadata={"tags": ["parameters"]}),
            new_code_cell("print(1)", id="one"),
        ]
    )
    nbformat.write(source, paths.notebooks / "05_mnist.ipynb")
    executed = copy.deepcopy(source)
    run = {
        "content": cache.content(paths, source), "profile": "quick", "seconds": 1.0, "peak_memory_mib": 1.0, "date": "2026-01-01",
        "versions": {"tensorflow": "1", "keras": "2"},
        "device": {"gpus": [], "cores": 2, "cpu": "x", "memory_gib": 1.0},
    }  # fmt: skip
    executed.metadata["book"] = {"run": run}
    executed.cells[2].outputs = [new_output("display_data", {ledger.CLAIM: CLAIM, "text/plain": "holds"})]
    nbformat.write(executed, paths.executed / "05_mnist.ipynb")
    (tmp_path / "_config.yml").write_text("title: t\n")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/pages/index\nparts:\n- chapters:\n  - file: notebooks/05_mnist\n"
    )
    (paths.pages / "index.md").write_text("# Index\n\n<!-- generated: claims -->\n")
    return paths


def test_pages_land_at_the_root_with_their_generated_parts(project):
    assert stage.stage(project, {}) == []
    page = (project.stage / "index.md").read_text()
    assert "a.b.c" in page
    assert "It &lt;holds&gt;." in page
    assert "root: index" in (project.stage / "_toc.yml").read_text()


def test_the_run_line_follows_the_title(project):
    stage.stage(project, {})
    cells = nbformat.read(project.stage / "notebooks/05_mnist.ipynb", 4).cells
    assert cells[0].source == "# Title"
    assert "profile <strong>quick</strong>" in cells[1].source


def test_the_opening_table_gets_rows_from_receipts(project):
    for file in (project.notebooks / "05_mnist.ipynb", project.executed / "05_mnist.ipynb"):
        notebook = nbformat.read(file, 4)
        notebook.cells[
            0
        ].source = "# Title\n\n| | |\n|---|---|\n| **Time on a GPU** | open: not yet measured |\n\nAfter."
        nbformat.write(notebook, file)
    device = {"cpu": "x", "cores": 2, "memory_gib": 1.0, "gpus": [], "system": "Linux"}
    made = {"date": "2026-01-02", "seconds": 61.0, "peak_memory_mib": 512.0, "device_memory_mib": None,
            "device_energy_joules": None, "claims": {}}  # fmt: skip
    receipt = {"what": "w", "made_by": receipts.MADE_BY, "date": "2026-01-02", "profile": "quick", "jobs": 1, "device": device,
               "driver": None, "versions": {}, "notebooks": {"05_mnist": made}}  # fmt: skip
    receipts.folder(project).mkdir()
    file = receipts.folder(project) / "quick-2-cores-x.json"
    file.write_text(json.dumps({**receipt, "digest": receipts.digest(receipt)}))
    assert stage.stage(project, {}) == []
    title = nbformat.read(project.stage / "notebooks/05_mnist.ipynb", 4).cells[0].source
    assert "| **Measured, profile quick** | 2 cores of x: 61 s, 512 MiB; a machine with a graphics card: open" in title
    assert "| **Measured, profile full** | a machine with a graphics card: open: not yet measured |" in title
    assert "Time on a GPU" not in title
    assert title.endswith("|\n\nAfter.")


def test_a_copy_of_changed_code_counts_as_not_executed(project):
    file = project.notebooks / "05_mnist.ipynb"
    notebook = nbformat.read(file, 4)
    notebook.cells[2].source = "print(2)"
    nbformat.write(notebook, file)
    assert stage.stage(project, {}) == ["05_mnist"]
    staged = nbformat.read(project.stage / "notebooks/05_mnist.ipynb", 4)
    assert "not executed" in staged.cells[1].source
    assert all(c.outputs == [] for c in staged.cells if c.cell_type == "code")


def test_a_copy_made_with_other_helpers_counts_as_not_executed(project):
    (project.root / "helpers").mkdir()
    (project.root / "helpers/new.py").write_text("x = 1\n")
    assert stage.stage(project, {}) == ["05_mnist"]


def test_files_that_left_the_book_leave_the_stage(project):
    stage.stage(project, {})
    (project.stage / "old.md").write_text("# Old")
    stage.stage(project, {})
    assert not (project.stage / "old.md").exists()


def test_nothing_is_rewritten_when_nothing_changed(project):
    stage.stage(project, {})
    before = {p: p.stat().st_mtime_ns for p in project.stage.rglob("*") if p.is_file()}
    stage.stage(project, {})
    assert before == {p: p.stat().st_mtime_ns for p in project.stage.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("contents", "complaint"),
    [
        ("format: jb-book\nroot: book/pages/index\n", "does not list these notebooks: notebooks/05_mnist"),
        (
            "format: jb-book\nroot: book/pages/index\nchapters:\n- file: notebooks/05_mnist\n- file: notebooks/99_no\n",
            "99_no",
        ),
        ("format: jb-book\nroot: book/pages/nothing\nchapters:\n- file: notebooks/05_mnist\n", "book/pages/nothing"),
        ("- just\n- a list\n", "not a table of contents"),
        ("root: [\n", "not a table of contents"),
    ],
)
def test_a_faulty_table_of_contents_is_named(project, contents, complaint):
    (project.root / "_toc.yml").write_text(contents)
    with pytest.raises(BookError, match=complaint):
        stage.stage(project, {})


def book_with(errata=(), coverage=(), claims=()):
    made = ledger.build({"05_mnist": list(claims)}, list(errata), list(coverage))
    return generated.Book({}, list(errata), list(coverage), made)


def test_an_erratum_is_proven_by_a_claim_that_names_it():
    page = generated.fill("<!-- generated: errata -->", book_with([ROW], [{"id": "C-M1"}], [CLAIM]))
    assert "badge-proven" in page
    assert "notebooks/05_mnist.html#claim-a-b-c" in page


def test_an_erratum_without_claim_or_source_is_open():
    page = generated.fill("<!-- generated: errata -->", book_with([ROW]))
    assert "badge-open" in page
    assert "badge-proven" not in page


def test_a_failed_claim_proves_nothing():
    page = generated.fill(
        "<!-- generated: errata -->", book_with([ROW], [{"id": "C-M1"}], [{**CLAIM, "passed": False}])
    )
    assert "badge-proven" not in page


def test_the_front_page_counts_what_is_there():
    page = generated.fill("<!-- generated: numbers -->", book_with([ROW], [{"id": "C-M1"}], [CLAIM]))
    assert "<strong>1</strong>" in page
    assert "1 of 1" in page


def test_a_figure_that_an_executed_chapter_does_not_have_is_an_error():
    chapter = new_notebook(cells=[new_code_cell("1", id="one")])
    book = generated.Book({"05_mnist": chapter}, [], [], ledger.Ledger())
    with pytest.raises(BookError, match="cell 'none' of 05_mnist"):
        generated.fill("<!-- generated: figure 05_mnist none -->", book)


def test_a_figure_of_a_chapter_that_is_not_executed_says_so():
    page = generated.fill("<!-- generated: figure 05_mnist none -->", book_with())
    assert "appears here when" in page


def test_a_site_is_made_from_sources_and_not_from_what_tools_leave_beside_them(project):
    """The caches of linters and the checkpoints of JupyterLab make no site older than its sources."""
    paths = project
    (paths.html).mkdir(parents=True)
    (paths.html / "index.html").write_text("")
    (paths.build / "html.stamp").write_text(render._digest(paths) + "\n")
    assert render.is_current(paths)
    for left in (".ruff_cache/1/x", ".ipynb_checkpoints/05_mnist-checkpoint.ipynb", "__pycache__/x.pyc"):
        file = paths.notebooks / left
        file.parent.mkdir(parents=True)
        file.write_text("x")
    assert render.is_current(paths)
    (paths.notebooks / "more.ipynb").write_text("{}")
    assert not render.is_current(paths)
