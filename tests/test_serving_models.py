"""Versions on disk, and the engines that load them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from litert_file import write_litert
from serving_fixtures import LABELS, add_version, images, linear, logits, write_onnx

from conftest import REPOSITORY
from helpers.serving import engines, models
from helpers.serving.models import ModelError, UnknownVersion


@pytest.fixture
def digits(model_folder):
    return model_folder / "digits"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One version with a file for every engine."""
    root = tmp_path_factory.mktemp("both")
    weights, bias = linear(1)
    lite = write_litert(root / "a.tflite", weights, bias)
    files = {"litert": lite, "litert-float": lite, "onnx": write_onnx(root / "a.onnx", weights, bias)}
    models.write_version(root / "digits", 1, files, labels=LABELS, statistics={})
    return root / "digits"


# --- writing and reading --------------------------------------------------------------------------------------------
def test_a_version_has_the_layout_of_the_contract(digits):
    manifest = json.loads((digits / "1" / "model.json").read_text())
    assert manifest["name"] == "digits"
    assert manifest["version"] == "1"
    assert manifest["engines"] == {"onnx": "model.onnx"}
    assert manifest["input"] == {"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}
    assert manifest["output"] == {"name": "logits", "datatype": "FP32", "shape": [-1, 10]}
    assert manifest["labels"] == LABELS
    assert sorted(p.name for p in (digits / "1").iterdir()) == ["model.json", "model.onnx"]
    assert models.read_manifest(digits, 1) == manifest


def test_versions_are_ordered_as_numbers(digits):
    add_version(digits, 10)
    (digits / "notes").mkdir()
    (digits / "007").mkdir()
    assert models.versions(digits) == ["1", "2", "10"]


def test_a_version_never_changes(digits):
    before = (digits / "1" / "model.onnx").read_bytes()
    with pytest.raises(ModelError, match="Version 1 of digits exists already"):
        add_version(digits, 1)
    assert (digits / "1" / "model.onnx").read_bytes() == before


@pytest.mark.parametrize("version", ["0", "-1", "1.5", "", "one", "01", "../1", "1\n"])
def test_a_version_is_a_positive_integer(digits, version):
    with pytest.raises(ModelError, match="positive integer"):
        models.write_version(digits, version, {"onnx": digits / "1" / "model.onnx"}, labels=LABELS, statistics={})
    with pytest.raises(ModelError, match="positive integer"):
        models.activate(digits, version)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "has no files"),
        ({"tensorrt": "x"}, "Unknown engine 'tensorrt'"),
        ({"onnx": "nowhere.onnx"}, "'nowhere.onnx'"),
    ],
)
def test_a_version_that_cannot_be_written_leaves_nothing(digits, tmp_path, files, sentence):
    if "tensorrt" in files:
        files = {"tensorrt": digits / "1" / "model.onnx"}
    before = sorted(p.name for p in digits.iterdir())
    with pytest.raises(ModelError, match=sentence):
        models.write_version(digits, 3, files, labels=LABELS, statistics={})
    assert sorted(p.name for p in digits.iterdir()) == before


# --- damage ---------------------------------------------------------------------------------------------------------
def test_a_changed_byte_is_found(digits):
    path = digits / "1" / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    for use in (models.read_manifest, lambda f, v: engines.load(f, v, "onnx"), models.activate):
        with pytest.raises(ModelError, match=r"model\.onnx' is damaged: its SHA-256"):
            use(digits, 1)


def test_a_missing_file_is_named(digits):
    (digits / "1" / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx' cannot be read"):
        models.read_manifest(digits, 1)
    (digits / "1" / "model.json").unlink()
    with pytest.raises(ModelError, match=r"model\.json' is missing"):
        models.read_manifest(digits, 1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.pop("labels"), "'labels' is missing"),
        (lambda m: m.update(engines={}), "names no engine"),
        (lambda m: m.update(engines={"onnx": "../2/model.onnx"}), "does not lie beside the manifest"),
        (lambda m: m.update(sha256={}), "digest of 'model.onnx' is missing"),
        (lambda m: m["input"].update(shape=[28, 28]), r"shape of 'input' is not \[-1"),
        (lambda m: m["input"].update(datatype="COMPLEX"), "datatype 'COMPLEX'"),
        (lambda m: m["output"].pop("name"), "'output' needs a name"),
        (lambda m: m.update(version="2"), "describes version 2"),
    ],
)
def test_a_damaged_manifest_is_described(digits, change, sentence):
    path = digits / "1" / "model.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=sentence):
        models.read_manifest(digits, 1)


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00", "[" * 100_000])
def test_a_manifest_that_is_not_json_is_described(digits, text):
    (digits / "1" / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json' is damaged"):
        models.read_manifest(digits, 1)


# --- releases -------------------------------------------------------------------------------------------------------
def test_without_a_choice_the_highest_version_answers(digits):
    (digits / "active.json").unlink()
    add_version(digits, 10)
    assert models.active(digits) == {"version": "10", "shadow": None}


def test_release_and_rollback(digits):
    models.activate(digits, 2, shadow=1)
    assert models.active(digits) == {"version": "2", "shadow": "1"}
    assert json.loads((digits / "active.json").read_text()) == {"version": "2", "shadow": "1"}
    models.activate(digits, "1")
    assert models.active(digits) == {"version": "1", "shadow": None}


def test_an_unknown_version_changes_nothing(digits):
    for choice in ({"version": 9}, {"version": 1, "shadow": 9}):
        with pytest.raises(UnknownVersion, match="Version 9 of digits does not exist"):
            models.activate(digits, **choice)
    assert models.active(digits) == {"version": "1", "shadow": None}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"version": 1}', '{"version": "../1"}', '{"version": "1", "shadow": 2}']
)
def test_a_damaged_choice_is_one_sentence(digits, text):
    (digits / "active.json").write_text(text)
    with pytest.raises(ModelError, match=r"active\.json' is damaged"):
        models.active(digits)


def test_a_reader_never_sees_half_a_choice(digits):
    end, seen = threading.Event(), set()

    def read():
        while not end.is_set():
            seen.add(models.active(digits)["version"])

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(200):
        models.activate(digits, 1 + i % 2)
    end.set()
    reader.join()
    assert seen == {"1", "2"}
    assert not [p for p in digits.iterdir() if p.name.startswith(".")]


def test_a_choice_is_written_beside_and_then_moved(digits, monkeypatch):
    """A crash before the move leaves the old choice."""

    def crash(source, target):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", crash)
    with pytest.raises(OSError, match="no space"):
        models.activate(digits, 2)
    assert models.active(digits)["version"] == "1"
    assert not [p for p in digits.iterdir() if p.name.startswith(".")]


def test_models_are_found_by_name(model_folder):
    (model_folder / "empty").mkdir()
    (model_folder / "notes.txt").write_text("")
    assert list(models.find_models(model_folder)) == ["digits"]
    with pytest.raises(ModelError, match="holds no model"):
        models.find_models(model_folder / "empty")
    with pytest.raises(ModelError, match="does not exist"):
        models.find_models(model_folder / "nowhere")


def test_the_package_imports_nothing_heavy():
    """A notebook that starts a service in another process needs no web framework in its own."""
    script = "import sys, helpers.serving; print(sorted({m.partition('.')[0] for m in sys.modules}))"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    for heavy in ("numpy", "fastapi", "pydantic", "uvicorn", "onnxruntime", "ai_edge_litert", "tensorflow", "PIL"):
        assert f"'{heavy}'" not in loaded


# --- engines --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["litert", "litert-float", "onnx"])
@pytest.mark.parametrize("n", [1, 2, 3, 8, 31, 257])
def test_every_engine_gives_the_known_answer(both, engine, n):
    """Also where the batch is padded (3, 31) or cut (257)."""
    pictures = images(n, seed=n)
    found = engines.load(both, 1, engine)(pictures)
    assert found.shape == (n, 10)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, logits(pictures, 1), atol=2e-5)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_an_answer_does_not_depend_on_the_neighbours(both, engine):
    loaded, picture = engines.load(both, 1, engine), images(1)
    alone = loaded(picture)[0]
    for seed in range(5):
        for place in range(4):
            batch = images(4, seed=10 + seed)
            batch[place] = picture
            np.testing.assert_allclose(loaded(batch)[place], alone, atol=1e-5)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_an_answer_stays_when_the_engine_goes_on(both, engine):
    """The interpreter writes its next output into the same memory; what was handed out must be a copy."""
    loaded = engines.load(both, 1, engine)
    first = loaded(images(1, seed=1))
    kept = first.copy()
    loaded(images(1, seed=2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
@pytest.mark.parametrize(
    "batch",
    [np.zeros((1, 28, 28), np.float32), np.zeros((1, 784), np.uint8), np.zeros((28, 28), np.uint8), np.uint8(0)],
)
def test_another_batch_is_refused(both, engine, batch):
    with pytest.raises(ValueError, match=r"the engine takes uint8 \(n, 28, 28\), got"):
        engines.load(both, 1, engine)(batch)


def test_an_empty_batch_has_an_empty_answer(both):
    assert engines.load(both, 1, "onnx")(images(0)).shape == (0, 10)


def test_an_engine_without_a_file_is_one_sentence(digits):
    with pytest.raises(ModelError, match="has no file for the engine 'litert'; it has onnx"):
        engines.load(digits, 1, "litert")


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_a_file_that_is_no_model_is_one_sentence(tmp_path, engine):
    junk = tmp_path / "junk"
    junk.write_bytes(b"not a model" * 50)
    models.write_version(tmp_path / "digits", 1, {engine: junk}, labels=LABELS, statistics={})
    with pytest.raises(ModelError, match=f"cannot be used by {engine}: [^\n]+$"):
        engines.load(tmp_path / "digits", 1, engine)


@pytest.mark.parametrize("engine", ["litert", "onnx"])
def test_a_model_that_does_not_fit_its_manifest_is_one_sentence(tmp_path, engine):
    weights, bias = linear(1)
    write = write_onnx if engine == "onnx" else write_litert
    source = write(tmp_path / "model", weights, bias)
    models.write_version(tmp_path / "digits", 1, {engine: source}, labels=LABELS[:9], statistics={})
    with pytest.raises(ModelError, match=r"answers float32 \(10,\), its manifest says FP32 \(9,\)"):
        engines.load(tmp_path / "digits", 1, engine)
