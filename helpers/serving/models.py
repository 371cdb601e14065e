"""Versions of a model on disk, in the layout of TensorFlow Serving and Triton.

A model is a folder (its name is the model's name) with one folder per version, named by a positive integer. A version never
changes once it is written: its manifest ``model.json`` holds the SHA-256 digest of each file. Which version answers stands
in ``active.json``; replacing that small file is a release, replacing it by the old content is a rollback.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.serving import manifests
from helpers.serving.manifests import ENGINES, ModelError, UnknownVersion

FILES = {"litert": "model_int8.tflite", "litert-float": "model.tflite", "onnx": "model.onnx"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

__all__ = ["ModelError", "UnknownVersion", "activate", "active", "find_models", "read_engine", "read_manifest", "versions",
           "write_version"]  # fmt: skip


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
    manifests.check_version(version)
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
            digests[FILES[engine]] = manifests.digest((new / FILES[engine]).read_bytes())
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
    found = [p.name for p in Path(folder).iterdir() if p.is_dir() and manifests.VERSION.fullmatch(p.name)]
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
    manifest = manifests.read(Path(folder), str(version))
    for engine in manifest["engines"]:
        manifests.verified(Path(folder), manifest, engine)
    return manifest


def read_engine(folder: str | Path, version: int | str, engine: str) -> tuple[dict[str, Any], bytes]:
    """Manifest, and the verified content of the file for one engine."""
    manifest = manifests.read(Path(folder), str(version))
    if engine not in manifest["engines"]:
        raise ModelError(f"Version {version} of {manifest['name']} has no file for the engine '{engine}'; it has "
                         f"{', '.join(manifest['engines'])}.")  # fmt: skip
    return manifest, manifests.verified(Path(folder), manifest, engine)


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
    if not all(
        isinstance(v, str) and manifests.VERSION.fullmatch(v) for v in (version, "1" if shadow is None else shadow)
    ):
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
