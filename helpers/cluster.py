"""Worker processes on this machine: started, listened to, and never left behind.

A worker writes one JSON object per line to its standard output; each line is a sign of life. Where a worker needs packages
that cannot live beside the book's, it runs in an engine's environment, ``.venv-NAME`` (``python3 -m book setup --engine
NAME``).
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from helpers import display

ROOT = Path(__file__).resolve().parents[1]
# Runs a program, and ends it as soon as its standard input closes: then whoever started it is gone, however it ended.
_WHILE_WANTED = """
import os, runpy, signal, sys, threading
def watch():
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class ClusterError(RuntimeError):
    """Workers cannot be started, or have failed. The message says which, why, and what to do."""


def engine_python(name: str) -> Path | None:
    """Python of the engine's environment, or None if it is absent or not the one that its lock file describes."""
    lock, folder = ROOT / "engines" / name / "requirements.lock", ROOT / f".venv-{name}"
    if not lock.is_file():
        raise ClusterError(f"there is no engine '{name}': '{lock}' does not exist")
    python, stamp = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"), folder / "book-lock.sha256"
    if not (python.exists() and stamp.is_file()):
        return None
    current = stamp.read_text(encoding="utf-8").startswith(hashlib.sha256(lock.read_bytes()).hexdigest())
    return python if current else None


def free_addresses(count: int) -> list[str]:
    """``127.0.0.1:port``, ``count`` times, with different ports that are free at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def program(name: str) -> Path:
    """File of one of the book's workers, such as ``mirrored``."""
    file = ROOT / "helpers" / "workers" / f"{name}.py"
    if not file.is_file():
        raise ClusterError(f"there is no worker program '{name}'; there are "
                           f"{sorted(p.stem for p in file.parent.glob('[!_]*.py'))}")  # fmt: skip
    return file


def tensorflow_config(addresses: Sequence[str], index: int) -> dict[str, str]:
    """Environment of worker ``index``: TF_CONFIG names all workers and says which one this is."""
    task = {"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}}
    return {"TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": "-1"}


class Group:
    """Workers that live and die together.

    Parameters
    ----------
    file : path
        The Python program of every worker.
    arguments : sequence of sequences of str
        One list of arguments for each worker.
    environments : sequence of dict, optional
        What to add to the environment of each worker.
    python : path, optional
        The Python to use; the one that runs this by default.

    Attributes
    ----------
    pids : list of int

    Examples
    --------
    >>> with Group(file, [["0"], ["1"]]) as group:  # leaving the block ends all workers
    ...     while group.running():
    ...         print(group.messages())
    """

    def __init__(self, file, arguments, environments=None, python=None):
        if not Path(file).is_file():
            raise ClusterError(f"the worker's program '{file}' does not exist")
        environments = environments or [{}] * len(arguments)
        self._queue, self._folder = queue.Queue(), tempfile.TemporaryDirectory(prefix="workers-")
        self._processes, self._readers = [], []
        self._heard = [time.monotonic()] * len(arguments)
        common = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1",
                  "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])}  # fmt: skip
        for k, (own, extra) in enumerate(zip(arguments, environments, strict=True)):
            command = [str(python or sys.executable), "-c", _WHILE_WANTED, str(file), *map(str, own)]
            with self._errors(k).open("wb") as errors:
                process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                                           env={**common, **extra}, start_new_session=True)  # fmt: skip
            self._processes.append(process)
            self._readers.append(threading.Thread(target=self._read, args=(k, process), daemon=True))
            self._readers[-1].start()
        self.pids = [process.pid for process in self._processes]

    def messages(self, seconds: float = 0.2) -> list[dict]:
        """What the workers have said since the last call; waits up to ``seconds`` for the first word."""
        found = []
        try:
            found.append(self._queue.get(timeout=seconds))
            while True:
                found.append(self._queue.get_nowait())
        except queue.Empty:
            return found

    def statuses(self) -> list[int | None]:
        """Exit status of each worker: None while it runs, 0 after a good end, ``-9`` if it was killed by signal 9."""
        return [process.poll() for process in self._processes]

    def running(self) -> bool:
        """Whether a worker still runs, or has said something that was not yet read."""
        return any(reader.is_alive() for reader in self._readers) or not self._queue.empty()

    def silence(self) -> float:
        """Seconds since the most silent of the running workers has said something (or was started)."""
        last = [h for h, status in zip(self._heard, self.statuses(), strict=True) if status is None]
        return time.monotonic() - min(last) if last else 0.0

    def listens_on(self) -> set[str]:
        """Addresses of this machine on which the workers wait for connections at this moment."""
        found = set()
        for pid in self.pids:
            try:
                connections = psutil.Process(pid).net_connections("inet")
            except psutil.Error:
                continue  # it has ended, or is not ours to look at
            found |= {c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN}
        return found

    def freeze(self, worker: int) -> None:
        """Stop a worker without ending it, as a hanging disk or driver does."""
        os.kill(self.pids[worker], signal.SIGSTOP)

    def last_words(self, worker: int) -> str:
        """Last line that a worker wrote to its standard error."""
        lines = self._errors(worker).read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else "nothing"

    def finish(self, seconds: float) -> list[dict]:
        """Wait until all workers have ended well, and return what they said.

        Raises
        ------
        ClusterError
            If a worker fails, or they have not ended after ``seconds``.
        """
        said, end = [], time.monotonic() + seconds
        while self.running():
            said += self.messages()
            for worker, status in enumerate(self.statuses()):
                if status not in (None, 0):
                    raise ClusterError(f"worker {worker} ended with status {status}; its last words: "
                                       f"{self.last_words(worker)}")  # fmt: skip
            if time.monotonic() > end:
                raise ClusterError(f"the workers have not ended within {seconds:g} s; statuses {self.statuses()}")
        return said

    def stop(self) -> None:
        """End every worker and whatever they started. Does no harm a second time."""
        family = []
        for process in self._processes:
            if process.poll() is None:
                try:
                    family += [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
                except psutil.NoSuchProcess:
                    continue
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                pass
        for process, reader in zip(self._processes, self._readers, strict=True):
            process.wait()
            process.stdin.close()
            reader.join(5)
            process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Group:
        return self

    def __exit__(self, *error) -> None:
        self.stop()

    def _errors(self, worker: int) -> Path:
        return Path(self._folder.name) / f"stderr-{worker}"

    def _read(self, worker: int, process: subprocess.Popen) -> None:
        for line in process.stdout:
            self._heard[worker] = time.monotonic()
            try:
                message = json.loads(line)
            except ValueError:
                continue  # chatter of a library
            if isinstance(message, dict):
                self._queue.put(message)


def show_source(file: str | Path, *, label: str) -> None:
    """Show a program on the page, in the colours of the page's code."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    text = Path(file).read_text(encoding="utf-8").strip()
    markup = highlight(text, PythonLexer(), HtmlFormatter(nowrap=True))
    display.show(
        text=text,
        html=f'<div class="highlight" tabindex="0" role="region" aria-label="{html.escape(label, quote=True)}">'
        f'<pre class="program">{markup}</pre></div>',
    )
