"""Versions of a model on disk, in the layout of TensorFlow Serving and Triton.

A model is a folder (its name is the model's name) with one folder per version, named by a positive integer. A version never
changes once it is written: its manifest ``model.json`` holds the SHA-256 digest of each file. Which version answers stands
in ``active.json``; replacing that small file is a release, replacing it by the old content is a rollback.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ENGINES = ("litert", "litert-float", "onnx")
FILES = {"litert": "model_int8.tflite", "litert-float": "model.tflite", "onnx": "model.onnx"}
_VERSION = re.compile(r"[1-9][0-9]{0,17}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ModelError(RuntimeError):
    """A model folder cannot be used. The message names the file and the remedy."""


class UnknownVersion(ModelError):
    """There is no such version."""


def write_version(
    folder: str | Path, version: int | str, files: Mapping[str, str | Path], *, labels: Sequence[str],
    statistics: Mapping[str, Any], input: Mapping[str, Any] | None = None, output: Mapping[str, Any] | None = None,
) -> Path:  # fmt: skip
    """Add a version to the model in ``folder``. It is not active yet (see :func:`activate`).

    Parameters
    ----------
    version : int or str
        A positive integer that is not taken.
    files : dict of engine to path
        At least one of ``"litert"``, ``"litert-float"``, ``"onnx"``. The files are copied.
    labels : sequence of str
        Names of the classes, in the order of the logits.
    statistics : dict
        Of the training images, from :func:`helpers.serving.drift.summarise`; may be empty.
    input, output : dict, optional
        ``{"name", "datatype", "shape"}``; by default ``image`` UINT8 (-1, 28, 28) and ``logits`` FP32 (-1, n labels).

    Returns
    -------
    Path
        The folder of the version. It appears with all its files or not at all.

    Raises
    ------
    ModelError
        If the version exists, a file is missing or an engine is unknown.
    """
    folder, version = Path(folder), str(version)
    _check_version(version)
    if not _NAME.fullmatch(folder.resolve().name):
        raise ModelError(f"'{folder.resolve().name}' cannot be a model's name: use letters, digits, '.', '_' and '-'.")
    if not files:
        raise ModelError(f"Version {version} of {folder.name} has no files; give at least one of {', '.join(ENGINES)}.")
    if (folder / version).exists():
        raise ModelError(f"Version {version} of {folder.name} exists already, and versions never change; take a number "
                         "that is not used.")  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
    try:
        digests = {}
        for engine, path in files.items():
            if engine not in ENGINES:
                raise ModelError(f"Unknown engine '{engine}'; choose from {', '.join(ENGINES)}.")
            if not Path(path).is_file():
                raise ModelError(f"The file '{path}' for the engine {engine} does not exist.")
            shutil.copyfile(path, new / FILES[engine])
            digests[FILES[engine]] = _digest((new / FILES[engine]).read_bytes())
        manifest = {
            "name": folder.resolve().name,
            "version": version,
            "engines": {engine: FILES[engine] for engine in files},
            "sha256": digests,
            "input": dict(input or {"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}),
            "output": dict(output or {"name": "logits", "datatype": "FP32", "shape": [-1, len(labels)]}),
            "labels": [str(label) for label in labels],
            "statistics": dict(statistics),
        }
        (new / "model.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        new.chmod(0o755)
        new.rename(folder / version)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    return folder / version


def versions(folder: str | Path) -> list[str]:
    """Versions that the model in ``folder`` has, lowest first."""
    if not Path(folder).is_dir():
        raise ModelError(f"The model folder '{folder}' does not exist.")
    found = [p.name for p in Path(folder).iterdir() if p.is_dir() and _VERSION.fullmatch(p.name)]
    return sorted(found, key=int)


def read_manifest(folder: str | Path, version: int | str) -> dict[str, Any]:
    """Manifest of a version, after every file has been compared with its digest.

    Raises
    ------
    UnknownVersion
        If the folder has no such version.
    ModelError
        If the manifest or a file is missing or damaged; the message names it.
    """
    manifest = _manifest(Path(folder), str(version))
    for engine in manifest["engines"]:
        _verified(Path(folder), manifest, engine)
    return manifest


def read_engine(folder: str | Path, version: int | str, engine: str) -> tuple[dict[str, Any], bytes]:
    """Manifest, and the verified content of the file for one engine."""
    manifest = _manifest(Path(folder), str(version))
    if engine not in manifest["engines"]:
        raise ModelError(f"Version {version} of {manifest['name']} has no file for the engine '{engine}'; it has "
                         f"{', '.join(manifest['engines'])}.")  # fmt: skip
    return manifest, _verified(Path(folder), manifest, engine)


def activate(folder: str | Path, version: int | str, *, shadow: int | str | None = None) -> None:
    """Let a version answer, and perhaps another one watch. A running service follows within a fraction of a second.

    The choice is replaced atomically: a reader sees the old one or the new one, never half a file.

    Raises
    ------
    UnknownVersion, ModelError
        If one of the two versions does not exist or is damaged; nothing is changed then.
    """
    folder, version, shadow = Path(folder), str(version), None if shadow is None else str(shadow)
    for one in {version, shadow} - {None}:
        read_manifest(folder, one)
    handle, name = tempfile.mkstemp(prefix=".active-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump({"version": version, "shadow": shadow}, file)
        os.chmod(name, 0o644)
        os.replace(name, folder / "active.json")
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def active(folder: str | Path) -> dict[str, str | None]:
    """``{"version": ..., "shadow": ...}`` of the model; without ``active.json`` the highest version answers."""
    folder = Path(folder)
    try:
        text = (folder / "active.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        found = versions(folder)
        if not found:
            raise ModelError(f"The model folder '{folder}' has no version; write one with write_version.") from None
        return {"version": found[-1], "shadow": None}
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"The file '{folder / 'active.json'}' cannot be read ({error}).") from error
    try:
        choice = json.loads(text)
        version, shadow = choice["version"], choice.get("shadow")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        version = shadow = ""
    if not all(isinstance(v, str) and _VERSION.fullmatch(v) for v in (version, "1" if shadow is None else shadow)):
        raise ModelError(f"The file '{folder / 'active.json'}' is damaged; it should look like "
                         '{"version": "1", "shadow": null}.')  # fmt: skip
    return {"version": version, "shadow": shadow}


def find_models(models: str | Path) -> dict[str, Path]:
    """Model folders in a folder of models, by name: those that hold at least one version."""
    models = Path(models)
    if not models.is_dir():
        raise ModelError(f"The folder of models '{models}' does not exist.")
    found = {p.name: p for p in sorted(models.iterdir()) if p.is_dir() and _NAME.fullmatch(p.name) and versions(p)}
    if not found:
        raise ModelError(f"The folder '{models}' holds no model; expected for instance '{models / 'digits' / '1'}'.")
    return found


def _check_version(version: str) -> None:
    if not _VERSION.fullmatch(version):
        raise UnknownVersion(f"A version is a positive integer, got {version[:40]!r}.")


def _manifest(folder: Path, version: str) -> dict[str, Any]:
    _check_version(version)
    path = folder / version / "model.json"
    if not (folder / version).is_dir():
        have = ", ".join(versions(folder)) or "none"
        raise UnknownVersion(f"Version {version} of {folder.name} does not exist; there are: {have}.")
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
    kinds = {"name": str, "version": str, "engines": dict, "sha256": dict, "input": dict, "output": dict,
             "labels": list, "statistics": dict}  # fmt: skip
    for key, kind in kinds.items():
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
        if not isinstance(shape, list) or shape[:1] != [-1] or not all(type(n) is int and n > 0 for n in shape[1:]):
            return f"the shape of '{side}' is not [-1, positive integers]"
    return "" if manifest["engines"] else "it names no engine"


def _verified(folder: Path, manifest: dict[str, Any], engine: str) -> bytes:
    path = folder / manifest["version"] / manifest["engines"][engine]
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"The file '{path}' cannot be read ({error.strerror}); write the model again as a new "
                         "version.") from error  # fmt: skip
    found, wanted = _digest(content), manifest["sha256"][path.name]
    if found != wanted:
        raise ModelError(f"The file '{path}' is damaged: its SHA-256 is {found[:12]}..., the manifest says "
                         f"{str(wanted)[:12]}...; write the model again as a new version.")  # fmt: skip
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
