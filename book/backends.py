"""Chapters that are pure Keras, executed on another backend, in an environment without TensorFlow.

``python -m book backend jax`` runs the same notebooks with the kernel of ``.venv-jax``, and ``torch`` with that of
``.venv-torch``. They have a build folder of their
own, so nothing of it mixes with the book, and a receipt says which claims hold there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat

from book import BookError, cache, executor, ledger, machine, records, sources
from book.files import digest, sha256, write_json
from book.paths import Paths

BACKENDS = {"jax": ("JAX", ("jax", "jaxlib")), "torch": ("PyTorch", ("torch",))}  # title and packages of each
NEUTRAL = ("05_mnist", "06_augmented_cnn", "07_attention", "08_pretraining_finetuning", "12_continual_learning")
MADE_BY = "python -m book backend {} --keep"
FIELDS = ("what", "made_by", "date", "backend", "profile", "jobs", "device", "versions", "notebooks", "digest")
OF_A_NOTEBOOK = ("code", "seconds", "peak_memory_mib", "claims", "not_checked")
_ASK = """import importlib.metadata as m, importlib.util as u, json, platform, sys
versions = {"python": platform.python_version()} | {n: m.version(n) for n in sys.argv[1:]}
print(json.dumps({"versions": versions, "tensorflow": u.find_spec("tensorflow") is not None}))"""


@dataclasses.dataclass(frozen=True)
class BackendPaths(Paths):
    """The places of a project for one backend: a build folder and a lock file of its own."""

    backend: str = "jax"

    @property
    def build(self) -> Path:
        return self.root / "_build" / "backends" / self.backend

    @property
    def lock(self) -> Path:
        return self.root / "engines" / self.backend / "requirements.lock"

    @property
    def python(self) -> Path:
        return self.root / f".venv-{self.backend}" / "bin" / "python"


def choose(options: argparse.Namespace, paths: Paths) -> tuple[BackendPaths, list[sources.Source]]:
    """Where to execute on a backend, and which chapters.

    Raises
    ------
    BookError
        If there is no such backend, a chapter is not neutral, or the environment is missing or has TensorFlow.
    """
    if options.backend not in BACKENDS:
        raise BookError(f"There is no backend '{options.backend}' to execute on; choose from: {', '.join(BACKENDS)}.")
    if options.parameters:
        raise BookError("With -p these would not be the chapters as they are; leave it out.")
    there = BackendPaths(paths.root, options.backend)
    chosen = [sources.load(path) for path in sources.select(paths, options.only or list(NEUTRAL))]
    other = [source.name for source in chosen if source.name not in NEUTRAL]
    if other:
        raise BookError(f"'{other[0]}' is not written for several backends; choose from: {', '.join(NEUTRAL)}.")
    if options.keep and len(chosen) < len(NEUTRAL):
        raise BookError("A receipt has all chapters that are pure Keras; leave --only out to keep a receipt.")
    facts(there)
    return there, chosen


def facts(there: BackendPaths) -> dict[str, str]:
    """Versions of the packages that matter, asked in the environment itself.

    Raises
    ------
    BookError
        If the environment is not there, or can import TensorFlow: then nothing would be shown by its absence.
    """
    if not there.python.is_file():
        raise BookError(f"The backend {there.backend} needs its environment; make it: "
                        f"python3 -m book setup --engine {there.backend}.")  # fmt: skip
    stamp = there.python.parents[1] / "book-lock.sha256"
    if there.lock.is_file() and not (
        stamp.is_file() and stamp.read_text().split()[:1] == [sha256(there.lock.read_bytes())]
    ):
        raise BookError(f"The environment .venv-{there.backend} was made from another lock file; renew it: "
                        f"python3 -m book setup --engine {there.backend}.")  # fmt: skip
    packages = ("keras", *BACKENDS[there.backend][1], "numpy", "scikit-learn")
    done = subprocess.run(
        [there.python, "-c", _ASK, *packages], capture_output=True, text=True, check=False, cwd=there.root
    )
    if done.returncode != 0:
        raise BookError(f"The environment .venv-{there.backend} lacks a package ({done.stderr.strip().splitlines()[-1]}); "
                        f"make it anew: python3 -m book setup --engine {there.backend}.")  # fmt: skip
    said = json.loads(done.stdout)
    if said["tensorflow"]:
        raise BookError(f"The environment .venv-{there.backend} has TensorFlow; chapters are executed there to show that they "
                        f"do without. Remove the environment, and make it anew: python3 -m book setup --engine {there.backend}.")  # fmt: skip
    return said["versions"]


@contextmanager
def kernel(there: BackendPaths, chosen: list[sources.Source], jobs: int | None) -> Iterator[list[sources.Source]]:
    """The chapters for a Jupyter kernel of that environment, which this process and those that it starts know meanwhile.

    The threads of OpenMP, with which PyTorch works, wait for each other in a loop: kernels that share cores must share them out.
    """
    name = f"book-{there.backend}"
    folder = there.build / "jupyter"
    threads = str(max(1, machine.cores() // min(jobs or machine.cores(), len(chosen))))
    spec = {"argv": [str(there.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": name,
            "language": "python", "env": {"KERAS_BACKEND": there.backend, "OMP_NUM_THREADS": threads}}  # fmt: skip
    write_json(folder / "kernels" / name / "kernel.json", spec)
    wanted = {"JUPYTER_PATH": str(folder), "KERAS_BACKEND": there.backend}
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield [dataclasses.replace(source, kernel=name) for source in chosen]
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})


def keep(paths: Paths, there: BackendPaths, results: list[executor.Result]) -> Path:
    """Write what held on a backend, and what was not checked there, as data; returns the file.

    Raises
    ------
    BookError
        If the book itself is not executed from the same code in the same profile: what
        was not checked is seen only beside it.
    """
    made = {}
    for result in results:
        usual = _usual(paths, result)
        held = {claim["id"]: {name: claim[name] for name in ("value", "kind", "bound")} for claim in result.claims}
        made[result.name] = {
            "code": cache.code_digest(sources.load(paths.notebooks / f"{result.name}.ipynb").notebook),
            "seconds": result.seconds,
            "peak_memory_mib": result.peak_memory_mib,
            "claims": held,
            "not_checked": sorted(set(usual) - set(held)),
        }
    receipt = {
        "what": "The chapters that are pure Keras, executed on another backend, without TensorFlow.",
        "made_by": MADE_BY.format(there.backend),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "backend": there.backend,
        "profile": results[0].profile,
        "jobs": max(result.jobs or 1 for result in results),
        "device": machine.device(),
        "versions": facts(there),
        "notebooks": made,
    }
    file = folder(paths) / f"{there.backend}.json"
    write_json(file, {**receipt, "digest": digest(receipt)})
    return file


def folder(paths: Paths) -> Path:
    return paths.data / "backends"


def _usual(paths: Paths, result: executor.Result) -> list[str]:
    """Ids of the claims of a chapter in the book itself."""
    file = paths.executed / f"{result.name}.ipynb"
    source = sources.load(paths.notebooks / f"{result.name}.ipynb").notebook
    executed = nbformat.read(file, as_version=4) if file.is_file() else None
    if (
        executed is None
        or not cache.is_current(paths, source, executed)
        or executed.metadata["book"]["run"]["profile"] != result.profile
    ):
        raise BookError(f"No receipt: the book's own {result.name} is not executed as it is now in the profile "
                        f"{result.profile}; run: python -m book execute --only {result.name}.")  # fmt: skip
    return [claim["id"] for claim in ledger.claims_of(executed)]


def read_all(paths: Paths) -> list[dict[str, Any]]:
    """The receipts of backends.

    Raises
    ------
    BookError
        If one is damaged, was edited, or lies under a name that is not its own.
    """
    return records.read(paths, folder(paths), FIELDS, lambda r: r["backend"], MADE_BY.format("jax"))
