"""Whatever happens to one notebook, it is said, its partial copy is kept, and nothing else is harmed."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import psutil
import pytest

from book import cache, executor, sources
from book.paths import Paths
from book.progress import Progress
from conftest import Project, assert_one_sentence, stdout_of, wait_until

FOREVER = "import time\nwhile True:\n    time.sleep(0.1)"
TIME_LIMIT = 20  # for the notebook that never ends; the others need about a second


def execute(project: Project, *names: str, given=(), progress=None, profile="quick", **options) -> dict[str, str]:
    """Execute in this process; returns the status by name."""
    paths = Paths(project.root)
    paths.prepare()
    chosen = [sources.load(path) for path in sources.select(paths, list(names))]
    parameters = sources.overrides(chosen, profile, list(given))
    results = executor.execute(paths, chosen, parameters, progress=progress, **options)
    return {result.name: result.status for result in results}


def says(project: Project, name: str) -> str:
    """Code that leaves a file with the kernel's process id, so that a test knows how far it is."""
    return f"import os, pathlib\npathlib.Path({str(project.scratch / name)!r}).write_text(str(os.getpid()))"


def process_that_said(project: Project, name: str) -> psutil.Process:
    file = project.scratch / name
    wait_until(lambda: file.is_file() and file.read_text(), f"{name} to be at work")
    return psutil.Process(int(file.read_text()))


# -- One build in which everything goes wrong that can; it runs while the tests below it do their work ------------------


@pytest.fixture(scope="module", autouse=True)
def bad_day(new_project):
    project = new_project("bad-day")
    project.write(
        "fine", "from helpers import claims", "_ = claims.equal('fine.sum', 'Two and two make four.', 2 + 2, 4)"
    )
    project.write(
        "raises", "a = 1", "#md Prose.", "# the title of this cell\nraise ValueError('\\x1b[31mred\\x00 & <b>')"
    )
    project.write(
        "claims",
        "from helpers import claims",
        "_ = claims.equal('claims.good', 'This holds.', 1, 1)",
        "_ = claims.equal('claims.bad', 'This is \"not\" <so>.', 1, 2)",
    )
    project.write(
        "kernel", "print('before')", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "print('after')"
    )
    project.write("leaves", "print('before')", "import os\nos._exit(0)", "print('after')")
    project.write("exits", "print('before')", "import sys\nsys.exit(0)", "print('after')")
    project.write("worker", "print('before')", f"{says(project, 'worker')}\n{FOREVER}")
    project.write("slow", "print('before')", FOREVER, "print('after')")
    # Longest first: these two start at once, the rest one after the other beside them.
    project.build.joinpath("cache").mkdir(parents=True)
    (project.build / "cache" / "times.json").write_text(
        json.dumps(
            {
                f"{n} quick": s
                for s, n in enumerate(["exits", "leaves", "kernel", "claims", "raises", "fine", "slow", "worker"])
            }
        )
    )
    project.before = project.sources()
    project.run = project.start("execute", "--jobs", "3", "--time-limit", str(TIME_LIMIT))
    kernel = process_that_said(project, "worker")
    kernel.parent().kill()
    return project


# -- The cache -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(new_project):
    """A project that was executed once."""
    project = new_project("built")
    (project.root / "helpers").mkdir()
    (project.root / "helpers" / "extra.py").write_text("TEN = 10\n")
    project.write(
        "one",
        "#md Old prose.",
        "print('N is', N)",
        "#md More prose.",
        "x = 1",
        "",
        parameters='PROFILE = "quick"\nN = 1',
        data=("mnist",),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BOOK_DATA", raising=False)
        for name, value in project.environment().items():
            patch.setenv(name, value)
        assert execute(project) == {"one": "ok"}
    return project


@pytest.fixture
def copy(built, project) -> Project:
    """A copy of the executed project for a test to change."""
    shutil.rmtree(project.root)
    shutil.copytree(built.root, project.root)
    return project


def test_what_is_unchanged_is_not_executed_again(copy):
    kept = copy.kept()
    assert execute(copy) == {"one": "cached"}
    assert copy.kept() == kept


def test_a_project_may_move(copy, tmp_path):
    copy.root.rename(tmp_path / "elsewhere")
    copy.root = tmp_path / "elsewhere"
    assert execute(copy) == {"one": "cached"}


def test_edited_code_is_executed_and_going_back_is_not(copy):
    copy.edit("one", "print('N is', N)", "print('N was', N)")
    assert execute(copy) == {"one": "ok"}
    assert stdout_of(copy.executed("one")) == "N was 1\n"
    copy.edit("one", "print('N was', N)", "print('N is', N)")
    assert execute(copy) == {"one": "cached"}
    assert stdout_of(copy.executed("one")) == "N is 1\n"


def test_edited_prose_is_taken_over_without_executing(copy):
    copy.edit("one", "Old prose.", "New prose.")
    copy.edit("one", "More prose.", "Still more prose.")
    assert execute(copy) == {"one": "cached"}
    executed = copy.executed("one")
    prose = [cell.source for cell in executed.cells if cell.cell_type == "markdown"]
    assert prose == ["# one", "New prose.", "Still more prose."]
    assert stdout_of(executed) == "N is 1\n"


def test_prose_cells_may_come_and_go_without_executing(copy):
    notebook = nbformat.read(copy.path("one"), as_version=4)
    before = [c.source for c in notebook.cells if c.cell_type == "code"]
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell("Inserted."))
    notebook.cells = [cell for cell in notebook.cells if cell.source != "More prose."]
    nbformat.write(notebook, copy.path("one"))
    assert execute(copy) == {"one": "cached"}
    executed = copy.executed("one")
    assert [c.source for c in executed.cells if c.cell_type == "markdown"] == ["# one", "Inserted.", "Old prose."]
    assert [c.source for c in executed.cells if c.cell_type == "code" and c.id != cache.INJECTED] == before
    assert stdout_of(executed) == "N is 1\n"


def test_another_parameter_is_executed_and_going_back_is_not(copy):
    assert execute(copy, given=["N=3"]) == {"one": "ok"}
    assert stdout_of(copy.executed("one")) == "N is 3\n"
    assert execute(copy) == {"one": "cached"}
    assert stdout_of(copy.executed("one")) == "N is 1\n"
    assert execute(copy, given=["N=3"]) == {"one": "cached"}


def test_another_profile_is_executed(copy):
    assert execute(copy, profile="full") == {"one": "ok"}
    assert copy.executed("one").metadata["book"]["run"]["profile"] == "full"


def test_changed_helpers_are_executed(copy):
    (copy.root / "helpers" / "extra.py").write_text("TEN = 11\n")
    assert execute(copy) == {"one": "ok"}


def test_a_changed_lock_file_is_executed(copy):
    (copy.root / "requirements.lock").write_text("numpy==1\n")
    assert execute(copy) == {"one": "ok"}


def test_changed_data_are_executed(copy, monkeypatch):
    own = copy.scratch / "data" / "mnist"
    own.mkdir(parents=True)
    file = own / "train-labels-idx1-ubyte"
    file.write_bytes(b"one")
    monkeypatch.setenv("BOOK_DATA", str(own.parent))
    assert execute(copy) == {"one": "ok"}
    assert execute(copy) == {"one": "cached"}
    file.write_bytes(b"three")
    assert execute(copy) == {"one": "ok"}
    monkeypatch.delenv("BOOK_DATA")
    assert execute(copy) == {"one": "cached"}


def test_files_that_a_notebook_reads_belong_to_its_key(project):
    reader, _ = project.write("reader", "x = 1"), project.write("other", "#md Prose.", "y = 1")
    notebook = nbformat.read(reader, as_version=4)
    notebook.metadata["book"] = {"reads": ["_toc.yml", "notebooks/*.ipynb"]}
    nbformat.write(notebook, reader)
    paths = Paths(project.root)

    def keys():
        source = sources.load(reader)
        return cache.key(source, {}, "shared"), cache.content(paths, source.notebook)

    first = keys()
    project.edit("other", "Prose.", "Other prose.")
    assert keys() == first
    project.edit("other", "y = 1", "y = 2")
    second = keys()
    (project.root / "_toc.yml").write_text("root: index\n")
    third = keys()
    (project.root / "notebooks" / "other.ipynb").write_text("not a notebook")
    every = [first, second, third, keys()]
    assert len({key for key, _ in every}) == len({content for _, content in every}) == 4


def test_force_executes_what_is_unchanged(copy):
    assert execute(copy, force=True) == {"one": "ok"}


def test_an_entry_that_was_never_finished_is_executed_again(copy):
    """As a full disk or a kill leaves it: the notebook is there, its digest not yet."""
    for digest in copy.build.rglob("*.sha256"):
        digest.unlink()
    assert execute(copy) == {"one": "ok"}
    assert execute(copy) == {"one": "cached"}


def test_few_old_executions_are_kept(copy):
    paths, one = Paths(copy.root), copy.executed("one")
    for number in range(cache.KEPT + 3):
        cache.store(paths, "one", f"{number:024}", one)
    names = {p.stem for p in (paths.cache / "one").iterdir()}
    assert len(names) == cache.KEPT
    assert all((paths.cache / "one" / f"{n}{end}").is_file() for n in names for end in (".ipynb", ".sha256"))


def test_the_executed_copy_tells_nothing_of_this_machines_folders(built):
    text = (built.build / "executed" / "one.ipynb").read_text()
    assert str(built.root) not in text
    assert "papermill" not in json.dumps([c.metadata for c in built.executed("one").cells])


# -- Parameters and order ------------------------------------------------------------------------------------------------


def test_parameters_reach_the_kernel_in_a_hidden_cell(project, main):
    names = {"N": 3, "RATE": 0.5, "NAME": 'O\'Brien "x"', "SIZES": [1, 2], "PAIR": [3, 4], "ON": True, "OFF": None}
    defaults = "\n".join(f"{name} = 0" for name in names)
    project.write("with", f"print([{', '.join(names)}])", parameters=f'PROFILE = "quick"\n{defaults}\nLEFT = 7')
    project.write("without", "print(PROFILE)")
    given = ["N=3", "RATE=0.5", 'NAME=O\'Brien "x"', "SIZES=[1, 2]", "PAIR=(3, 4)", "ON=true", "OFF=None"]
    done = main(project, "execute", "--profile", "full", *[part for text in given for part in ("-p", text)])
    assert done.status == 0, done.stdout

    executed = project.executed("with")
    assert stdout_of(executed) == f"{list(names.values())}\n"
    tagged = [c.metadata.get("tags", []) for c in executed.cells]
    assert tagged[:3] == [[], ["parameters"], ["injected-parameters", "remove-cell"]]
    assert stdout_of(project.executed("without")) == "full\n"
    results = project.results()
    assert results["with"]["parameters"] == {"PROFILE": "full", **names}
    assert results["without"]["parameters"] == {"PROFILE": "full"}
    assert (results["with"]["profile"], project.report()["profile"]) == ("full", "full")


class Order(Progress):
    def __init__(self):
        super().__init__()
        self.names: list[str] = []
        self.results: dict[str, executor.Result] = {}

    def started(self, name: str) -> None:
        super().started(name)
        self.names.append(name)

    def finished(self, result: executor.Result) -> None:
        super().finished(result)
        self.results[result.name] = result


def test_the_longest_runs_first_and_the_unknown_before_it(project):
    for name in ("a_short", "b_long", "c_new", "d_middle"):
        project.write(name)
    folder = project.build / "cache"
    folder.mkdir(parents=True)
    times = {"a_short quick": 1, "b_long quick": 30, "d_middle quick": 10, "a_short full": 99}
    (folder / "times.json").write_text(json.dumps(times))
    order = Order()
    assert set(execute(project, jobs=1, progress=order).values()) == {"ok"}
    assert order.names == ["c_new", "b_long", "d_middle", "a_short"]
    remembered = json.loads((folder / "times.json").read_text())
    assert set(remembered) == {*times, "c_new quick"}
    assert remembered["b_long quick"] != 30


@pytest.mark.parametrize("text", ["", "[]", "{", '{"one quick": null}', '{"one quick": "x"}', "\x00\xff"])
def test_unreadable_times_do_no_harm(copy, text):
    (copy.build / "cache" / "times.json").write_text(text)
    assert execute(copy) == {"one": "cached"}
    assert cache.remembered_times(Paths(copy.root)) == {}


def test_kernels_find_the_data_folder_that_the_builder_found(project, monkeypatch):
    """BOOK_DATA may be relative to where the command is typed; kernels run in another folder."""
    project.write("data", "import os, helpers.datasets\nprint(os.path.samefile(os.environ['BOOK_DATA'], DATA))",
                  parameters=f'PROFILE = "quick"\nDATA = {str(project.scratch)!r}')  # fmt: skip
    monkeypatch.chdir(project.scratch.parent)
    monkeypatch.setenv("BOOK_DATA", project.scratch.name)
    assert execute(project) == {"data": "ok"}
    assert stdout_of(project.executed("data")) == "True\n"


def test_notebooks_import_the_projects_modules_and_the_books_helpers(project):
    (project.root / "own_module.py").write_text("HERE = 'in the project'\n")
    project.write("imports", "import own_module, helpers.claims\nprint(own_module.HERE, helpers.claims.__name__)")
    assert execute(project) == {"imports": "ok"}
    assert stdout_of(project.executed("imports")) == "in the project helpers.claims\n"


def test_a_notebook_of_an_older_format_runs_and_no_wrong_cell_is_named(project):
    """Cells had no ids before format 4.5, and metadata may say nothing of a kernel."""
    for name, last in (("good", "print('done')"), ("bad", "1 / 0")):
        notebook = nbformat.read(project.write(name, "x = 1", last), as_version=4)
        notebook.metadata, notebook.nbformat_minor = {}, 4
        for cell in notebook.cells:
            del cell["id"]
        project.path(name).write_text(json.dumps(notebook))
    assert execute(project, progress=(order := Order())) == {"bad": "failed", "good": "ok"}
    assert stdout_of(project.executed("good")) == "done\n"
    assert order.results["bad"].cell is None
    assert order.results["bad"].error == "ZeroDivisionError: division by zero"


# -- Two builds, and the disk ----------------------------------------------------------------------------------------------


def test_two_builds_at_once_execute_once_and_both_succeed(project):
    for name in ("a", "b"):
        side = str(project.scratch / f"{name}.txt")
        project.write(name, f"with open({side!r}, 'a') as file:\n    file.write('executed ')", "print('done')")
    first, second = project.start("execute"), project.start("execute")
    outcomes = [first.wait(), second.wait()]
    assert [o.status for o in outcomes] == [0, 0], outcomes
    assert [(project.scratch / f"{n}.txt").read_text() for n in ("a", "b")] == ["executed ", "executed "]
    assert [stdout_of(project.executed(n)) for n in ("a", "b")] == ["done\n", "done\n"]
    assert set(project.statuses().values()) == {"cached"}
    assert execute(project) == {"a": "cached", "b": "cached"}
    assert list(project.build.rglob("*.tmp")) == []
    assert not list((project.build / "partial").iterdir())


def test_a_limit_on_file_size_fails_one_notebook_and_keeps_the_others(project, book):
    project.write("small", "print('small')")
    project.write("big", "print('x' * 3_000_000)")
    size = 1_000_000
    done = book("execute", before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    assert done.status == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert project.statuses() == {"big": "failed", "small": "ok"}
    assert project.results()["big"]["error"] == "no space left for the build folder; free some and run again"
    assert execute(project) == {"big": "ok", "small": "cached"}


def mounted(folder: Path, kilobytes: int) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def small_disk(project):
    """The project, its build folder on a disk of one megabyte."""
    if not mounted(project.build, 1024):
        pytest.skip("mounting a small file system is not permitted here")
    yield project
    for run in project.runs:
        run.stop()
    subprocess.run(["umount", "-l", str(project.build)], check=True)


def test_a_full_disk_fails_with_one_sentence_and_keeps_what_is_there(small_disk, main):
    project = small_disk
    project.write("small", "print('small')")
    assert main(project, "execute").status == 0
    kept = project.kept()
    project.write("big", "print('x' * 300_000)")
    filler = project.build / "filler"
    free = os.statvfs(project.build)
    filler.write_bytes(b"x" * free.f_bavail * free.f_bsize)

    done = main(project, "execute")
    assert done.status == 1
    assert "Traceback" not in done.stdout + done.stderr
    assert "no space left for the build folder" in (done.stdout + done.stderr).lower()
    assert len(done.stderr.strip().splitlines()) <= 1
    assert {name: project.kept().get(name) for name in kept} == kept

    filler.unlink()
    assert main(project, "execute").status == 0
    assert project.statuses() == {"big": "ok", "small": "cached"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_no_space_for_the_cache_stops_the_build_with_one_sentence(project, main, monkeypatch, number):
    project.write("kept")
    assert main(project, "execute").status == 0
    kept = project.kept()
    project.write("a_quick", "print('done')")
    project.write("b_endless", says(project, "endless"), FOREVER)
    write = cache.write_atomically

    def full(path, text):
        if path.parent.name == "a_quick":
            process_that_said(project, "endless")
            raise OSError(number, os.strerror(number))
        write(path, text)

    monkeypatch.setattr(cache, "write_atomically", full)
    done = main(project, "execute", "--jobs", "2")
    assert done.status == 1
    assert_one_sentence(done, "build folder", os.strerror(number))
    endless = int((project.scratch / "endless").read_text())
    wait_until(lambda: not psutil.pid_exists(endless), "the other kernel to be stopped", 30)
    assert {name: project.kept().get(name) for name in kept} == kept
    assert execute(project, "kept") == {"kept": "cached"}


# -- Stopping ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_build_keeps_what_is_finished_and_goes_on_later(project, number):
    go = project.scratch / "go"
    wait = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.1)\nprint('done')"
    project.write("a_finished", "print('done')")
    project.write("b_running", "print('before')", f"{says(project, 'b')}\n{wait}")
    project.write("c_running", "print('before')", f"{says(project, 'c')}\n{wait}")
    project.write("d_waiting", "print('done')")
    (project.build / "cache").mkdir(parents=True)
    times = {"a_finished quick": 9, "b_running quick": 8, "c_running quick": 7, "d_waiting quick": 1}
    (project.build / "cache" / "times.json").write_text(json.dumps(times))
    before = project.sources()

    run = project.start("execute", "--jobs", "2")
    for name in ("b", "c"):
        process_that_said(project, name)
    assert len(run.family()) >= 5  # the builder, two workers, two kernels
    run.signal(number)
    done = run.wait()
    assert done.status == 130
    assert_one_sentence(done, "finished notebooks are kept")
    run.assert_nothing_left()

    results = project.results()
    assert {n: r["status"] for n, r in results.items()} == {
        "a_finished": "ok", "b_running": "interrupted", "c_running": "interrupted", "d_waiting": "interrupted"
    }  # fmt: skip
    for name in ("b_running", "c_running"):
        assert results[name]["cell"] == 4
        assert stdout_of(project.partial(name)) == "before\n"
        assert results[name]["partial"] == f"_build/partial/{name}.ipynb"
        assert not (project.build / "executed" / f"{name}.ipynb").exists()
    assert results["d_waiting"]["partial"] is None
    assert stdout_of(project.executed("a_finished")) == "done\n"
    assert project.sources() == before

    go.write_text("")
    assert execute(project) == {"a_finished": "cached", "b_running": "ok", "c_running": "ok", "d_waiting": "ok"}
    assert not list((project.build / "partial").iterdir())


def test_nothing_is_left_running_if_the_builder_itself_is_killed(project):
    project.write("endless", says(project, "endless"), FOREVER)
    run = project.start("execute")
    process_that_said(project, "endless")
    run.signal(signal.SIGKILL)
    assert run.wait().status == -signal.SIGKILL
    run.assert_nothing_left()
    assert execute(project, time_limit=0.001) == {"endless": "timeout"}  # the folder is free for the next build


# -- What became of the bad day ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outcome(bad_day):
    return bad_day.run.wait()


EXPECTED = {
    "fine": "ok",
    "raises": "failed",
    "claims": "failed",
    "kernel": "died",
    "leaves": "died",
    "exits": "failed",
    "worker": "died",
    "slow": "timeout",
}
CONTRACT = {"name", "status", "seconds", "peak_memory_mib", "profile", "claims"}
MORE = {"cell", "code", "error", "partial", "parameters", "jobs", "date", "device_memory_mib", "device_energy_joules"}
OF_A_CLAIM = {"id", "statement", "value", "bound", "passed", "errata", "capabilities"}


class TestTheBadDay:
    def test_each_ends_as_it_should_and_the_build_fails(self, bad_day, outcome):
        assert outcome.status == 1
        assert outcome.stderr == ""
        assert bad_day.statuses() == EXPECTED

    def test_nothing_is_left_running(self, bad_day, outcome):
        bad_day.run.assert_nothing_left()

    def test_no_source_is_touched(self, bad_day, outcome):
        assert bad_day.sources() == bad_day.before

    @pytest.mark.parametrize(
        ("name", "cell", "code", "error"),
        [
            ("raises", 5, "# the title of this cell", "ValueError: "),
            ("claims", 5, "_ = claims.equal('claims.bad'", "ClaimFailed: [CLAIM FAILS] claims.bad"),
            ("kernel", 4, "import os, signal", "the kernel died"),
            ("leaves", 4, "import os", "the kernel died"),
            ("exits", 4, "import sys", "SystemExit: 0"),
            ("worker", 4, "import os, pathlib", "its process was killed"),
            ("slow", 4, "import time", f"stopped at the time limit of {TIME_LIMIT} s"),
        ],
    )
    def test_the_cell_and_the_error_are_named(self, bad_day, outcome, name, cell, code, error):
        result = bad_day.results()[name]
        assert result["cell"] == cell
        assert result["code"].startswith(code)
        assert result["error"].startswith(error)
        assert f"✗ {name}: {result['status']} at cell {cell} ({code}" in outcome.stdout

    @pytest.mark.parametrize("name", [n for n in EXPECTED if n != "fine"])
    def test_the_partial_notebook_is_kept_as_far_as_it_came(self, bad_day, outcome, name):
        result = bad_day.results()[name]
        assert result["partial"] == f"_build/partial/{name}.ipynb"
        partial = bad_day.partial(name)
        if name not in ("raises", "claims"):
            assert stdout_of(partial) == "before\n"
        assert not (bad_day.build / "executed" / f"{name}.ipynb").exists()

    def test_the_good_one_is_finished_and_cached(self, bad_day, outcome, here):
        assert bad_day.executed("fine").metadata["book"]["run"]["profile"] == "quick"
        assert not (bad_day.build / "partial" / "fine.ipynb").exists()
        assert execute(bad_day, "fine") == {"fine": "cached"}

    def test_the_log_is_plain_text_with_a_line_for_each_start_and_end(self, bad_day, outcome):
        lines = outcome.stdout.splitlines()
        assert "\x1b" not in outcome.stdout
        assert lines[0] == "Notebooks: 8, profile quick."
        for name in EXPECTED:
            assert f"  … {name}: started" in lines
        assert any(line.startswith("  ✓ fine: 1 claims hold, ") for line in lines)
        assert "1 of 8 notebooks good (1 executed now), 1 claims hold" in lines[-1]

    def test_the_report_keeps_its_contract(self, bad_day, outcome):
        report = bad_day.report()
        assert {"notebooks", "versions", "device"} <= set(report)
        assert {"python", "papermill"} <= set(report["versions"])
        assert {"cpu", "cores", "gpus"} <= set(report["device"])
        assert [r["name"] for r in report["notebooks"]] == sorted(EXPECTED)
        for result in report["notebooks"]:
            assert set(result) == CONTRACT | MORE
            assert result["profile"] == "quick"
            assert result["seconds"] > 0
            assert result["peak_memory_mib"] > 10
        claims = {c["id"]: c for r in report["notebooks"] for c in r["claims"]}
        assert {id: c["passed"] for id, c in claims.items()} == {
            "fine.sum": True, "claims.good": True, "claims.bad": False
        }  # fmt: skip
        assert all(set(c) >= OF_A_CLAIM for c in claims.values())

    def test_the_junit_report_counts_executions_and_claims(self, bad_day, outcome):
        suites = ElementTree.parse(bad_day.build / "junit.xml").getroot().findall("testsuite")
        failures = {s.get("name"): int(s.get("failures")) for s in suites}
        assert failures == {n: 0 if n == "fine" else 2 if n == "claims" else 1 for n in EXPECTED}
        for suite in suites:
            assert int(suite.get("tests")) == len(suite.findall("testcase"))
            assert int(suite.get("failures")) == len(suite.findall("testcase/failure"))
        messages = {s.get("name"): s.find("testcase/failure") for s in suites}
        assert messages["slow"].get("message").startswith("timeout: ")
        assert "red" in messages["raises"].text


class Impatient(Progress):
    """Stops the build as soon as a notebook has left a file."""

    def __init__(self, file: Path):
        super().__init__()
        self.file, self.stopped = file, False

    def tick(self) -> None:
        if not self.stopped and self.file.is_file():
            self.stopped = True
            raise KeyboardInterrupt


def test_a_notebook_may_be_stopped_in_an_empty_cell(project):
    """An empty last cell, as Jupyter likes to leave, is at work while the kernel shuts down."""
    project.write("slow_end", f"import atexit, time\ndef end():\n    open({str(project.scratch / 'end')!r}, 'w').close()\n"
                  "    time.sleep(60)\natexit.register(end);", "")  # fmt: skip
    with pytest.raises(executor.Interrupted) as stop:
        execute(project, progress=Impatient(project.scratch / "end"))
    (result,) = stop.value.results
    assert (result.status, result.cell, result.code) == ("interrupted", 4, "")


def test_every_field_of_the_report_is_there_for_cached_and_interrupted_notebooks_too(copy, main):
    copy.write("two", says(copy, "two"), FOREVER)
    with pytest.raises(executor.Interrupted) as stop:
        execute(copy, progress=Impatient(copy.scratch / "two"))
    assert [r.status for r in stop.value.results] == ["cached", "interrupted"]
    from book import report

    written = report.write(Paths(copy.root), stop.value.results, profile="quick", jobs=1, wall_seconds=1.0)
    assert [set(r) for r in written["notebooks"]] == [CONTRACT | MORE] * 2
    assert copy.report() == json.loads(json.dumps(written))


@pytest.mark.skipif(sys.platform == "win32", reason="kernels use TCP ports there")
def test_kernels_share_no_ports_and_leave_no_socket(project, monkeypatch, tmp_path):
    """Two kernels that start together cannot be given the same port, and nobody else can connect."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    transport = "ipykernel.get_connection_info(unpack=True)['transport']"
    project.write("one", f"import ipykernel\nassert {transport} == 'ipc', {transport}")
    assert execute(project) == {"one": "ok"}
    assert list(folder.glob("book-*")) == []
