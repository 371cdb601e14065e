"""The executor: every notebook in a process of its own, as many at a time as there are cores, longest first.

Whatever happens to one notebook (an exception, a failed claim, a dead kernel, the time limit, Ctrl-C), its partial
copy stays on disk with the cell named, the others are not touched, and sources are never written to.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import nbformat
import psutil

from book import BookError, artifacts, cache, ledger, machine, private
from book.files import write_notebook
from book.paths import REPOSITORY, Paths
from book.progress import Progress
from book.sources import Source

# Seconds that a notebook may take before it is stopped. Generous: the budget of the quick profile is 120 s on two
# idle cores, and a loaded machine is not a reason to fail.
TIME_LIMIT = {"quick": 600.0, "full": 4 * 3600.0}
_ERROR_LINES = 6


class Interrupted(Exception):
    """The user stopped the build. Carries the results so far."""

    def __init__(self, results: list[Result]):
        self.results = results


@dataclass
class Result:
    """What became of one notebook in this build.

    ``status`` is one of ``ok``, ``cached``, ``failed``, ``timeout``, ``died``, ``interrupted``. For a cached notebook,
    seconds and memory are those of the execution that is in the cache. ``jobs`` is how many notebooks ran at a time
    then; memory and energy of the cards are known only if it was one. ``cell`` is the number, from 1, of the cell of the
    source notebook that was at work when things ended badly, and ``code`` its first line.
    """

    name: str
    status: str
    profile: str
    seconds: float = 0.0
    peak_memory_mib: float = 0.0
    device_memory_mib: float | None = None
    device_energy_joules: float | None = None
    jobs: int | None = None
    date: str | None = None
    cell: int | None = None
    code: str | None = None
    error: str | None = None
    partial: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    claims: list[dict[str, Any]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.status in ("ok", "cached")


@dataclass
class _Running:
    source: Source
    key: str
    process: multiprocessing.process.BaseProcess
    report: Connection
    started: float
    sockets: Path | None = None
    cell: str | None = None
    peak: float = 0.0
    outcome: dict[str, Any] | None = None


def execute(
    paths: Paths,
    sources: list[Source],
    parameters: dict[str, dict[str, Any]],
    *,
    jobs: int | None = None,
    force: bool = False,
    time_limit: float | None = None,
    progress: Progress | None = None,
    versions: dict[str, str] | None = None,
) -> list[Result]:
    """Execute notebooks, or take them from the cache, into ``_build/executed``.

    Parameters
    ----------
    sources : list of Source
        Checked notebooks, see :func:`book.sources.load`.
    parameters : dict
        Parameters to inject per notebook name; each has ``PROFILE``.
    jobs : int, optional
        Notebooks at a time; the number of cores if not given.
    force : bool
        Execute even what is in the cache.
    time_limit : float, optional
        Seconds per notebook; by default by profile, see ``TIME_LIMIT``.
    versions : dict, optional
        Versions of the packages that the kernels use; by default those of this environment.

    Returns
    -------
    list of Result
        In the order of ``sources``.

    Raises
    ------
    BookError
        If the cache is damaged.
    Interrupted
        On Ctrl-C or SIGTERM, after the running notebooks were stopped and their partial copies kept.
    """
    jobs = machine.cores() if jobs is None else jobs
    if jobs < 1:
        raise BookError(f"--jobs {jobs} is not possible; give a number of at least 1.")
    if time_limit is not None and not time_limit > 0:
        raise BookError(f"--time-limit {time_limit:g} is not possible; give a number of seconds above 0.")
    progress = progress or Progress()
    shared = cache.shared_key(paths)
    keys = {s.name: cache.key(s, parameters[s.name], shared) for s in sources}
    results: dict[str, Result] = {}
    waiting = []
    for source in sources:
        stored = None if force else cache.lookup(paths, source, keys[source.name])
        if stored is None:
            waiting.append(source)
        else:
            results[source.name] = _accept(paths, source, stored, "cached")
            progress.finished(results[source.name])
    times = cache.remembered_times(paths)

    def expected(source: Source) -> tuple[float, int]:
        profile = parameters[source.name]["PROFILE"]
        return times.get(f"{source.name} {profile}", float("inf")), sum(len(c.source) for c in source.code)

    waiting.sort(key=expected, reverse=True)
    pool = _Pool(paths, parameters, keys, time_limit, progress, versions or machine.versions())
    with _stoppable() as stop_wanted:
        try:
            for result in pool.run(waiting, jobs, stop_wanted):
                results[result.name] = result
                progress.finished(result)
        except KeyboardInterrupt:
            for result in pool.stop():
                results[result.name] = result
                progress.finished(result)
            for source in sources:
                if source.name not in results:
                    profile = parameters[source.name]["PROFILE"]
                    results[source.name] = Result(source.name, "interrupted", profile, error="not started")
            raise Interrupted([results[s.name] for s in sources]) from None
        finally:
            pool.kill()
    return [results[s.name] for s in sources]


class _Pool:
    """The processes at work. Everything that is started here is also stopped here."""

    def __init__(self, paths, parameters, keys, time_limit, progress: Progress, versions: dict[str, str]):
        self.paths, self.parameters, self.keys, self.versions = paths, parameters, keys, versions
        self.time_limit, self.progress = time_limit, progress
        self.running: list[_Running] = []
        self.jobs = 1
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self.context = multiprocessing.get_context(method)
        if method == "forkserver":
            self.context.set_forkserver_preload(["book.worker"])

    def run(self, waiting: list[Source], jobs: int, stop_wanted: Callable[[], bool]) -> Iterator[Result]:
        waiting = list(waiting)
        self.jobs = min(jobs, len(waiting))
        while waiting or self.running:
            if stop_wanted():
                raise KeyboardInterrupt
            while waiting and len(self.running) < jobs:
                self._start(waiting.pop(0))
            wait([r.report for r in self.running] + [r.process.sentinel for r in self.running], timeout=0.25)
            for running in list(self.running):
                self._listen(running)
                self._measure(running)
                if running.outcome is None and not running.process.is_alive():
                    self._listen(running)
                    if running.outcome is None:
                        running.outcome = {"status": "died", "error": "its process was killed"}
                if running.outcome is None and self._seconds(running) > self._limit(running):
                    running.outcome = {
                        "status": "timeout",
                        "error": f"stopped at the time limit of {self._limit(running):g} s",
                    }
                if running.outcome is not None:
                    yield self._end(running)
            self.progress.tick()

    def stop(self) -> list[Result]:
        """Stop what is running and keep what it has written."""
        ended = []
        for running in list(self.running):
            self._listen(running)
            running.outcome = {"status": "interrupted", "error": "stopped by the user"}
            ended.append(self._end(running))
        return ended

    def kill(self) -> None:
        """End what still runs, because something unforeseen (a full disk) ends the build."""
        for running in list(self.running):
            self.running.remove(running)
            _kill(running.process, patience=0)
            running.report.close()
            _remove(running.sockets)
            name = running.source.name
            with suppress(OSError):
                os.replace(self._unfinished_file(name), self.paths.partial / f"{name}.ipynb")

    def _unfinished_file(self, name: str) -> Path:
        return self.paths.partial / f"{name}.{os.getpid()}.ipynb"

    def _start(self, source: Source) -> None:
        from book.worker import Job, run

        name = source.name
        partial = self._unfinished_file(name)
        sockets = Path(tempfile.mkdtemp(prefix="book-")) if os.name == "posix" else None
        job = Job(
            name=name,
            source=source.path,
            partial=partial,
            log=self.paths.logs / f"{name}.log",
            folder=source.path.parent,
            kernel=source.kernel,
            sockets=sockets,
            parameters=self.parameters[name],
            environment=_environment(self.paths),
            alone=self.jobs == 1,
        )
        report, theirs = self.context.Pipe(duplex=False)
        process = self.context.Process(target=run, args=(job, theirs), name=f"notebook {name}")
        process.start()
        theirs.close()
        self.running.append(_Running(source, self.keys[name], process, report, time.monotonic(), sockets))
        self.progress.started(name)

    def _listen(self, running: _Running) -> None:
        try:
            while running.report.poll():
                kind, *what = running.report.recv()
                if kind == "cell":
                    running.cell, index, total = what
                    self.progress.cell(running.source.name, index, total)
                elif kind == "end":
                    running.outcome = what[0]
        except (EOFError, OSError):
            pass  # the process is gone; its exit tells the rest

    def _measure(self, running: _Running) -> None:
        resident = 0
        for process in _family(running.process.pid):
            try:
                resident += process.memory_info().rss
            except psutil.Error:
                continue
        running.peak = max(running.peak, resident / 2**20)

    def _seconds(self, running: _Running) -> float:
        return time.monotonic() - running.started

    def _limit(self, running: _Running) -> float:
        return self.time_limit or TIME_LIMIT[self.parameters[running.source.name]["PROFILE"]]

    def _end(self, running: _Running) -> Result:
        seconds = self._seconds(running)
        finished = running.outcome["status"] in ("ok", "failed")
        _kill(running.process, patience=10 if finished else 0)
        self.running.remove(running)
        running.report.close()
        _remove(running.sockets)
        source, outcome = running.source, running.outcome
        parameters = self.parameters[source.name]
        partial = self._unfinished_file(source.name)
        executed = _read(partial)
        if outcome["status"] == "ok":
            fault = (None, "died", "nothing was written") if executed is None else _unfinished(executed)
            if fault:
                running.cell, outcome = fault[0], {"status": fault[1], "error": fault[2]}
        if outcome["status"] == "ok":
            executed.metadata["book"] = {
                **executed.metadata.get("book", {}),
                "run": {
                    "profile": parameters["PROFILE"],
                    "parameters": parameters,
                    "content": cache.content(self.paths, source.notebook),
                    "seconds": round(seconds, 2),
                    "peak_memory_mib": round(running.peak, 1),
                    "device_memory_mib": outcome.get("device_memory_mib"),
                    "device_energy_joules": outcome.get("device_energy_joules"),
                    "jobs": self.jobs,
                    "date": time.strftime("%Y-%m-%d", time.gmtime()),
                    "versions": self.versions,
                    "device": machine.device(),
                },
            }
            _normalise(executed, self.paths.root)
            cache.store(self.paths, source.name, running.key, executed)
            cache.remember_time(self.paths, source.name, parameters["PROFILE"], seconds)
            partial.unlink(missing_ok=True)
            (self.paths.partial / f"{source.name}.ipynb").unlink(missing_ok=True)
            return _accept(self.paths, source, executed, "ok")
        (self.paths.executed / f"{source.name}.ipynb").unlink(missing_ok=True)
        kept = self.paths.partial / f"{source.name}.ipynb"
        cells = [c.get("id") for c in source.notebook.cells]
        number = cells.index(running.cell) + 1 if running.cell and running.cell in cells else None
        if executed is not None:
            os.replace(partial, kept)
        return Result(
            source.name,
            outcome["status"],
            parameters["PROFILE"],
            seconds=round(seconds, 2),
            peak_memory_mib=round(running.peak, 1),
            cell=number,
            code=source.notebook.cells[number - 1].source.strip().partition("\n")[0][:80] if number else None,
            error=_shorten(outcome.get("error", "")),
            partial=self.paths.show(kept) if executed is not None else None,
            parameters=parameters,
            claims=ledger.claims_of(executed) if executed is not None else [],
        )


def _accept(paths: Paths, source: Source, executed: nbformat.NotebookNode, status: str) -> Result:
    """Put a good execution where the site is made from, and describe it."""
    composed = cache.compose(source, executed)
    target = paths.executed / f"{source.name}.ipynb"
    if not (target.is_file() and target.read_text(encoding="utf-8") == nbformat.writes(composed) + "\n"):
        write_notebook(target, composed)
    artifacts.unpack(paths, source.name, composed)
    run = composed.metadata["book"]["run"]
    return Result(
        source.name,
        status,
        run["profile"],
        seconds=run["seconds"],
        peak_memory_mib=run["peak_memory_mib"],
        device_memory_mib=run.get("device_memory_mib"),
        device_energy_joules=run.get("device_energy_joules"),
        jobs=run.get("jobs"),
        date=run.get("date"),
        parameters=run["parameters"],
        claims=ledger.claims_of(composed),
    )


def _normalise(executed: nbformat.NotebookNode, root: Path) -> None:
    """Drop what differs from run to run or tells of this machine (papermill's paths and times, random ids, places)."""
    executed.metadata.pop("papermill", None)
    private.hide(executed, root)
    for cell in executed.cells:
        for name in ("papermill", "execution"):
            cell.metadata.pop(name, None)
        if cache.INJECTED in cell.metadata.get("tags", []):
            cell["id"] = cache.INJECTED
            cell.metadata["tags"] = [cache.INJECTED, "remove-cell"]


def _unfinished(executed: nbformat.NotebookNode) -> tuple[str | None, str, str] | None:
    """Cell, status and error of an execution that claims success and is none; papermill lets ``sys.exit(0)`` pass."""
    for cell in executed.cells:
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        for output in cell.outputs:
            if output.output_type == "error":
                return cell.get("id"), "failed", f"{output.ename}: {output.evalue}"
        if cell.execution_count is None:
            return cell.get("id"), "died", "this cell was not executed"
    return None


def _read(path) -> nbformat.NotebookNode | None:
    try:
        return nbformat.read(path, as_version=4)
    except Exception:
        return None  # not written, or cut short by a kill: nothing to keep


def _shorten(error: str) -> str:
    """The last lines, without the colours of a terminal and other control characters."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", error)
    plain = "".join(c if c == "\n" or c.isprintable() else " " for c in plain)
    lines = [line.rstrip() for line in plain.strip().splitlines() if line.strip()]
    return "\n".join(line[:400] for line in lines[-_ERROR_LINES:])


def _environment(paths: Paths) -> dict[str, str]:
    """Environment of the kernels: this project's modules first, and nothing that varies from run to run."""
    python_path = [str(paths.root), str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    data = os.environ.get("BOOK_DATA")
    return {
        **({"BOOK_DATA": os.path.abspath(data)} if data else {}),  # kernels run in another folder
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(p for p in python_path if p)),
        "PYTHONHASHSEED": "0",
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "CUDA_DEVICE_ORDER": os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID"),  # numbers as nvidia-smi has them
        # Several kernels share one card: each takes memory as it needs it, unless the user says otherwise.
        "TF_FORCE_GPU_ALLOW_GROWTH": os.environ.get("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
        "XLA_PYTHON_CLIENT_PREALLOCATE": os.environ.get("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    }


def _family(pid: int | None) -> list[psutil.Process]:
    """A process and all its descendants, the kernel among them."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(process: multiprocessing.process.BaseProcess, *, patience: float) -> None:
    """End a process and its descendants: given time to leave, then asked, then forced."""
    family = _family(process.pid)
    process.join(timeout=patience)
    for one in family:
        _quietly(one.terminate)
    _, stubborn = psutil.wait_procs(family, timeout=3)
    for one in stubborn:
        _quietly(one.kill)
    process.join(timeout=5)


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except psutil.Error:
        pass


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C and SIGTERM, so that the executor stops between two steps and loses nothing.

    A second signal stops it at once.
    """
    received: list[int] = []

    def note(number, frame):
        received.append(number)
        if len(received) > 1:
            raise KeyboardInterrupt

    before = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: signals are the business of whoever called
        pass
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
