"""The manifest of a version, ``model.json``: what stands in it, and whether the files are still those that were written."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

ENGINES = ("litert", "litert-float", "onnx")
DATATYPES = ("UINT8", "INT8", "INT32", "INT64", "FP32")
VERSION = re.compile(r"[1-9][0-9]{0,17}")
_KEYS = {"name": str, "version": str, "engines": dict, "sha256": dict, "input": dict, "output": dict, "labels": list,
         "statistics": dict}  # fmt: skip


class ModelError(RuntimeError):
    """A model folder cannot be used. The message names the file and the remedy."""


class UnknownVersion(ModelError):
    """There is no such version."""


def check_version(version: str) -> None:
    """Raise unless the text is a positive integer; only such names may become part of a path."""
    if not VERSION.fullmatch(version):
        raise UnknownVersion(f"A version is a positive integer, got {version[:40]!r}.")


def read(folder: Path, version: str) -> dict[str, Any]:
    """The manifest, complete and in its place; the files it names are not looked at."""
    check_version(version)
    path = folder / version / "model.json"
    if not (folder / version).is_dir():
        raise UnknownVersion(
            f"Version {version} of {folder.name} does not exist; there is no folder '{folder / version}'."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        wrong = _missing(manifest)
    except FileNotFoundError:
        raise ModelError(f"The file '{path}' is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"The file '{path}' is damaged ({error}).") from error
    if wrong:
        raise ModelError(f"The file '{path}' is damaged: {wrong}.")
    if manifest["version"] != version:
        raise ModelError(f"The file '{path}' describes version {manifest['version']}; it lies in the wrong folder.")
    return manifest


def _missing(manifest: Any) -> str:
    """What a manifest lacks, in words; empty if it is complete."""
    if not isinstance(manifest, dict):
        return "it is not a JSON object"
    for key, kind in _KEYS.items():
        if not isinstance(manifest.get(key), kind):
            return f"'{key}' is missing or is not a {kind.__name__}"
    for engine, file in manifest["engines"].items():
        if engine not in ENGINES or not isinstance(file, str) or Path(file).name != file:
            return f"the engine '{engine}' is unknown or its file {file!r} does not lie beside the manifest"
        if file not in manifest["sha256"]:
            return f"the digest of '{file}' is missing"
    for side in ("input", "output"):
        tensor = manifest[side]
        shape = tensor.get("shape")
        if not isinstance(tensor.get("name"), str) or not isinstance(tensor.get("datatype"), str):
            return f"'{side}' needs a name and a datatype"
        if tensor["datatype"] not in DATATYPES:
            return f"the datatype {tensor['datatype'][:20]!r} of '{side}' is not one of {', '.join(DATATYPES)}"
        if not isinstance(shape, list) or shape[:1] != [-1] or not all(type(n) is int and n > 0 for n in shape[1:]):
            return f"the shape of '{side}' is not [-1, positive integers]"
    return "" if manifest["engines"] else "it names no engine"


def verified(folder: Path, manifest: dict[str, Any], engine: str) -> bytes:
    """Content of the file for an engine, after it has been compared with its digest."""
    path = folder / manifest["version"] / manifest["engines"][engine]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The file '{path}' cannot be read ({error.strerror}); write the model again as a new "
                         "version.") from error  # fmt: skip
    found, wanted = digest(content), manifest["sha256"][path.name]
    if found != wanted:
        raise ModelError(f"The file '{path}' is damaged: its SHA-256 is {found[:12]}..., the manifest says "
                         f"{str(wanted)[:12]}...; write the model again as a new version.")  # fmt: skip
    return content


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()
