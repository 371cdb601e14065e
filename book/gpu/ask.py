"""Ask nvidia-smi and the framework, each in a process that may hang or crash without harm to us."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SILENT = "silent"  # no answer within the time limit
ABSENT = "absent"
OK = "ok"
WSL_LIBRARIES = "usr/lib/wsl/lib"
_MARK = "FOUND "
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}  # each has its probe beside this file


@dataclass(frozen=True)
class Card:
    """One card, as nvidia-smi reports it. ``capability`` is the compute capability, such as 8.6."""

    name: str
    memory_mib: int
    capability: str = ""


@dataclass(frozen=True)
class Framework:
    """TensorFlow, JAX or PyTorch as it sees the machine.

    ``capabilities`` are those that it was built for, such as "sm_80" (none for JAX, which does not tell), and ``error``
    says which small work on the cards went wrong, and how.
    """

    version: str
    cuda_build: bool = True
    cuda: str = ""
    cudnn: str = ""
    capabilities: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    error: str = ""


def ask(command: list[str], environ: Mapping[str, str], seconds: float) -> tuple[int | None, str, str]:
    """Exit status (None: no answer in time), standard output and standard error of a program.

    A program that hangs in the driver cannot be killed before the driver returns; it is told to end and left behind.
    Its output goes to files, because waiting for the end of a pipe would be waiting for the program.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environ), start_new_session=True
            )
        except OSError as error:
            return 127, "", str(error)
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
            time.sleep(0.05)
            process.poll()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return status, *texts


def nvidia_smi(environ: Mapping[str, str], root: Path, limit: float) -> tuple[str, str, tuple[Card, ...]]:
    """How it ended, the driver's version, the cards. In WSL2 the program may lie outside the path."""
    places = os.pathsep.join([environ.get("PATH", os.defpath), str(root / WSL_LIBRARIES)])
    program = shutil.which("nvidia-smi", path=places)
    if program is None:
        return ABSENT, "", ()
    query = [program, "--format=csv,noheader,nounits", "--query-gpu=name,memory.total,driver_version"]
    status, out, err = ask(query, environ, limit)
    if status is None:
        return SILENT, "", ()
    rows = [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.count(",") == 2]
    if status != 0 or not rows:
        return " ".join((out + " " + err).split()) or f"exit status {status} and no message", "", ()
    # Old drivers do not know this field; then it stays open.
    status, out, _ = ask([*query[:2], "--query-gpu=compute_cap"], environ, limit)
    capabilities = out.split() if status == 0 else []
    capabilities += [""] * (len(rows) - len(capabilities))
    cards = tuple(
        Card(name, int(memory) if memory.isdigit() else 0, capability)
        for (name, memory, _), capability in zip(rows, capabilities, strict=False)
    )
    return OK, rows[0][2], cards


def framework(backend: str, environ: Mapping[str, str], limit: float) -> tuple[str, Framework | None, tuple[str, ...]]:
    """Import the framework in a process of its own, list its cards, and let each do a little of every kind of work."""
    if backend not in NAMES:
        return ABSENT, None, ()
    quiet = {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "TF_CPP_MIN_LOG_LEVEL": "0"}
    program = (Path(__file__).parent / f"probe_{backend}.py").read_text(encoding="utf-8")
    status, out, err = ask([sys.executable, "-c", program], {**environ, **quiet}, limit)
    telling = [line[:300] for line in err.splitlines() if re.search(r"dlopen|cuInit|cudnn|cuda|GPU|PTX", line, re.I)]
    log = tuple(telling[-6:])
    found = [json.loads(line.removeprefix(_MARK)) for line in out.splitlines() if line.startswith(_MARK)]
    if not found:
        if status is None:
            return SILENT, None, log
        last = (err.strip().splitlines() or ["no message"])[-1]
        return (ABSENT if re.search(rf"No module named '{backend}'", last) else last[:300]), None, log
    answer = {k: tuple(v) if isinstance(v, list) else v for k, v in found[-1].items()}
    if work := answer.pop("work", ""):  # it did not come back from that
        end = "no answer in time" if status is None else f"the process ended with status {status}"
        answer["error"] = f"{work}: {answer.get('error') or end}"
    return OK, Framework(**answer), log
