"""Files that a chapter makes for others: a model to serve, weights for a page.

A published file travels in the output of the cell, like a claim. The builder takes it from the executed notebook, puts
it below ``_build/artifacts/`` and into the site, and so the site offers exactly the file that this run has made, also
when the notebook comes from the cache.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path, PurePosixPath

from helpers import display

MIME = "application/vnd.book.artifact+json"
LARGEST = 4_000_000  # bytes: a notebook has to carry them
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def publish(name: str, content: bytes | Path) -> str:
    """Attach a file to this cell's output, for the builder and for readers of the site.

    Parameters
    ----------
    name : str
        Relative path with forward slashes under which others find it, for example ``models/digits/1/model.onnx``.
    content : bytes or Path
        The file's content, or the file.

    Returns
    -------
    str
        SHA-256 of the content, in hexadecimal.

    Raises
    ------
    ValueError
        If the name is not a plain relative path, or the content is empty or larger than :data:`LARGEST` bytes.
    """
    parts = PurePosixPath(name).parts
    if not parts or not all(_PART.fullmatch(part) for part in parts) or "/".join(parts) != name:
        raise ValueError(
            f"artifact name '{name}' must be a relative path of plain names, such as models/digits/1/model.onnx"
        )
    data = content.read_bytes() if isinstance(content, Path) else bytes(content)
    if not 0 < len(data) <= LARGEST:
        raise ValueError(f"artifact '{name}' has {len(data):,} bytes; publish between 1 and {LARGEST:,}")
    digest = hashlib.sha256(data).hexdigest()
    record = {"name": name, "bytes": len(data), "sha256": digest, "base64": base64.b64encode(data).decode()}
    display.record(MIME, record, text=f"Published {name}: {len(data):,} bytes, SHA-256 {digest[:12]}...")
    return digest


def publish_folder(name: str, folder: Path) -> dict[str, str]:
    """Publish every file below a folder, in order of their paths.

    Returns
    -------
    dict
        SHA-256 by published name.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise ValueError(f"the folder '{folder.name}' holds no files to publish")
    names = [f"{name}/{path.relative_to(folder).as_posix()}" for path in files]
    return {one: publish(one, path) for one, path in zip(names, files, strict=True)}
