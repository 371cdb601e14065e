"""Files that are whole or absent: written under another name, then moved into place."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import nbformat


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that no reader, and no crash, sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_notebook(path: Path, notebook: nbformat.NotebookNode) -> None:
    import nbformat  # here: the benchmark of a card runs where it is not installed

    write_atomically(path, nbformat.writes(notebook) + "\n")


def write_if_changed(path: Path, content: str | bytes) -> None:
    """Leave the file (and its time) alone if it already says this, so that a rebuild finds nothing new."""
    data = content.encode() if isinstance(content, str) else content
    if not (path.is_file() and path.read_bytes() == data):
        write_atomically(path, data)


def sha256(content: bytes | str) -> str:
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest(record: dict[str, Any]) -> str:
    """SHA-256 of everything in a record but its own ``digest``: one that was edited no longer fits."""
    return sha256(json.dumps({k: v for k, v in record.items() if k != "digest"}, sort_keys=True, ensure_ascii=False))
