"""The published encoder: files that are refused, weights in the right places, and the vectors of another program.

What needs the files is skipped where the package is absent; with ``CI`` set its environment is made.
"""

import json
import os

import numpy as np
import pytest

from book import cache, environment, sources
from helpers import minilm


@pytest.fixture(scope="session")
def folder():
    if minilm.find() is None:
        if not os.environ.get("CI"):
            pytest.skip("MiniLM is absent; fetch it with: python3 -m book setup --engine minilm")
        environment.ensure(engine=minilm.ENGINE)
    return minilm.find()


def write_tensors(path, tensors):
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [len(body), len(body) + tensor.nbytes]}
        body += tensor.astype("<f4").tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def test_tensors_are_read_as_they_were_written(tmp_path):
    tensors = {"a": np.arange(6, dtype="float32").reshape(2, 3), "b": np.array([1.5], "float32")}
    write_tensors(tmp_path / "model.safetensors", tensors)
    read = minilm.read_tensors(tmp_path)
    assert read.keys() == tensors.keys()
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)


def test_missing_and_altered_files_are_named(tmp_path):
    with pytest.raises(minilm.MiniLMError, match=r"model\.safetensors' is missing"):
        minilm.verified(tmp_path)
    for name in minilm.FILES:
        (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(minilm.MiniLMError, match="has SHA-256"):
        minilm.verified(tmp_path)


def test_nothing_is_found_where_nothing_is(tmp_path, monkeypatch):
    monkeypatch.setattr(minilm, "ROOT", tmp_path)
    monkeypatch.setattr(minilm, "PACKAGE", "no-such-package")
    assert minilm.find() is None
    files = tmp_path / ".venv-minilm" / "lib" / "python3.11" / "site-packages" / "no_such_package" / "model"
    files.mkdir(parents=True)
    assert minilm.find() == files


def test_the_kernels_of_attention_are_transposed_and_split_by_head():
    rng = np.random.default_rng(0)
    name = "encoder.layer.0."
    shapes = {f"attention.self.{part}.weight": (384, 384) for part in ("query", "key", "value")}
    shapes |= {f"attention.self.{part}.bias": (384,) for part in ("query", "key", "value")}
    shapes |= {"attention.output.dense.weight": (384, 384), "intermediate.dense.weight": (1536, 384),
               "output.dense.weight": (384, 1536), "intermediate.dense.bias": (1536,)}  # fmt: skip
    for part in ("attention.output.dense.bias", "attention.output.LayerNorm.weight", "attention.output.LayerNorm.bias",
                 "output.dense.bias", "output.LayerNorm.weight", "output.LayerNorm.bias"):  # fmt: skip
        shapes[part] = (384,)
    tensors = {name + part: rng.normal(size=shape) for part, shape in shapes.items()}
    weights = minilm.block_weights(tensors, 0)
    x = rng.normal(size=384)
    query = np.einsum("d,dhe->he", x, weights[0]).ravel()
    assert np.allclose(query, tensors[name + "attention.self.query.weight"] @ x)
    out = np.einsum("he,hed->d", x.reshape(12, 32), weights[6])
    assert np.allclose(out, tensors[name + "attention.output.dense.weight"] @ x)


def test_stored_vectors_have_length_one():
    sentences, vectors, made_with = minilm.reference()
    assert vectors.shape == (len(sentences), minilm.WIDTH)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert "torch" in made_with


def test_the_files_are_the_verified_ones(folder):
    assert minilm.verified(folder) == folder


def test_texts_become_numbers(folder):
    tokens, mask = minilm.tokenise(folder, ["A week.", "x " * 100], 8)
    assert tokens[0].tolist() == [101, 1037, 2733, 1012, 102, 0, 0, 0]
    assert mask.sum(axis=1).tolist() == [5, 8]
    with pytest.raises(ValueError, match="length must be from 3"):
        minilm.tokenise(folder, ["a"], 2)
    with pytest.raises(ValueError, match="no text"):
        minilm.tokenise(folder, [], 8)


def test_vectors_are_those_of_the_other_program(folder):
    pytest.importorskip("keras")
    embed, blocks, _ = minilm.load(folder)
    sentences, expected, _ = minilm.reference()
    for length in (16, 32):  # padding changes nothing
        tokens, mask = minilm.tokenise(folder, sentences, length)
        states = minilm.forward(embed, blocks, tokens, mask, batch_size=2)
        assert np.abs(np.asarray(minilm.mean_of_tokens(states, mask)) - expected).max() < 1e-5


def test_a_page_with_an_engine_is_made_anew_when_the_engine_comes(tmp_path):
    (tmp_path / "notebooks").mkdir()
    path = tmp_path / "notebooks" / "08_pretraining_finetuning.ipynb"
    path.write_bytes((minilm.ROOT / "notebooks" / path.name).read_bytes())
    source = sources.load(path)
    absent = cache.key(source, {}, "")
    stamp = tmp_path / ".venv-minilm" / "book-lock.sha256"
    stamp.parent.mkdir()
    stamp.write_text("one")
    present = cache.key(source, {}, "")
    stamp.write_text("two")
    assert len({absent, present, cache.key(source, {}, "")}) == 3
