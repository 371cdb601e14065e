"""The same models behind KServe's own server, in a process and an environment of its own.

KServe's packages cannot live beside the book's, so ``python3 -m book setup --engine kserve`` puts them into
``.venv-kserve``. The program that runs there is ``engines/kserve/server.py``. It needs no network and no Kubernetes.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = ROOT / ".venv-kserve"
_PYTHON = _ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
_SERVER = ROOT / "engines" / "kserve" / "server.py"
_ADDRESS = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
# Runs a program and ends it as soon as its standard input closes: then whoever started it is gone, however it ended.
_WHILE_WANTED = """
import os, runpy, signal, sys, threading
def watch():
    os.read(0, 1)  # not sys.stdin: a thread that waits in it aborts Python's end
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=watch, daemon=True).start()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class KServeError(RuntimeError):
    """KServe's server cannot be started. The message says why and what to do."""


def available() -> bool:
    """Whether ``.venv-kserve`` is there and is the one that its lock file describes."""
    stamp = _ENVIRONMENT / "book-lock.sha256"
    if not (stamp.is_file() and _PYTHON.exists()):
        return False
    return stamp.read_text().startswith(hashlib.sha256((_SERVER.parent / "requirements.lock").read_bytes()).hexdigest())


def start(models_folder: str | Path, engine: str = "litert", *, seconds: float = 60.0) -> KServe:
    """Serve a folder of models with KServe on a free port of 127.0.0.1, and wait until it answers.

    Parameters
    ----------
    models_folder : path
        A folder of models, each with versions. The active version of each is served.
    engine : {"litert", "litert-float", "onnx"}
        Which of the version's files answers.
    seconds : float
        How long to wait for the start.

    Returns
    -------
    KServe
        A context manager; leaving it stops the server.

    Raises
    ------
    KServeError
        If the environment is absent or out of date, or the server does not start; then with its last words.

    Examples
    --------
    >>> with kserve.start("_build/artifacts/models") as server:
    ...     requests = load.measure(server.url, body, path="/v2/models/digits/infer")
    """
    if not available():
        raise KServeError(f"The environment '{_ENVIRONMENT}' is absent or out of date; make it with: "
                          "python3 -m book setup --engine kserve")  # fmt: skip
    server = KServe(Path(models_folder), engine)
    try:
        server.wait(seconds)
    except BaseException:
        server.stop()
        raise
    return server


class KServe:
    """A running server.

    Attributes
    ----------
    url : str
        Such as ``http://127.0.0.1:41234``; empty before it is known.
    pid : int
    """

    def __init__(self, models_folder: Path, engine: str):
        self.url = ""
        self._folder = tempfile.TemporaryDirectory(prefix="kserve-")
        self._log = Path(self._folder.name) / "log"
        command = [str(_PYTHON), "-c", _WHILE_WANTED, str(_SERVER), str(models_folder), "--engine", engine,
                   "--http_port", "0"]  # fmt: skip
        with self._log.open("wb") as log:  # a pipe that nobody reads would fill up and stop the server
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                start_new_session=True,  # interrupting a notebook must not stop the server
            )  # fmt: skip
        self.pid = self._process.pid

    def wait(self, seconds: float) -> None:
        """Wait until the server says where it listens; it does so when all models are loaded."""
        end = time.monotonic() + seconds
        while not (found := _ADDRESS.search(self.log())):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > end:
                last = (self.log().strip().splitlines() or ["nothing"])[-1]
                what = "ended at once" if ended else f"was not ready within {seconds:g} s"
                raise KServeError(f"KServe's server {what}; its last words: {last}")
            time.sleep(0.05)
        self.url = found[1]

    def log(self) -> str:
        """What the server has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Let the server finish what it has accepted, and return its exit status."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.stdin.close()
        return self._process.wait()

    def __enter__(self) -> KServe:
        return self

    def __exit__(self, *error) -> None:
        self.stop()
