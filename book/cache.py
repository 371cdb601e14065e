"""Executed notebooks, addressed by what they depend on.

The key covers the code of the notebook (not its prose), every file of ``helpers``, the parameters, the data sets and the
files that the notebook declares (``book.data`` and ``book.reads`` in its metadata), the lock file, the Python version and
the kind of machine. Prose can be edited without executing anything again: :func:`compose` puts the stored outputs under
the current text.
"""

from __future__ import annotations

import copy
import json
import os
import platform
from pathlib import Path
from typing import Any

import nbformat

from book import BookError, machine
from book.files import sha256, write_atomically, write_json
from book.paths import Paths
from book.sources import Source
from helpers import datasets

FORMAT = 1
KEPT = 6  # executions kept per notebook: both profiles, and some to go back to
INJECTED = "injected-parameters"


def shared_key(paths: Paths) -> str:
    """Digest of what all notebooks depend on."""
    parts = {
        "format": FORMAT,
        "project": _project(paths),
        "python": platform.python_version(),
        "machine": [platform.system(), platform.machine(), list(machine.gpus())],
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
    }
    return sha256(json.dumps(parts))


def key(source: Source, parameters: dict[str, Any], shared: str) -> str:
    """Digest of everything the result of a notebook depends on."""
    for name in source.data:
        if name not in datasets.REGISTRY:
            raise BookError(
                f"Notebook '{source.path.name}' declares the data set '{name}', which helpers.datasets does "
                f"not know; there are: {', '.join(sorted(datasets.REGISTRY))}."
            )
    try:
        data = [[name, datasets.fingerprint(name)] for name in sorted(source.data)]
    except datasets.DataError as error:
        raise BookError(str(error)) from error
    parts = {
        "shared": shared,
        "code": _code(source.notebook),
        "kernel": source.kernel,
        "parameters": parameters,
        "data": data,
    }
    engines = source.notebook.metadata.get("book", {}).get("engines", [])
    if engines:  # environments beside .venv that change what the notebook shows, such as .venv-minilm
        stamps = [source.path.parent.parent / f".venv-{name}" / "book-lock.sha256" for name in sorted(engines)]
        parts["engines"] = [stamp.read_text() if stamp.is_file() else "absent" for stamp in stamps]
    read = _read(source.path.parent.parent, source.notebook)
    if read:
        parts["reads"] = read
    return sha256(json.dumps(parts, sort_keys=True, default=str))


def is_current(paths: Paths, notebook: nbformat.NotebookNode, executed: nbformat.NotebookNode) -> bool:
    """Whether an executed copy belongs to this source, these helpers and this lock file (on whatever machine)."""
    return executed.metadata.get("book", {}).get("run", {}).get("content") == content(paths, notebook)


def content(paths: Paths, notebook: nbformat.NotebookNode) -> str:
    """Digest of what the repository contributes to a result; stored with each execution."""
    return sha256(json.dumps([_project(paths), _code(notebook), *_read(paths.root, notebook)]))


def _project(paths: Paths) -> list:
    helpers = paths.root / "helpers"
    files = sorted(p for p in helpers.rglob("*.py") if "__pycache__" not in p.parts)
    lock = sha256(paths.lock.read_bytes()) if paths.lock.is_file() else ""
    return [[[str(p.relative_to(helpers)), sha256(p.read_bytes())] for p in files], lock]


def _read(root: Path, notebook: nbformat.NotebookNode) -> list:
    """Files of the repository that a notebook declares as patterns, such as ``_toc.yml``, because it reads them."""
    patterns = notebook.metadata.get("book", {}).get("reads", [])
    files = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return [[str(path.relative_to(root)), _digest(path)] for path in files]


def _digest(path: Path) -> str:
    """Of a notebook only the code counts: its prose can be edited without executing those that read it."""
    raw = path.read_bytes()
    if path.suffix != ".ipynb":
        return sha256(raw)
    try:
        cells = json.loads(raw)["cells"]
        return sha256(json.dumps(["".join(c["source"]) for c in cells if c["cell_type"] == "code"]))
    except (ValueError, KeyError, TypeError):
        return sha256(raw)


def _code(notebook: nbformat.NotebookNode) -> list:
    """Code cells, with those tags that change what is executed; the others only change what is shown."""
    matter = {"parameters", "raises-exception", "skip-execution"}
    return [
        [cell.source, sorted(matter & set(cell.metadata.get("tags", [])))]
        for cell in notebook.cells
        if cell.cell_type == "code" and INJECTED not in cell.metadata.get("tags", [])
    ]


def code_digest(notebook: nbformat.NotebookNode) -> str:
    """Digest of the code of a notebook alone: changes with its cells, not with helpers, packages or prose."""
    return sha256(json.dumps(_code(notebook)))


def lookup(paths: Paths, source: Source, key: str) -> nbformat.NotebookNode | None:
    """The stored execution, or None.

    Raises
    ------
    BookError
        If there is an entry and it is damaged.
    """
    stored, digest = _places(paths, source.name, key)
    if not (stored.is_file() and digest.is_file()):  # the digest comes last: without it nothing was finished
        return None
    try:
        text = stored.read_text(encoding="utf-8")
        intact = digest.read_text(encoding="utf-8").strip() == sha256(text)
    except (OSError, UnicodeDecodeError):
        intact = False
    if not intact:
        raise BookError(f"The cache entry '{paths.show(stored)}' is damaged; remove it, or execute the notebook anew with "
                        f"--force --only {source.name}.")  # fmt: skip
    return nbformat.reads(text, as_version=4)


def store(paths: Paths, name: str, key: str, executed: nbformat.NotebookNode) -> None:
    stored, digest = _places(paths, name, key)
    text = nbformat.writes(executed) + "\n"
    digest.unlink(missing_ok=True)
    write_atomically(stored, text)
    write_atomically(digest, sha256(text) + "\n")
    entries = sorted(stored.parent.glob("*.ipynb"), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        old.unlink(missing_ok=True)
        old.with_suffix(".sha256").unlink(missing_ok=True)


def compose(source: Source, executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The current source with the outputs of an execution of the same code."""
    injected = [c for c in executed.cells if INJECTED in c.metadata.get("tags", [])]
    outputs = iter([c for c in executed.cells if c.cell_type == "code" and c not in injected])
    result = copy.deepcopy(source.notebook)
    result.metadata["book"] = {**result.metadata.get("book", {}), "run": executed.metadata["book"]["run"]}
    cells = []
    for cell in result.cells:
        if cell.cell_type == "code":
            done = next(outputs)
            cell.outputs, cell.execution_count = done.outputs, done.execution_count
        cells.append(cell)
        if "parameters" in cell.metadata.get("tags", []):
            cells.extend(injected)
    result.cells = cells
    return result


def remember_time(paths: Paths, name: str, profile: str, seconds: float) -> None:
    times = remembered_times(paths)
    times[f"{name} {profile}"] = round(seconds, 2)
    write_json(paths.cache / "times.json", times)


def remembered_times(paths: Paths) -> dict[str, float]:
    """Seconds by ``"name profile"``. A hint for the order of work: if it is unreadable, the order is another."""
    try:
        times = json.loads((paths.cache / "times.json").read_text())
        return {str(k): float(v) for k, v in times.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _places(paths: Paths, name: str, key: str):
    folder = paths.cache / name
    return folder / f"{key[:24]}.ipynb", folder / f"{key[:24]}.sha256"
