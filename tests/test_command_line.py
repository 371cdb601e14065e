"""A request that cannot be carried out ends in one sentence and exit status 2, and nothing that was done is lost."""

from __future__ import annotations

import json
import os
import shutil
import sys

import nbformat
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from book import executor, sources
from book.__main__ import _as_typed
from book.paths import Paths
from conftest import Project, assert_one_sentence


@pytest.fixture(scope="module")
def built(new_project):
    """A project with one executed notebook, ``good``, that has the parameters PROFILE and N."""
    project = new_project("built")
    project.write("good", "print('N is', N)", parameters='PROFILE = "quick"\nN = 1')
    done = project.book("execute")
    assert (done.status, done.stderr) == (0, "")
    return project


@pytest.fixture
def copy(built, project) -> Project:
    shutil.rmtree(project.root)
    shutil.copytree(built.root, project.root)
    return project


@pytest.fixture
def refused(copy, main):
    """Call the command line and see that it refuses, names ``words``, and loses nothing."""

    def call(*arguments: str, words: tuple[str, ...]) -> None:
        kept, before = copy.kept(), copy.sources()
        done = main(copy, "execute", *arguments)
        assert done.status == 2, done
        assert_one_sentence(done, *words)
        assert copy.kept() == kept
        assert copy.sources() == before

    return call


# -- Options -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "fast"], ("'fast'", "quick, full")),
        (["-p", "PROFILE=fast"], ("'fast'", "quick, full")),
        (["-p", "NOPE=1"], ("'NOPE'", "N, PROFILE")),
        (["-p", "N"], ("'N'", "name=value")),
        (["-p", "=1"], ("'=1'", "name=value")),
        (["-p", "1N=1"], ("'1N=1'", "name=value")),
        (["-p", "N M=1"], ("'N M=1'", "name=value")),
        (["--only", "nothing"], ("'nothing'", "good")),
        (["--only", "good", "--only", "x*"], ("'x*'", "good")),
        (["--jobs", "0"], ("--jobs 0", "at least 1")),
        (["--jobs", "-2"], ("--jobs -2", "at least 1")),
        (["--time-limit", "-1"], ("--time-limit -1", "above 0")),
        (["--time-limit", "0"], ("--time-limit 0", "above 0")),
        (["--time-limit", "nan"], ("--time-limit nan", "above 0")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_makes_no_sense_is_refused(refused, arguments, words):
    refused(*arguments, words=words)


@pytest.mark.parametrize("arguments", [["--jobs", "many"], ["--unknown"], ["--time-limit", "soon"]])
def test_an_option_that_cannot_be_read_is_refused(copy, main, arguments):
    done = main(copy, "execute", *arguments)
    assert done.status == 2
    assert arguments[0] in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_refused(copy, main):
    assert main(copy, "exexute").status == 2


def test_the_process_ends_with_the_same_status_and_sentence(copy, book):
    kept = copy.kept()
    done = book("execute", "--only", "nothing")
    assert done.status == 2
    assert_one_sentence(done, "'nothing'", "good")
    assert copy.kept() == kept


# -- Notebooks -----------------------------------------------------------------------------------------------------------


def valid() -> dict:
    cell = nbformat.v4.new_code_cell('PROFILE = "quick"', id="one", metadata={"tags": ["parameters"]})
    return json.loads(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))


def without_source() -> dict:
    notebook = valid()
    del notebook["cells"][0]["source"]
    return notebook


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        json.dumps(valid()).encode()[:-20],
        b"[]",
        b"null",
        b"17",
        b"{}",
        b'{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}',
        json.dumps(without_source()).encode(),
        b"\xff\xfe\x00",
    ],
    ids=["empty", "text", "cut short", "list", "null", "number", "object", "format 3", "cell without source", "binary"],
)
def test_a_file_that_is_no_notebook_is_named(refused, copy, content):
    copy.path("broken").write_bytes(content)
    refused(words=("'broken.ipynb'",))


def test_a_folder_in_place_of_a_notebook_is_named(copy, main):
    copy.path("folder").mkdir()
    done = main(copy, "execute")
    assert done.status == 2
    assert_one_sentence(done, "'folder.ipynb'")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (None, ("has 0 cells tagged 'parameters'", "exactly one")),
        ("N = 1", ("does not set PROFILE",)),
        ('PROFILE = "quick', ("is not Python",)),
    ],
)
def test_a_notebook_without_its_parameters_cell_is_named(refused, copy, parameters, words):
    copy.write("odd", "x = 1", parameters=parameters)
    refused(words=("'odd.ipynb'", *words))


def test_a_notebook_with_two_parameters_cells_is_named(refused, copy):
    copy.write("odd", "x = 1")
    notebook = nbformat.read(copy.path("odd"), as_version=4)
    notebook.cells[-1].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, copy.path("odd"))
    refused(words=("'odd.ipynb'", "has 2 cells tagged 'parameters'", "exactly one"))


def test_a_notebook_that_was_saved_by_papermill_is_named(refused, copy):
    copy.write("odd", "x = 1")
    notebook = nbformat.read(copy.path("odd"), as_version=4)
    notebook.cells[-1].metadata["tags"] = ["injected-parameters"]
    nbformat.write(notebook, copy.path("odd"))
    refused(words=("'odd.ipynb'", "injected-parameters", "remove"))


def test_a_kernel_that_is_not_installed_is_named(refused, copy):
    copy.write("odd", "x = 1", kernel="julia-9")
    refused(words=("'odd.ipynb'", "'julia-9'", "python3"))


def test_a_data_set_that_nobody_knows_is_named(refused, copy):
    copy.write("odd", "x = 1", data=("cifar",))
    refused(words=("'odd.ipynb'", "'cifar'", "mnist"))


def test_a_data_folder_that_is_none_is_named(refused, copy, monkeypatch):
    copy.write("odd", "x = 1", data=("mnist",))
    monkeypatch.setenv("BOOK_DATA", str(copy.root / "absent"))
    refused(words=("BOOK_DATA", str(copy.root / "absent"), "unset"))


def test_a_broken_notebook_does_not_matter_if_others_are_asked_for(copy, main):
    copy.path("broken").write_text("not json")
    assert main(copy, "execute", "--only", "good").status == 0
    assert copy.statuses() == {"good": "cached"}


def test_a_project_without_notebooks_is_named(project, main):
    done = main(project, "execute")
    assert done.status == 2
    assert_one_sentence(done, str(project.root / "notebooks"))


@pytest.mark.parametrize("wanted", ["good", "go", "g*", "*d", "good.ipynb", "notebooks/good.ipynb"])
def test_only_takes_a_name_its_beginning_or_a_pattern(copy, main, wanted):
    copy.path("other").write_text("not json, and never read")
    assert main(copy, "execute", "--only", wanted).status == 0
    assert copy.statuses() == {"good": "cached"}


# -- The build folder ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "executed", "cache", "logs"])
def test_a_file_in_place_of_a_build_folder_is_named_and_kept(project, main, name):
    project.write("good")
    place = project.build / name
    place.parent.mkdir(exist_ok=True)
    place.write_text("mine")
    done = main(project, "execute")
    assert done.status == 2
    assert_one_sentence(done, str(project.build), "make it writable, or remove")
    assert place.read_text() == "mine"


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_build_folder_without_write_permission_is_named(copy, refused):
    copy.build.chmod(0o555)
    try:
        refused(words=(str(copy.build), "make it writable"))
    finally:
        copy.build.chmod(0o755)


def append(path):
    path.write_text(path.read_text() + " ")


def cut(path):
    path.write_text(path.read_text()[:-100])


def empty(path):
    path.write_text("")


def binary(path):
    path.write_bytes(b"\xff\xfe" + path.read_bytes())


@pytest.mark.parametrize("damage", [append, cut, empty, binary])
def test_a_damaged_cache_entry_is_named_and_not_used(copy, refused, damage):
    (entry,) = (copy.build / "cache" / "good").glob("*.ipynb")
    damage(entry)
    refused(words=(f"_build/cache/good/{entry.name}", "damaged", "--force --only good"))


def test_a_damaged_digest_is_damage_too(copy, refused):
    (digest,) = (copy.build / "cache" / "good").glob("*.sha256")
    digest.write_text("0" * 64)
    refused(words=("_build/cache/good/", "damaged"))


def test_the_remedy_for_a_damaged_cache_entry_works(copy, main):
    (entry,) = (copy.build / "cache" / "good").glob("*.ipynb")
    cut(entry)
    assert main(copy, "execute", "--force", "--only", "good").status == 0
    assert main(copy, "execute").status == 0
    assert copy.statuses() == {"good": "cached"}


def test_damage_to_the_executed_copy_is_repaired_from_the_cache(copy, main):
    executed = copy.build / "executed" / "good.ipynb"
    before = executed.read_text()
    cut(executed)
    assert main(copy, "execute").status == 0
    assert executed.read_text() == before


# -- Other commands ------------------------------------------------------------------------------------------------------


def test_clean_refuses_while_a_build_is_at_work_and_removes_everything_after_it(copy, main):
    kept = copy.kept()
    with FileLock(copy.build / ".lock"):
        done = main(copy, "clean")
        assert done.status == 2
        assert_one_sentence(done, "_build", "wait")
        assert copy.kept() == kept
    done = main(copy, "clean")
    assert (done.status, done.stderr) == (0, "")
    assert not copy.build.exists()
    assert {p.name for p in copy.root.iterdir()} == {"notebooks", "requirements.lock"}
    assert main(copy, "clean").status == 0


def test_clean_removes_what_a_link_is_but_not_what_it_leads_to(copy, main, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("kept")
    (copy.build / "link").symlink_to(tmp_path / "precious")
    assert main(copy, "clean").status == 0
    assert not copy.build.exists()
    assert (tmp_path / "precious" / "file").read_text() == "kept"


def test_ctrl_c_outside_an_execution_ends_with_130(copy, main, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(executor, "execute", stop)
    done = main(copy, "execute")
    assert done.status == 130
    assert_one_sentence(done, "stopped")


# -- Values of parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1_000", 1000),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("none", "none"),
        ("None", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("(1, 2)", [1, 2]),
        ("{'a': (1, 2)}", {"a": [1, 2]}),
        ("'3'", "3"),
        ('"quoted"', "quoted"),
        ("relu", "relu"),
        ("two words", "two words"),
        ("a=b", "a=b"),
        ("", ""),
        ("1e999", "1e999"),
        ("nan", "nan"),
        ("{1, 2}", "{1, 2}"),
        ("b'x'", "b'x'"),
        ("1j", "1j"),
        ("...", "..."),
        ("{[]: 1}", "{[]: 1}"),
        ("__import__('os')", "__import__('os')"),
        ("(" * 200, "(" * 200),
    ],
)
def test_values_are_read_as_python_would(text, value):
    found = sources.parse_value(text)
    assert found == value
    assert type(found) is type(value)


@given(st.text())
def test_every_text_is_some_value_that_json_holds(text):
    json.dumps(sources.parse_value(text), allow_nan=False)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_what_python_writes_is_read_back(value):
    assert sources.parse_value(repr(value)) == value


def test_a_later_value_replaces_an_earlier_one_and_reaches_only_who_has_it(copy):
    copy.write("plain")
    loaded = [sources.load(path) for path in sources.find(Paths(copy.root))]
    given = sources.overrides(loaded, "full", ["N=2", "N=3"])
    assert given == {"good": {"PROFILE": "full", "N": 3}, "plain": {"PROFILE": "full"}}


@pytest.mark.parametrize(("on_the_path", "typed"), [(False, ".venv/bin/python"), (True, "python")])
def test_a_message_names_the_python_that_has_just_been_typed(tmp_path, monkeypatch, on_the_path, typed):
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", str(python.parent if on_the_path else tmp_path))
    assert _as_typed("Run: python -m book build.") == f"Run: {typed} -m book build."
    assert _as_typed("Run: python3 -m book setup.") == "Run: python3 -m book setup."
