"""Models made in a fraction of a second, without training and without TensorFlow, and services that serve them.

The models are linear, ``logits = image . weights + bias``, so that NumPy knows every answer.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from helpers.serving import drift, models, start

LABELS = [str(digit) for digit in range(10)]


def linear(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (784, 10) and bias (10,), float32."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(784, 10)) / 1000).astype(np.float32), rng.normal(size=10).astype(np.float32)


def write_onnx(path: Path, weights: np.ndarray, bias: np.ndarray, detours: int = 0) -> Path:
    """uint8 (n, 28, 28) -> Cast -> Reshape -> MatMul -> Add -> float32 (n, 10).

    Each detour multiplies by the identity matrix: the answer stays and takes longer (200 of them some 20 ms).
    """
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["float", "shape"], ["flat"]),
        *(helper.make_node("MatMul", [f"flat{i or ''}", "identity"], [f"flat{i + 1}"]) for i in range(detours)),
        helper.make_node("MatMul", [f"flat{detours or ''}", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
    ]
    constants = {"shape": np.array([-1, 784], np.int64), "weights": weights, "bias": bias}
    if detours:
        constants["identity"] = np.eye(784, dtype=np.float32)
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def images(n: int, seed: int = 0) -> np.ndarray:
    """Random pictures, uint8 (n, 28, 28), most of whose pixels are paper."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 256, (n, 28, 28)) * (rng.random((n, 28, 28)) < 0.2)).astype(np.uint8)


def logits(pictures: np.ndarray, version: int | str) -> np.ndarray:
    """What version ``version`` of the fixture answers, by NumPy; float32 (n, 10)."""
    weights, bias = linear(int(version))
    return pictures.reshape(len(pictures), 784).astype(np.float32) @ weights + bias


def body(pictures: np.ndarray, **more) -> bytes:
    """An inference request with flat data."""
    tensor = {"name": "image", "shape": list(pictures.shape), "datatype": "UINT8", "data": pictures.ravel().tolist()}
    return json.dumps({"inputs": [tensor], **more}).encode()


def add_version(folder: Path, version: int, statistics: dict | None = None, detours: int = 0) -> Path:
    """Write a version whose weights follow from its number."""
    folder.mkdir(parents=True, exist_ok=True)
    source = write_onnx(folder.parent / f".{folder.name}-{version}.onnx", *linear(version), detours)
    found = drift.summarise(images(500, seed=99)) if statistics is None else statistics
    return models.write_version(folder, version, {"onnx": source}, labels=LABELS, statistics=found)


def make_models(root: Path, versions: int = 2) -> Path:
    """A folder of models with ``digits`` in some versions; version 1 is active."""
    for version in range(1, versions + 1):
        add_version(root / "digits", version)
    models.activate(root / "digits", 1)
    return root


@pytest.fixture
def model_folder(tmp_path) -> Path:
    """A fresh folder of models."""
    return make_models(tmp_path / "models")


@pytest.fixture
def slow_folder(tmp_path) -> Path:
    """A folder of models whose only version takes some 20 ms for an image."""
    add_version(tmp_path / "slow" / "digits", 1, detours=200)
    return tmp_path / "slow"


@pytest.fixture
def serve():
    """Start services; they are stopped at the end of the test."""
    running = []

    def begin(folder: Path, **options):
        running.append(start(folder, **{"engine": "onnx", **options}))
        return running[-1]

    yield begin
    for service in running:
        service.stop()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """One service with a token, shared by the tests of a module."""
    with start(
        make_models(tmp_path_factory.mktemp("shared") / "models"), engine="onnx", token="secret-token"
    ) as running:
        yield running
