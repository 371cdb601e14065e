"""Files that notebooks published (``helpers.artifacts``): from the cells' outputs to ``_build/artifacts`` and the site."""

from __future__ import annotations

import base64
import binascii
import copy
import html
import json
from pathlib import Path, PurePosixPath

import nbformat

from book import BookError
from book.files import sha256, write_if_changed
from book.paths import Paths

ARTIFACT = "application/vnd.book.artifact+json"


def of(notebook: nbformat.NotebookNode) -> dict[str, bytes]:
    """Published files of an executed notebook: name to content, each checked against its digest.

    Raises
    ------
    BookError
        If a name leaves the folder, comes twice, or the content does not have the digest that was recorded.
    """
    found: dict[str, bytes] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []) if cell.cell_type == "code" else []:
            record = output.get("data", {}).get(ARTIFACT)
            if record is None:
                continue
            name = record["name"]
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or name in found:
                raise BookError(f"A notebook publishes '{name}', which leaves its folder or comes twice; rename it.")
            try:
                content = base64.b64decode(record["base64"], validate=True)
            except (KeyError, binascii.Error) as error:
                raise BookError(f"The published file '{name}' cannot be decoded; execute its notebook anew.") from error
            if sha256(content) != record["sha256"]:
                raise BookError(f"The published file '{name}' does not have its digest; execute its notebook anew.")
            found[name] = content
    return found


def unpack(paths: Paths, chapter: str, notebook: nbformat.NotebookNode) -> list[Path]:
    """Write the published files of a chapter below ``_build/artifacts``, and remove those that it no longer publishes.

    Files that are there already stay untouched.
    """
    files = of(notebook)
    index = paths.artifacts / f".{chapter}.json"
    before = json.loads(index.read_text(encoding="utf-8")) if index.is_file() else []
    for name in set(before) - files.keys():
        (paths.artifacts / name).unlink(missing_ok=True)
    for name, content in files.items():
        write_if_changed(paths.artifacts / name, content)
    if files or before:
        write_if_changed(index, json.dumps(sorted(files)))
    return [paths.artifacts / name for name in files]


def link(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy for the site: each published file is a link instead of its bytes."""
    result = copy.deepcopy(notebook)
    for cell in result.cells:
        for output in cell.get("outputs", []) if cell.cell_type == "code" else []:
            record = output.get("data", {}).pop(ARTIFACT, None)
            if record is not None:
                name = html.escape(record["name"], quote=True)
                output["data"]["text/html"] = (
                    f'<p class="artifact">Published: <a href="../_static/artifacts/{name}" download>{name}</a> '
                    f"<span>{record['bytes']:,} bytes, SHA-256 <code>{record['sha256'][:12]}...</code></span></p>"
                )
    return result
