"""The command: measure in the environment of a backend, and keep what was measured as data.

It needs the standard library alone, so that it also runs on a machine that has nothing but Keras and a backend.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from book import BookError, machine, records
from book.files import digest, write_json
from book.paths import Paths

BACKENDS = ("jax", "tensorflow")
FIELDS = ("what", "made_by", "date", "backend", "seconds", "card", "device", "driver", "versions", "results", "digest")
MADE_BY = "python -m book card --backend {} --keep"
PROGRAM = Path(__file__).with_name("program.py")


def main(paths: Paths, backend: str, seconds: float, keep: bool) -> int:
    """Measure, show, and on request keep.

    Raises
    ------
    BookError
        If the backend is unknown or not installed, the time is too short, or the program ends badly.
    """
    if backend not in BACKENDS:
        raise BookError(f"There is no benchmark for the backend '{backend}'; choose from: {', '.join(BACKENDS)}.")
    if not seconds >= 10:
        raise BookError(f"--seconds {seconds:g} is too short to measure anything; give 10 or more.")
    python = interpreter(paths, backend)
    results = []
    for found in _measure(python, backend, seconds):
        results.append(found)
        print(line(found), flush=True)
    if keep:
        print(f"Receipt: {paths.show(write(paths, backend, seconds, results))}. Commit it as it is; 'python -m book render' shows it "
              "on the execution page.")  # fmt: skip
    return 0


def interpreter(paths: Paths, backend: str) -> str:
    """The Python that has the backend: that of the engine, or the one that runs this."""
    engine = paths.root / f".venv-{backend}" / "bin" / "python"
    if engine.is_file():
        return str(engine)
    if all(find_spec(name) for name in (backend, "keras")):
        return sys.executable
    how = "python3 -m book setup --engine jax" if backend == "jax" else "python3 -m book setup"
    raise BookError(f"Keras with the backend {backend} is not installed; set it up: {how}.")


def _measure(python: str, backend: str, seconds: float):
    environment = {**os.environ, "TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.9"}
    with tempfile.TemporaryFile("w+", errors="replace") as errors:  # no pipe: XLA may say more than a pipe holds
        with subprocess.Popen([python, str(PROGRAM), backend, str(seconds)], stdout=subprocess.PIPE, stderr=errors,
                              text=True, env=environment) as process:  # fmt: skip
            for said in process.stdout:
                if said.startswith("{"):
                    yield json.loads(said)
        errors.seek(0)
        complaint = errors.read().strip()
    if process.returncode != 0:
        last = complaint.splitlines()[-1] if complaint else f"exit status {process.returncode}"
        raise BookError(
            f"The benchmark ended early ({last[:200]}); see whether the card is used: python -m book doctor."
        )


def line(found: dict[str, Any]) -> str:
    """One result for a terminal."""
    failed = found.get("error") or found.get("skipped")
    if "matmul" in found:
        return (f"{found['matmul']:>9}  product of two {found['n']} x {found['n']} matrices: {found['teraflops']:.3g} TFLOP/s, "
                f"relative error {found['relative_error']:.0e}")  # fmt: skip
    if "fit" in found:
        took = (
            f"{found['seconds']:.1f} s"
            if found["seconds"]
            else failed or f"not run, about {found['estimated_seconds']:,.0f} s"
        )
        return f"{found['fit']:>9}  fit, {found['epochs']} epochs of {found['pictures']:,} pictures: {took}"
    if "pipeline" in found:
        took = failed or f"{found['per_second']:,.0f} per second; training takes {found['training_per_second']:,.0f}"
        return f"{'':>9}  {found['pipeline']}, changed at random, batch {found['batch']:>4}: {took}"
    if "part" in found:
        took = (
            failed
            or f"{found['times']} x, together {1000 * found['seconds']:,.1f} ms, {found['teraflops']:.3g} TFLOP/s"
        )
        return f"{found['precision']:>9}  {found['of']:<18} {found['part']}: {took}"
    if "model" not in found:
        return ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    how = f"{found['precision']:>9}  {found['model']:<18} {'compiled' if found['jit'] else 'one by one':<11}batch {found['batch']:>4}"
    if failed:
        return f"{how}: {failed}"
    return f"{how}: {found['per_second']:>12,.0f} per second, {found['teraflops']:.3g} TFLOP/s, compiled in {found['compile_seconds']:.1f} s"


def write(paths: Paths, backend: str, seconds: float, results: list[dict[str, Any]]) -> Path:
    """Put a measurement of this machine into the folder of receipts."""
    device = machine.device()
    receipt = {
        "what": "Training speed of two models of the book on one device.",
        "made_by": MADE_BY.format(backend),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "backend": backend,
        "seconds": seconds,
        "card": results[0]["card"],
        "device": device if results[0]["card"] else {**device, "gpus": []},
        "driver": machine.driver() if results[0]["card"] else None,
        "versions": results[0]["versions"],
        "results": results[1:],
    }
    file = folder(paths) / f"{backend}-{machine.slug(receipt['device'])}.json"
    write_json(file, {**receipt, "digest": digest(receipt)})
    return file


def folder(paths: Paths) -> Path:
    return paths.data / "cards"


def read_all(paths: Paths) -> list[dict[str, Any]]:
    """The receipts of the repository: processors before cards.

    Raises
    ------
    BookError
        If one is damaged, was edited, or lies under a name that is not its own.
    """
    found = records.read(
        paths,
        folder(paths),
        FIELDS,
        lambda r: f"{r['backend']}-{machine.slug(r['device'])}",
        "python -m book card --keep",
    )
    return sorted(found, key=lambda r: (r["card"], machine.slug(r["device"])))
