"""One notebook in one process: the part of the executor that runs apart from it.

The executor starts a fresh process per notebook from a fork server that has this module (and so papermill) loaded.
The process reports over a pipe; what is not reported (a kill, a lost kernel) the executor sees from outside.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import papermill
from nbclient.exceptions import DeadKernelError
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from book.gpu.meter import Meter


@dataclass(frozen=True)
class Job:
    """What one process needs to know."""

    name: str
    source: Path
    partial: Path
    log: Path
    folder: Path
    kernel: str
    sockets: Path | None
    parameters: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    alone: bool = False  # no other notebook runs at the same time: what the cards report is ours


def run(job: Job, report: Connection) -> None:
    """Execute the notebook into ``job.partial``; send ``("cell", id, index, total)`` and at last ``("end", outcome)``."""
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C reaches the executor alone; it decides what becomes of us
    _leave_with_parent(job.sockets)
    _redirect_output(job.log)
    os.environ.update(job.environment)
    papermill_engines.register("book", _engine(report, job.sockets))
    meter = Meter().start() if job.alone else None
    try:
        papermill.execute_notebook(
            str(job.source), str(job.partial), parameters=job.parameters, engine_name="book", kernel_name=job.kernel,
            language="python", cwd=str(job.folder), progress_bar=False, log_output=False, autosave_cell_every=10, start_timeout=120,
        )  # fmt: skip
        outcome = {"status": "ok"}
    except PapermillExecutionError as error:
        outcome = {"status": "failed", "error": f"{error.ename}: {error.evalue}"}
    except DeadKernelError:
        outcome = {"status": "died", "error": "the kernel died (killed, out of memory, or a crash in native code)"}
    except OSError as error:
        outcome = {"status": "failed", "error": _os_error(error)}
    except Exception as error:
        outcome = {"status": "failed", "error": f"{type(error).__name__}: {error}"}
    if meter:
        outcome |= meter.stop()
    try:
        report.send(("end", outcome))
    except OSError:
        pass  # the executor is gone; nobody is left to tell


def _engine(report: Connection, sockets: Path | None) -> type[NBClientEngine]:
    # Sockets in a folder of their own instead of TCP ports: two kernels that start at the same moment cannot be given
    # the same one, and nobody else on the machine can connect.
    local = Config({"KernelManager": {"transport": "ipc", "ip": str(sockets / "k")}}) if sockets else Config()

    class BookEngine(NBClientEngine):
        """Papermill's own engine; it also says which cell is at work."""

        @classmethod
        def execute_managed_notebook(cls, nb_man, kernel_name, **options):
            total = len(nb_man.nb.cells)
            start = nb_man.cell_start

            def cell_start(cell, cell_index, **more):
                if cell.cell_type == "code":
                    report.send(("cell", cell.get("id", ""), cell_index, total))
                return start(cell, cell_index, **more)

            nb_man.cell_start = cell_start
            return super().execute_managed_notebook(nb_man, kernel_name, config=local, **options)

    return BookEngine


def _leave_with_parent(sockets: Path | None) -> None:
    parent = multiprocessing.parent_process()

    def wait() -> None:
        parent.join()
        if sockets is not None:
            shutil.rmtree(sockets, ignore_errors=True)
        os._exit(1)

    if parent is not None:
        threading.Thread(target=wait, daemon=True).start()


def _redirect_output(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(file, stream)
    os.close(file)


def _os_error(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "no space left for the build folder; free some and run again"
    return f"{type(error).__name__}: {error}"
