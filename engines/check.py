"""Are these files what their engines expect? ``.venv-kserve/bin/python engines/check.py FILE...``

Kubernetes manifests are read into the typed models of the packages ``kubernetes`` and ``kserve``, Triton's and TensorFlow
Serving's files into the message types of their client packages. A field that does not exist, or a value of another type,
is one line on standard error and exit status 1. That the names of images, volumes and runtimes exist is for the cluster.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import kserve
import kubernetes.client
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

KINDS = {
    ("serving.kserve.io/v1beta1", "InferenceService"): kserve.V1beta1InferenceService,
    ("apps/v1", "Deployment"): kubernetes.client.V1Deployment,
    ("v1", "Service"): kubernetes.client.V1Service,
}
PRIMITIVES = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def main(files: list[str]) -> int:
    faults = [f"{file}: {fault}" for file in files for fault in check(Path(file))]
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


def check(path: Path) -> list[str]:
    """What is wrong with a file, one sentence each; empty if nothing is."""
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix in (".yaml", ".yml"):
            documents = list(yaml.safe_load_all(text))
            return [fault for document in documents for fault in manifest(document)] or (
                [] if documents else ["empty."]
            )
        message = _triton().ModelConfig() if path.suffix == ".pbtxt" else ModelServerConfig()
        text_format.Parse(text, message)
    except (yaml.YAMLError, text_format.ParseError) as error:
        return [" ".join(str(error).split())]
    return []


def manifest(document: Any) -> list[str]:
    """Faults of one Kubernetes document."""
    if not isinstance(document, dict):
        return ["a document is not a mapping."]
    kind = document.get("apiVersion"), document.get("kind")
    if kind not in KINDS:
        return [f"apiVersion {kind[0]} with kind {kind[1]} is not one of {', '.join(map(' '.join, KINDS))}."]
    return [f"{kind[1]}{place}: {what}" for place, what in typed(document, KINDS[kind].__name__, "")]


def typed(value: Any, wanted: str, place: str) -> list[tuple[str, str]]:
    """Compare a value with a type as the generated clients write it: ``str``, ``list[V1Container]``, ``dict(str, str)``."""
    if inner := re.fullmatch(r"[lL]ist\[(.+)\]", wanted):
        if not isinstance(value, list):
            return [(place, f"{value!r} is not a list.")]
        return [fault for i, one in enumerate(value) for fault in typed(one, inner[1], f"{place}[{i}]")]
    if inner := re.fullmatch(r"[dD]ict[\[(]str, ?(.+)[\])]", wanted):
        if not isinstance(value, dict):
            return [(place, f"{value!r} is not a mapping.")]
        return [fault for key, one in value.items() for fault in typed(one, inner[1], f"{place}.{key}")]
    if wanted in PRIMITIVES:
        fits = isinstance(value, PRIMITIVES[wanted]) and (wanted == "bool" or not isinstance(value, bool))
        return [] if fits else [(place, f"{value!r} is not of type {wanted}.")]
    model = getattr(kserve, wanted, None) or getattr(kubernetes.client, wanted, None)
    if not hasattr(model, "attribute_map"):
        return []  # object, quantities, times: any value
    return _fields(value, model, place)


def _fields(value: Any, model: type, place: str) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(place, f"{value!r} is not a mapping.")]
    names = {written: name for name, written in model.attribute_map.items()}
    unknown = [(place, f"there is no field '{key}' in {model.__name__}.") for key in value if key not in names]
    known = {key: one for key, one in value.items() if key in names}
    inside = [
        fault for key, one in known.items() for fault in typed(one, model.openapi_types[names[key]], f"{place}.{key}")
    ]
    return unknown + inside + ([] if unknown or inside else _required(known, model, names, place))


def _required(value: dict, model: type, names: dict[str, str], place: str) -> list[tuple[str, str]]:
    """Build the typed object: it knows what must not be missing, and some ranges."""
    try:
        if hasattr(model, "model_validate"):  # pydantic
            model.model_validate(value)
        else:
            model(**{names[key]: one for key, one in value.items()})
    except ValueError as error:
        return [(place, " ".join(str(error).split()))]
    return []


def _triton() -> ModuleType:
    """Message types of Triton, from their own file: the package around it defines the V2 messages that KServe has, too."""
    folder = importlib.util.find_spec("tritonclient").submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location("model_config_pb2", Path(folder, "grpc", "model_config_pb2.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
