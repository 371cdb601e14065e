"""Start and stop the service from a notebook, in a process of its own."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent.parent
START = 60.0  # seconds until a start is given up
STOP = 20.0  # seconds until a graceful stop becomes a kill


class ServiceError(RuntimeError):
    """The service did not start, or ended by itself. The message holds the end of its log."""


def start(models_folder: str | Path, **options: Any) -> Service:
    """Start ``python -m helpers.serving`` on a free port of this machine and wait until it answers.

    Parameters
    ----------
    models_folder : path
        Folder with one folder per model.
    **options
        As on the command line, with ``_`` for ``-``: ``engine="onnx"``, ``max_batch=8``, ``workers=2``. ``token="..."`` goes
        through the environment, where other users cannot read it.

    Returns
    -------
    Service
        Best used in a ``with`` statement, which stops it. It also ends when this Python process does.

    Raises
    ------
    ServiceError
        If it does not start; the message says why.
    """
    return Service(models_folder, options)


class Service:
    """A running service.

    Attributes
    ----------
    url : str
        ``http://127.0.0.1:<port>``.
    pid : int
    """

    def __init__(self, models_folder: str | Path, options: dict[str, Any]):
        options = {"port": 0, **options}
        environment = {k: v for k, v in os.environ.items() if k != "BOOK_SERVE_TOKEN"}
        if options.get("token"):
            environment["BOOK_SERVE_TOKEN"] = str(options["token"])
        environment["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), environment.get("PYTHONPATH", "")]).rstrip(
            os.pathsep
        )
        command = [sys.executable, "-m", "helpers.serving", str(models_folder), "--until-stdin-ends"]
        for name, value in options.items():
            if name != "token" and value is not None:
                command += [f"--{name.replace('_', '-')}", str(value)]
        self._folder = tempfile.TemporaryDirectory(prefix="serving-")
        self._out, self._err = (Path(self._folder.name) / name for name in ("out", "err"))
        with self._out.open("wb") as out, self._err.open("wb") as err:
            # A session of its own: an interrupted cell must not interrupt the service.
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment,
                                             start_new_session=True)  # fmt: skip
        self.pid = self._process.pid
        self._status: int | None = None
        atexit.register(self.stop)
        try:
            self.url = self._wait()
        except BaseException:
            self.stop()
            raise

    def logs(self) -> list[dict[str, Any]]:
        """The log so far, one dict per line."""
        found = []
        for line in self._text(self._err).splitlines():
            with contextlib.suppress(ValueError):  # the last line may be half written; libraries may print other lines
                found.append(json.loads(line))
        return [line for line in found if isinstance(line, dict)]

    def stop(self) -> int:
        """Ask it to end (SIGTERM), wait, and return its exit status; 0 is a graceful end."""
        if self._status is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            try:
                self._status = self._process.wait(STOP)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._status = self._process.wait()
            self._process.stdin.close()
            atexit.unregister(self.stop)
        return self._status

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _wait(self) -> str:
        """Address from the line that says that it is ready."""
        end = time.monotonic() + START
        while time.monotonic() < end:
            said = re.search(r"^Serving .* at (http://\S+); stop with Ctrl-C\.$", self._text(self._out), re.MULTILINE)
            if said:
                return said[1]
            if self._process.poll() is not None:
                raise ServiceError(
                    f"The service did not start (exit status {self._process.returncode}): {self._last_lines()}"
                )
            time.sleep(0.02)
        raise ServiceError(f"The service was not ready within {START:g} s: {self._last_lines()}")

    def _last_lines(self) -> str:
        lines = self._text(self._err).strip().splitlines()[-3:]
        return " | ".join(line.removeprefix("serving: ") for line in lines) or "it wrote no log."

    def _text(self, path: Path) -> str:
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
