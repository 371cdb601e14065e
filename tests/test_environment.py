"""pyproject.toml, requirements.lock and environment.yml describe one and the same environment."""

import hashlib
import json
import re
import sys
import tomllib
from importlib.metadata import distributions, requires
from pathlib import Path

import pytest
import sphinxcontrib.katex
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from book import BookError, environment
from book import __main__ as command_line
from book.paths import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
CONDA_TEXT = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")


def locked(lock: str = LOCK) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    for name, version in re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", lock, flags=re.M):
        found.setdefault(canonicalize_name(name), []).append(Version(version))
    return found


def test_every_installed_package_is_made_for_the_pythons_of_the_book():
    """Resolvers take no notice of an upper bound on Python, pip does: such a lock installs nowhere."""
    pythons = ("3.11.5", "3.12.0", "3.13.0")
    wanted = {d.name: SpecifierSet(d.metadata.get("Requires-Python") or "") for d in distributions()}
    assert len(wanted) > 150
    assert [name for name, spec in wanted.items() if not all(python in spec for python in pythons)] == []


@pytest.mark.parametrize("text", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
def test_lock_holds_a_version_within_each_range(text):
    wanted = Requirement(text)
    versions = locked().get(canonicalize_name(wanted.name))
    assert versions, f"{wanted.name} is not in requirements.lock"
    assert all(version in wanted.specifier for version in versions)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-gpu.lock"])
def test_every_locked_package_has_hashes_and_nothing_else(name):
    entries = re.split(r"\n(?=\S)", (REPOSITORY / name).read_text(encoding="utf-8").strip())
    for entry in entries:
        assert re.match(r"[A-Za-z0-9_.-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]


def test_lock_names_no_index_and_no_host():
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", LOCK + GPU_LOCK)


def test_npm_lock_names_no_host_and_has_integrity():
    text = (REPOSITORY / "book/theme/package-lock.json").read_text(encoding="utf-8")
    assert '"resolved"' not in text
    assert text.count('"integrity": "sha512-') == text.count('"node_modules/')


def test_conda_installs_the_lock_on_a_supported_python():
    conda = yaml.safe_load(CONDA_TEXT)
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    python = next(d for d in conda["dependencies"] if isinstance(d, str) and d.startswith("python="))
    assert pip == ["-r requirements.lock"]
    assert Version(python.removeprefix("python=")) in SpecifierSet(PROJECT["requires-python"])


GPU_LOCK = (REPOSITORY / "requirements-gpu.lock").read_text(encoding="utf-8")
GPU_LINE = "-m pip install --no-deps --require-hashes -r requirements-gpu.lock"


def test_gpu_lines_name_the_lock_or_the_locked_tensorflow():
    assert f"python {GPU_LINE}" in CONDA_TEXT
    for page in ("how_to", "gpu"):
        assert f".venv/bin/python {GPU_LINE}" in (REPOSITORY / f"book/pages/{page}.md").read_text(encoding="utf-8")
    version = str(locked()["tensorflow"][0])
    assert f'"tensorflow[and-cuda]=={version}"' in (REPOSITORY / "book/pages/gpu.md").read_text(encoding="utf-8")
    (gpu,) = PROJECT["optional-dependencies"]["gpu"]
    assert Requirement(gpu).extras == {"and-cuda"}
    assert version in Requirement(gpu).specifier


def test_the_gpu_lock_is_what_the_locked_tensorflow_asks_for_and_nothing_else():
    asked = [Requirement(r) for r in requires("tensorflow") or [] if "and-cuda" in r]
    held = locked(GPU_LOCK)
    assert set(held) == {canonicalize_name(r.name) for r in asked}
    for requirement in asked:
        (version,) = held[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, requirement.name
    assert not set(held) & set(locked())  # the two locks never install one package twice


def test_the_jax_line_names_the_locked_jax():
    (version,) = locked((REPOSITORY / "engines/jax/requirements.lock").read_text(encoding="utf-8"))["jax"]
    page = (REPOSITORY / "book/pages/gpu.md").read_text(encoding="utf-8")
    assert f'"jax[cuda12]=={version}"' in page


def test_all_engines_are_made_but_those_of_many_gigabytes_and_these_if_named(monkeypatch):
    made = []
    monkeypatch.setattr(environment, "ensure", lambda engine: made.append(engine))
    assert command_line.main(["setup", "--engine", "all"]) == 0
    assert {*made, *environment.LARGE} == set(environment.engines())
    assert not set(made) & set(environment.LARGE)
    assert command_line.main(["setup", "--engine", "torch"]) == 0
    assert made[-1] == "torch"


def test_setup_supports_the_pythons_that_the_project_names():
    supported = SpecifierSet(PROJECT["requires-python"])
    low, high = environment.SUPPORTED
    for minor in range(8, 20):
        assert (Version(f"3.{minor}") in supported) == (low[1] <= minor <= high[1])


def test_setup_refuses_another_python_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(environment.sys, "version_info", (3, 10, 4))
    with pytest.raises(BookError, match=r"Python 3\.10.*3\.11, 3\.12 or 3\.13"):
        environment.ensure(tmp_path)


def test_setup_leaves_a_current_environment_alone(monkeypatch, tmp_path):
    (tmp_path / "requirements.lock").write_text("x==1\n")
    monkeypatch.setattr(environment.venv, "create", lambda folder, **_: pytest.fail("created anew"))
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    digest = hashlib.sha256(b"x==1\n").hexdigest()
    (tmp_path / ".venv/book-lock.sha256").write_text(f"{digest} {sys.version_info[0]}.{sys.version_info[1]}\n")
    assert environment.ensure(tmp_path) == python


def test_katex_style_fits_the_engine_that_renders():
    """The style sheet must be of the release that the Sphinx extension renders with, or indices are misplaced."""
    engine = (Path(sphinxcontrib.katex.__file__).parent / "katex.min.js").read_text(encoding="utf-8")
    version = re.search(r'version:"(\d+\.\d+\.\d+)"', engine).group(1)
    package = json.loads((REPOSITORY / "book/theme/package.json").read_text(encoding="utf-8"))
    assert package["dependencies"]["katex"] == version
