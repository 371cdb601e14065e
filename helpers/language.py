"""A small GPT in plain Keras, its characters, its mini-batches, and generation with a key-value cache.

Chapter 7 derives what stands here: it writes every piece out in NumPy and shows the logits to be equal. Later chapters
use it. The model uses Keras layers and operations only, so it runs on every backend of Keras; Keras is imported when a
model is built, not before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.corpus import ALPHABET

EPSILON = 1e-5  # of the layer norms, as in GPT-2
_CODES = np.full(128, -1, np.int32)
_CODES[[ord(c) for c in ALPHABET]] = np.arange(len(ALPHABET))


def encode(text: str) -> np.ndarray:
    """Numbers of the characters of a text, shape (n,), int32: 0 is the line feed, 1 to 95 are what ASCII prints.

    Raises
    ------
    ValueError
        For a character that is not in :data:`helpers.corpus.ALPHABET`.
    """
    try:
        numbers = _CODES[np.frombuffer(text.encode("ascii"), np.uint8)]
    except UnicodeEncodeError as error:
        raise ValueError(f"character {text[error.start]!r} at position {error.start} is not in the alphabet") from None
    if np.any(numbers < 0):
        where = int(np.argmax(numbers < 0))
        raise ValueError(f"character {text[where]!r} at position {where} is not in the alphabet")
    return numbers


def decode(numbers: np.ndarray) -> str:
    """The text of a row of numbers: the inverse of :func:`encode`.

    Raises
    ------
    ValueError
        For a number outside of 0 to 95.
    """
    numbers = np.asarray(numbers)
    if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(ALPHABET)):
        raise ValueError(
            f"characters have numbers from 0 to {len(ALPHABET) - 1}; got {numbers.min()} to {numbers.max()}"
        )
    return "".join(ALPHABET[n] for n in numbers)


def windows(tokens: np.ndarray, context: int, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pieces of a text as training examples: inputs, and the same pieces one token later.

    Parameters
    ----------
    tokens : ndarray of int, shape (n,)
        More than ``context`` of them.
    context, count : int
        Length and number of the pieces.
    seed : int

    Returns
    -------
    x, y : ndarray of int32, shape (count, context)
        ``y[i, t]`` is the token that follows ``x[i, t]`` in the text.
    """
    if len(tokens) <= context:
        raise ValueError(f"a text of {len(tokens)} tokens has no piece of {context} tokens and one more")
    starts = np.random.default_rng(seed).integers(0, len(tokens) - context, count)
    pieces = tokens[starts[:, None] + np.arange(context + 1)].astype("int32")
    return pieces[:, :-1], pieces[:, 1:]


def build_gpt(vocabulary: int, context: int, width: int, heads: int, blocks: int, seed: int) -> Any:
    """GPT-2 in small (Radford and others 2019): tokens (batch, time) in, logits (batch, time, vocabulary) out.

    Parameters
    ----------
    vocabulary, context, width, heads, blocks : int
        Positive; ``heads`` divides ``width``. Inputs may be shorter than ``context``, not longer.
    seed : int
        Fixes the first weights, drawn with NumPy: the same on every backend.

    Returns
    -------
    keras.Model
        Not compiled. Block k has the layers ``norm1_k``, ``attention_k``, ``norm2_k``, ``up_k`` and ``down_k``; around
        them stand ``embedding`` (tied to the output), ``positions`` and ``last_norm``.

    Raises
    ------
    ValueError
        If a size is not positive, or ``heads`` does not divide ``width``.
    """
    import keras
    from keras import layers, ops

    if min(vocabulary, context, width, heads, blocks) < 1 or width % heads:
        raise ValueError("all sizes must be positive and heads must divide width; got "
                         f"{vocabulary=}, {context=}, {width=}, {heads=}, {blocks=}")  # fmt: skip
    tokens = keras.Input((None,), dtype="int32", name="tokens")
    embedding = layers.ReversibleEmbedding(vocabulary, width, name="embedding")
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1  # 0, 1, 2, ... in each row, for any length
    x = embedding(tokens) + layers.Embedding(context, width, name="positions")(places)  # (batch, time, width)
    for k in range(blocks):
        h = layers.LayerNormalization(epsilon=EPSILON, name=f"norm1_{k}")(x)
        x = x + layers.MultiHeadAttention(heads, width // heads, name=f"attention_{k}")(h, h, use_causal_mask=True)
        h = layers.LayerNormalization(epsilon=EPSILON, name=f"norm2_{k}")(x)
        h = layers.Dense(4 * width, name=f"up_{k}")(h)
        h = layers.Activation("relu", name=f"relu_{k}")(h)
        x = x + layers.Dense(width, name=f"down_{k}")(h)
    logits = embedding(layers.LayerNormalization(epsilon=EPSILON, name="last_norm")(x), reverse=True)
    model = keras.Model(tokens, logits, name="gpt")
    _initialise(model, blocks, seed)
    return model


def _initialise(model: Any, blocks: int, seed: int) -> None:
    """Normal numbers for kernels and tokens, smaller where a block adds to the residual stream; sine waves for positions.

    Positions are trained like the rest. To start them as waves (Vaswani and others 2017, section 3.5) makes neighbours
    alike, and small models then leave the level of the bigram sooner. The longest wave here is about 4 contexts long.
    """
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.path.startswith("positions"):
            context, width = weight.shape
            angles = np.arange(context)[:, None] / (4.0 * context) ** (np.arange(0, width, 2) / width)
            waves = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(context, -1)
            weight.assign(0.15 * waves[:, :width].astype("float32"))
        elif weight.name in ("embeddings", "kernel"):
            scale = 0.05 if weight.name == "embeddings" else weight.shape[0] ** -0.5
            if "attention_output" in weight.path or "down_" in weight.path:
                scale = 0.02 / (2 * blocks) ** 0.5
            weight.assign(rng.normal(0, scale, weight.shape).astype("float32"))


def evaluate_nats(model: Any, tokens: np.ndarray, context: int, batch_size: int = 64) -> float:
    """Mean loss per token in nats over a text, cut into pieces that do not overlap.

    The first prediction of a piece sees one token, as it does in training. The last, incomplete piece is left out.
    """
    count = (len(tokens) - 1) // context
    if count < 1:
        raise ValueError(f"a text of {len(tokens)} tokens has no piece of {context} tokens and one more")
    x, y = (tokens[k : k + count * context].reshape(count, context) for k in (0, 1))
    total = 0.0
    for start in range(0, count, batch_size):
        logits = model.predict_on_batch(x[start : start + batch_size]).astype("float64")
        target = np.take_along_axis(logits, y[start : start + batch_size, :, None], axis=-1)[..., 0]
        top = logits.max(axis=-1)
        total += float(np.sum(top + np.log(np.exp(logits - top[..., None]).sum(axis=-1)) - target))
    return total / (count * context)
