"""Buttons that open a chapter elsewhere, and what makes a downloaded notebook run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from test_site import PATHS

from book import BookError, generated, launch
from book.paths import REPOSITORY, Paths

GITHUB = launch.Launch("https://github.com/someone/a-book", "main", "https://hub.example.edu")
RUN = {"date": "2026-01-02", "profile": "quick", "seconds": 3.0, "versions": {"tensorflow": "2", "keras": "3"},
       "device": {"cores": 2, "cpu": "a CPU", "gpus": []}}  # fmt: skip


def write(tmp_path, text):
    paths = Paths(tmp_path)
    paths.data.mkdir(parents=True)
    (paths.data / "site.yml").write_text(text, encoding="utf-8")
    return paths


def test_as_it_is_shipped_no_page_leads_to_another_site():
    assert launch.read(PATHS) == launch.Launch()
    assert launch.Launch().links("05_mnist") == []
    line = generated.run_line("05_mnist", RUN)
    assert "://" not in line
    assert "Download this notebook" in line


def test_with_an_address_each_chapter_opens_in_three_places():
    links = dict(GITHUB.links("05_mnist"))
    assert (
        links["Colab"] == "https://colab.research.google.com/github/someone/a-book/blob/main/notebooks/05_mnist.ipynb"
    )
    assert links["Binder"].startswith("https://mybinder.org/v2/gh/someone/a-book/main?")
    query = parse_qs(urlsplit(links["JupyterHub"]).query)
    assert query == {
        "repo": ["https://github.com/someone/a-book"], "branch": ["main"], "urlpath": ["lab/tree/a-book/notebooks/05_mnist.ipynb"],
    }  # fmt: skip
    line = generated.run_line("05_mnist", RUN, GITHUB.html("05_mnist"))
    assert [name in line for name in ("Colab", "Binder", "JupyterHub", "Download this notebook")] == [True] * 4
    assert line.count("<p") == line.count("</p>") == 1


def test_another_host_has_no_colab_and_no_hub_means_no_hub():
    links = dict(launch.Launch("https://git.example.org/group/book").links("x"))
    assert list(links) == ["Binder"]
    assert "/v2/git/https%3A%2F%2Fgit.example.org%2Fgroup%2Fbook/main" in links["Binder"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("repository: github.com/x/y", "repository 'github.com/x/y'.*https"),
        ("repository: https://github.com/x/y\nbranch: 'a b'", "branch 'a b'"),
        ("jupyterhub: 'javascript:alert(1)'", "jupyterhub"),
        ("repo: https://github.com/x/y", "site.yml"),
        ("- a list", "site.yml"),
    ],
)
def test_a_wrong_configuration_is_one_clear_sentence(tmp_path, text, said):
    with pytest.raises(BookError, match=said):
        launch.read(write(tmp_path, text))


@pytest.mark.parametrize("where", [launch.Launch(), GITHUB])
def test_a_download_begins_with_what_makes_it_run_and_is_the_notebook_otherwise(where):
    source = new_notebook(cells=[new_code_cell("from helpers import claims", id="first")])
    made = where.with_note(source)
    nbformat.validate(made)
    assert len(source.cells) == 1
    assert made.cells[-1] == source.cells[0]
    text = "\n".join(cell.source for cell in made.cells[:-1])
    assert "pip install" in text
    assert ("git+https://github.com/someone/a-book@main" in text) == bool(where.repository)


def test_the_package_installs_alone_and_brings_its_data(tmp_path):
    """As a reader does it, without the dependencies: pip, a fresh environment, no folder of the book around."""
    copy = tmp_path / "book"
    shutil.copytree(REPOSITORY / "helpers", copy / "helpers", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-TEXT.md"):
        shutil.copy(REPOSITORY / name, copy)
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    folder = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--disable-pip-version-check", "--target", folder.stdout.strip(), str(copy)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, text=True)
    code = "import helpers, pathlib; d = pathlib.Path(helpers.__file__).parent; print(*sorted(str(f.relative_to(d)) for f in d.rglob('*') if f.suffix != '.pyc' and f.is_file()), sep='\\n')"
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    source = REPOSITORY / "helpers"
    wanted = {str(f.relative_to(source)) for f in source.rglob("*") if f.is_file() and "__pycache__" not in f.parts}
    assert set(done.stdout.split()) == wanted
