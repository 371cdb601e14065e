"""Chapters on another backend: executed there as they are, kept as data that nobody edits, and shown with what is open."""

import ast
import json
import shutil
import signal

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell

from book import BookError, backends, backends_page, cache, ledger, sources
from book.__main__ import main
from book.paths import REPOSITORY, Paths
from conftest import Outcome, assert_one_sentence, stdout_of, wait_until

PATHS = Paths(REPOSITORY)
HERE = backends.BackendPaths(REPOSITORY, "jax")
needs_jax = pytest.mark.skipif(not HERE.python.is_file(), reason="needs: python3 -m book setup --engine jax")


# -- The receipt of the repository ----------------------------------------------------------------------------------------


def test_the_receipt_of_the_repository_has_all_neutral_chapters_and_no_tensorflow():
    for receipt in backends.read_all(PATHS):  # refuses what was edited
        assert list(receipt["notebooks"]) == list(backends.NEUTRAL)
        assert not any("tensorflow" in name for name in receipt["versions"])
        assert receipt["made_by"] == backends.MADE_BY.format(receipt["backend"])
        for made in receipt["notebooks"].values():
            assert set(made) == set(backends.OF_A_NOTEBOOK)
            assert made["claims"]
            assert not set(made["claims"]) & set(made["not_checked"])


def test_claims_that_are_not_checked_elsewhere_are_few_and_speak_of_tensorflow_or_its_reader():
    for receipt in backends.read_all(PATHS):
        for name, made in receipt["notebooks"].items():
            left_out = guarded(nbformat.read(PATHS.notebooks / f"{name}.ipynb", as_version=4))
            assert len(made["not_checked"]) < len(made["claims"]) / 3
            assert set(made["not_checked"]) <= left_out


def guarded(notebook) -> set[str]:
    """Texts that stand in a block ``if only_on(...):``, which other backends leave out."""
    found = set()
    for cell in (c for c in notebook.cells if c.cell_type == "code"):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.If) and isinstance(node.test, ast.Call) and node.test.func.id == "only_on":
                inside = [part for statement in node.body for part in ast.walk(statement)]
                found |= {
                    part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)
                }
    return found


def test_only_what_stands_in_the_block_counts_as_left_out():
    code = "if only_on('x', y):\n    f('a')\ng('b')\nif other():\n    f('c')"
    notebook = nbformat.v4.new_notebook(cells=[new_code_cell(code)])
    assert guarded(notebook) == {"a"}


# -- Requests that cannot be carried out ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["backend", "cobol"], "There is no backend 'cobol' to execute on; choose from: jax, torch."),
        (["backend", "jax", "--only", "04_loss_examples"], "'04_loss_examples' is not written for several backends"),
        (["backend", "jax", "--only", "99"], "matches no notebook"),
        (["backend", "jax", "--only", "05", "--only", "12", "--keep"], "leave --only out to keep a receipt"),
        (["backend", "jax", "-p", "SEED=1"], "would not be the chapters as they are"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_one_sentence(arguments, said, capsys):
    status = main(arguments)
    assert status == 2
    assert_one_sentence(Outcome(status, *capsys.readouterr()), said)


def test_without_its_environment_it_says_how_to_make_it(tmp_path):
    with pytest.raises(BookError, match="python3 -m book setup --engine jax"):
        backends.facts(backends.BackendPaths(tmp_path, "jax"))


@pytest.fixture
def project(tmp_path):
    """A project whose environment for JAX is a script that answers what the test wants."""
    there = backends.BackendPaths(tmp_path, "jax")
    there.python.parent.mkdir(parents=True)

    def answers(text):
        there.python.write_text(f"#!/bin/sh\n{text}\n")
        there.python.chmod(0o755)
        return there

    return answers


def test_an_environment_with_tensorflow_shows_nothing_and_is_refused(project):
    there = project("""echo '{"versions": {"keras": "3"}, "tensorflow": true}'""")
    with pytest.raises(BookError, match="has TensorFlow; chapters are executed there to show that they do without"):
        backends.facts(there)


def test_an_environment_that_lacks_a_package_is_named(project):
    there = project("echo 'PackageNotFoundError: jaxlib' >&2; exit 1")
    with pytest.raises(BookError, match=r"lacks a package \(PackageNotFoundError: jaxlib\)"):
        backends.facts(there)


def test_an_environment_of_another_lock_is_refused(project):
    there = project("exit 0")
    there.lock.parent.mkdir(parents=True)
    there.lock.write_text("keras==3")
    with pytest.raises(BookError, match="was made from another lock file; renew it"):
        backends.facts(there)


def test_the_answer_of_a_good_environment_is_its_versions(project):
    assert backends.facts(project("""echo '{"versions": {"keras": "3"}, "tensorflow": false}'""")) == {"keras": "3"}


@pytest.mark.parametrize(("jobs", "chapters", "threads"), [(None, 5, "1"), (2, 5, "2"), (None, 1, "4"), (3, 3, "1")])
def test_kernels_that_run_at_a_time_share_the_cores_out(tmp_path, monkeypatch, jobs, chapters, threads):
    """Two kernels of PyTorch with two threads each took ten times as long on two cores."""
    monkeypatch.setattr(backends.machine, "cores", lambda: 4)
    one = sources.load(PATHS.notebooks / "05_mnist.ipynb")
    with backends.kernel(backends.BackendPaths(tmp_path, "torch"), [one] * chapters, jobs) as chosen:
        (file,) = tmp_path.rglob("kernel.json")
        assert json.loads(file.read_text())["env"] == {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": threads}
        assert {source.kernel for source in chosen} == {"book-torch"}


# -- Made, edited, shown --------------------------------------------------------------------------------------------------


ONE = "from helpers import claims\n_ = claims.equal('small.sum', 'One and one are two.', 1 + 1, 2)"
TWO = (
    "from helpers.session import only_on\n"
    "if only_on('tensorflow', 'it is made of it'):\n"
    "    claims.equal('small.legacy', 'Only there.', 1, 1)"
)


@pytest.fixture(scope="module")
def kept(new_project):
    """A small project with chapters of the right names, executed by both kernels, and kept."""
    project = new_project("backends")
    project.write("05_mnist", ONE, TWO, "import sys\nprint(sys.prefix)")
    for name in backends.NEUTRAL[1:]:
        project.write(name, "x = 1")
    (project.root / ".venv-jax").symlink_to(REPOSITORY / ".venv-jax")
    (project.root / "engines/jax").mkdir(parents=True)
    shutil.copy(HERE.lock, project.root / "engines/jax/requirements.lock")
    project.early = project.book("backend", "jax", "--keep")
    for arguments in (["execute"], ["backend", "jax", "--keep"]):
        done = project.book(*arguments)
        assert (done.status, done.stderr) == (0, "")
    return project


@needs_jax
def test_nothing_is_kept_before_the_book_itself_is_executed(kept):
    assert kept.early.status == 2
    assert_one_sentence(kept.early, "the book's own 05_mnist is not executed as it is now in the profile quick")


@needs_jax
def test_a_chapter_is_executed_by_the_other_environment_and_the_book_stays_as_it_was(kept):
    there = nbformat.read(backends.BackendPaths(kept.root, "jax").executed / "05_mnist.ipynb", as_version=4)
    assert ".venv-jax" in stdout_of(there)
    assert ".venv-jax" not in stdout_of(kept.executed("05_mnist"))
    assert len(ledger.claims_of(kept.executed("05_mnist"))) == 2


@needs_jax
def test_a_stopped_run_says_so_in_one_sentence(new_project):
    project = new_project("stopped")
    for name in backends.NEUTRAL:
        project.write(name, "x = 1")
    begun = project.scratch / "begun"
    project.write("05_mnist", f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(600)")
    (project.root / ".venv-jax").symlink_to(REPOSITORY / ".venv-jax")
    run = project.start("backend", "jax", "--only", "05")
    wait_until(begun.exists, "the notebook to be at work")
    run.signal(signal.SIGINT)
    done = run.wait()
    assert done.status == 130
    assert_one_sentence(done, "finished notebooks are kept")
    run.assert_nothing_left()


@needs_jax
def test_what_is_left_out_is_said_where_it_would_stand(kept):
    there = nbformat.read(backends.BackendPaths(kept.root, "jax").executed / "05_mnist.ipynb", as_version=4)
    assert "Left out on the backend jax: it is made of it.\n" in stdout_of(there)
    assert "Left out" not in stdout_of(kept.executed("05_mnist"))


@needs_jax
def test_the_versions_are_those_of_the_other_environment_in_the_notebook_and_in_its_report(kept):
    there = backends.BackendPaths(kept.root, "jax")
    run = nbformat.read(there.executed / "05_mnist.ipynb", as_version=4).metadata["book"]["run"]
    report = json.loads(there.report.read_text())
    assert run["versions"] == report["versions"] == backends.facts(there)
    assert {"jax", "keras"} <= set(run["versions"])
    assert "tensorflow" not in run["versions"]
    assert [made["name"] for made in report["notebooks"]] == list(backends.NEUTRAL)
    assert "tensorflow" in kept.executed("05_mnist").metadata["book"]["run"]["versions"]


@needs_jax
def test_a_claim_that_was_not_made_there_is_not_counted_but_named(kept):
    (receipt,) = backends.read_all(Paths(kept.root))
    made = receipt["notebooks"]["05_mnist"]
    assert list(made["claims"]) == ["small.sum"]
    assert made["not_checked"] == ["small.legacy"]
    assert receipt["versions"]["jax"]


@needs_jax
def test_the_page_counts_names_and_says_when_a_chapter_has_changed(kept):
    def row():
        shown = BeautifulSoup(backends_page.page(Paths(kept.root), ledger.Ledger({}, {}, {}, [])), "html.parser")
        assert "small.legacy" in shown.select("p")[-2].get_text()
        return [cell.get_text() for cell in shown.select("tbody tr")[0].find_all(["th", "td"])]

    assert row()[1:3] == ["1", "1"]
    assert row()[-1] == ""
    kept.edit("05_mnist", "One and one are two.", "Two are one and one.")
    assert row()[-1] == backends_page.OUT_OF_DATE
    kept.edit("05_mnist", "Two are one and one.", "One and one are two.")


@needs_jax
def test_an_edited_receipt_is_refused(kept):
    file = kept.root / "book/data/backends/jax.json"
    text = file.read_text()
    receipt = json.loads(text)
    receipt["notebooks"]["05_mnist"]["not_checked"] = []
    file.write_text(json.dumps(receipt))
    with pytest.raises(BookError, match="was edited or damaged"):
        backends.read_all(Paths(kept.root))
    file.write_text(text)


def test_code_has_a_digest_of_its_own():
    notebook = nbformat.read(PATHS.notebooks / "05_mnist.ipynb", as_version=4)
    before = cache.code_digest(notebook)
    notebook.cells[0].source += " More prose."
    assert cache.code_digest(notebook) == before
    notebook.cells.append(new_code_cell("1"))
    assert cache.code_digest(notebook) != before
