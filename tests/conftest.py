"""Fixtures: small projects with fixture notebooks, and the builder run on them.

A *project* is a folder like the book's root: ``notebooks/``, a lock file and perhaps ``helpers/``. Its notebooks do
not import TensorFlow, so one takes about a second. The builder under test is always the one of this repository.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
import pytest
from hypothesis import settings
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

REPOSITORY = Path(__file__).resolve().parent.parent
DEADLINE = 120.0  # seconds until a test gives up; only ever reached when something is broken

pytest_plugins = ["serving_fixtures", "engine_fixtures"]


WORKER = "PYTEST_XDIST_WORKER" in os.environ  # `make test`: two workers, each takes one file after the other
ORDER = ["test_site.py", "test_executor.py", "the others", "test_museum.py"]  # the longest first


def pytest_collection_modifyitems(items):
    """The planted faults of the museum take minutes in processes of their own: whoever waits for them comes last."""
    items.sort(key=lambda item: ORDER.index(item.path.name) if item.path.name in ORDER else 2)


def pytest_configure(config):
    """If workers will run all tests, the process that starts the workers begins with the museum."""
    everything = config.args_source is config.ArgsSource.TESTPATHS and not config.option.keyword
    if not WORKER and config.getoption("numprocesses", None) and everything:
        import test_museum

        test_museum.start()


def pytest_runtestloop(session):
    waiting = [item for item in session.items if "verdicts" in getattr(item, "fixturenames", ())]
    if waiting and not session.config.option.collectonly and not WORKER:
        waiting[0].module.start()


settings.register_profile("book", deadline=None, derandomize=True, database=None, max_examples=60)
settings.load_profile("book")


def wait_until(condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> object:
    """Poll until ``condition()`` is true and return its value; fail the test at the deadline."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")


@dataclass
class Outcome:
    """How a run of the builder ended."""

    status: int
    stdout: str
    stderr: str


class Run:
    """A builder at work in a process and session of its own."""

    def __init__(self, project: Project, arguments: tuple[str, ...], environment: dict[str, str], before=None):
        self.mark = uuid.uuid4().hex
        self.project = project
        self._out, self._err = (project.scratch / f"{self.mark}.{name}" for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "book", "--root", str(project.root), *arguments],
                cwd=REPOSITORY,
                env={**project.environment(), **environment, "BOOK_TEST_MARK": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                preexec_fn=before,
            )

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def family(self) -> list[psutil.Process]:
        """Every process that this run started, wherever it hangs by now: they inherit a mark in the environment."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("BOOK_TEST_MARK") == self.mark:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def wait(self) -> Outcome:
        try:
            status = self.process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self.stop()
            raise AssertionError(f"the builder did not end within {DEADLINE:g} s") from None
        return Outcome(status, self._out.read_text(encoding="utf-8"), self._err.read_text(encoding="utf-8"))

    def assert_nothing_left(self) -> None:
        wait_until(lambda: not self.family(), "all processes of the build to be gone", 60)

    def stop(self) -> None:
        for process in self.family():
            try:
                process.kill()
            except psutil.Error:
                continue
        self.process.wait(timeout=30)


class Project:
    """A folder with notebooks, and the builder applied to it."""

    def __init__(self, root: Path, scratch: Path):
        self.root, self.scratch = root, scratch
        (root / "notebooks").mkdir(parents=True)
        scratch.mkdir(parents=True, exist_ok=True)
        (root / "requirements.lock").write_text("numpy==0\n")
        self.runs: list[Run] = []

    @property
    def build(self) -> Path:
        return self.root / "_build"

    def environment(self) -> dict[str, str]:
        """The test's environment, without the user's data, caches and settings."""
        kept = {k: v for k, v in os.environ.items() if k not in ("BOOK_DATA", "FORCE_COLOR", "TTY_COMPATIBLE")}
        return {**kept, **isolation(self.scratch), "COLUMNS": "200"}

    # -- notebooks ---------------------------------------------------------------------------------------------------
    def path(self, name: str) -> Path:
        return self.root / "notebooks" / f"{name}.ipynb"

    def write(
        self, name: str, *cells: str, parameters: str | None = 'PROFILE = "quick"', data: tuple = (), kernel="python3"
    ):
        """Write a notebook: a title, the parameters cell, then ``cells``; a text that starts with ``#md`` is prose."""
        notebook = new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}})
        if data:
            notebook.metadata["book"] = {"data": list(data)}
        notebook.cells = [new_markdown_cell(f"# {name}")]
        if parameters is not None:
            notebook.cells.append(new_code_cell(parameters, metadata={"tags": ["parameters"]}))
        for text in cells:
            prose = text.startswith("#md")
            notebook.cells.append(new_markdown_cell(text[3:].strip()) if prose else new_code_cell(text))
        for number, cell in enumerate(notebook.cells, 1):
            cell["id"] = f"cell-{number}"
        nbformat.write(notebook, self.path(name))
        return self.path(name)

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace a piece of text in the source of a notebook."""
        text = self.path(name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        self.path(name).write_text(text.replace(old, new), encoding="utf-8")

    def sources(self) -> dict[str, tuple[bytes, int]]:
        """Content and time of every source, to see that none was touched."""
        return {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in (self.root / "notebooks").iterdir()}

    # -- the builder -------------------------------------------------------------------------------------------------
    def start(self, *arguments: str, before=None, **environment: str) -> Run:
        run = Run(self, arguments, environment, before)
        self.runs.append(run)
        return run

    def book(self, *arguments: str, before=None, **environment: str) -> Outcome:
        """``python -m book --root <project> ...`` from start to end."""
        return self.start(*arguments, before=before, **environment).wait()

    # -- what it leaves ----------------------------------------------------------------------------------------------
    def report(self) -> dict:
        return json.loads((self.build / "report.json").read_text(encoding="utf-8"))

    def results(self) -> dict[str, dict]:
        return {result["name"]: result for result in self.report()["notebooks"]}

    def statuses(self) -> dict[str, str]:
        return {name: result["status"] for name, result in self.results().items()}

    def executed(self, name: str) -> nbformat.NotebookNode:
        return nbformat.read(self.build / "executed" / f"{name}.ipynb", as_version=4)

    def partial(self, name: str) -> nbformat.NotebookNode:
        return nbformat.read(self.build / "partial" / f"{name}.ipynb", as_version=4)

    def kept(self) -> dict[str, bytes]:
        """Finished work: content of the cache and of the executed notebooks."""
        folders = (self.build / "cache", self.build / "executed")
        files = [p for folder in folders for p in folder.rglob("*") if p.is_file() and p.name != "times.json"]
        return {str(p.relative_to(self.build)): p.read_bytes() for p in files}


def isolation(scratch: Path) -> dict[str, str]:
    """Settings that keep caches and histories of a test apart from the user's."""
    return {
        "XDG_CACHE_HOME": str(scratch / "cache"),
        "IPYTHONDIR": str(scratch / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "PYTHONPATH": str(REPOSITORY),
    }


def stdout_of(notebook: nbformat.NotebookNode) -> str:
    """What the cells of an executed notebook printed."""
    outputs = [o for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs]
    return "".join(o.text for o in outputs if o.output_type == "stream" and o.name == "stdout")


@pytest.fixture(scope="module")
def new_project(tmp_path_factory):
    """Make projects that live as long as the module; whatever they started is stopped at its end."""
    made: list[Project] = []

    def make(name: str = "project") -> Project:
        folder = tmp_path_factory.mktemp(name)
        made.append(Project(folder / "root", folder / "scratch"))
        return made[-1]

    yield make
    for run in [run for project in made for run in project.runs]:
        run.stop()


@pytest.fixture
def project(tmp_path, here) -> Project:
    """An empty project."""
    made = Project(tmp_path / "root", here)
    yield made
    for run in made.runs:
        run.stop()


@pytest.fixture
def book(project):
    """Run ``python -m book`` on the project, in a process of its own."""
    return project.book


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Let this process be isolated as the builder's processes are; returns the folder for caches."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.delenv("BOOK_DATA", raising=False)
    for name, value in isolation(scratch).items():
        monkeypatch.setenv(name, value)
    yield scratch
    for worker in multiprocessing.active_children():  # left over only if the test failed; pytest would wait for them
        worker.kill()


@pytest.fixture
def main(here, capfd):
    """The command line, called in this process: saves the two seconds that its imports take."""
    from book.__main__ import main as command_line

    def call(project: Project, *arguments: str) -> Outcome:
        capfd.readouterr()
        before = signal.getsignal(signal.SIGTERM)
        try:
            status = command_line(["--root", str(project.root), *arguments])
        except SystemExit as stop:  # argparse
            status = stop.code
        assert signal.getsignal(signal.SIGTERM) is before
        return Outcome(status, *capfd.readouterr())

    return call


def assert_one_sentence(outcome: Outcome, *words: str) -> None:
    """Standard error is one line of the form ``book: what, and what to do.`` that has ``words`` in it."""
    lines = outcome.stderr.strip().splitlines()
    assert len(lines) == 1, outcome.stderr
    assert lines[0].startswith("book: ")
    assert lines[0].endswith(".")
    assert "Traceback" not in outcome.stdout + outcome.stderr
    for word in words:
        assert word in lines[0]
