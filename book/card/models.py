"""The two models at their sizes, larger ones beside them, their data, and the operations of one training step."""

from __future__ import annotations

from typing import Any

import numpy as np

from book.card import flops
from helpers.language import EPSILON, build_gpt

CNN = {"size": 150, "widths": (32, 64, 128, 128), "dense": 512}  # chapter 6, full profile
VOCABULARY = 96
GPTS = {  # the full profile of chapter 7, then larger ones: the last fills a card of 80 GB
    "GPT of chapter 7": {"context": 128, "width": 192, "heads": 6, "blocks": 4},
    "GPT, 85 million": {"context": 512, "width": 768, "heads": 12, "blocks": 12},
    "GPT, 604 million": {"context": 1024, "width": 2048, "heads": 16, "blocks": 12},
}
NAMES = ("CNN of chapter 6", *GPTS)


def is_cnn(name: str) -> bool:
    return name == NAMES[0]


def build_cnn(size: int, widths: tuple[int, ...], dense: int):
    import keras
    from keras import layers

    model = keras.Sequential([keras.Input((size, size, 3)), layers.Rescaling(1 / 255)])
    for width in widths:
        model.add(layers.Conv2D(width, 3, activation="relu"))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(dense, activation="relu"))
    model.add(layers.Dense(1, dtype="float32"))
    return model


def build(name: str):
    """A model with the same first weights each time, and its loss of labels and logits."""
    import keras
    from keras import ops

    keras.utils.set_random_seed(0)
    if is_cnn(name):
        return build_cnn(**CNN), lambda y, z: ops.mean(ops.binary_crossentropy(y, z, from_logits=True))
    shape = GPTS[name]
    model = build_gpt(VOCABULARY, shape["context"], shape["width"], shape["heads"], shape["blocks"], 0)
    return model, lambda y, z: ops.mean(
        ops.sparse_categorical_crossentropy(y, ops.cast(z, "float32"), from_logits=True)
    )


def data(name: str, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Random pictures and answers, or random tokens and those that follow."""
    rng = np.random.default_rng(0)
    if is_cnn(name):
        x = rng.integers(0, 256, (batch, CNN["size"], CNN["size"], 3), dtype=np.uint8).astype("float32")
        return x, rng.integers(0, 2, (batch, 1)).astype("float32")
    x = rng.integers(0, VOCABULARY, (batch, GPTS[name]["context"])).astype("int32")
    return x, np.roll(x, -1, axis=1)


def units(name: str, batch: int) -> int:
    """Pictures or tokens in a batch."""
    return batch if is_cnn(name) else batch * GPTS[name]["context"]


def operations(name: str, batch: int) -> int:
    """Operations of one training step."""
    if is_cnn(name):
        return batch * flops.cnn_training(**CNN)
    shape = GPTS[name]
    return units(name, batch) * flops.gpt_training(VOCABULARY, shape["context"], shape["width"], shape["blocks"])


def pieces(name: str) -> dict[str, tuple[Any, int, int]]:
    """Parts of a GPT as models of their own: each with how often it occurs, and its forward operations for one token."""
    import keras
    from keras import layers

    shape = GPTS[name]
    context, width, heads, blocks = (shape[key] for key in ("context", "width", "heads", "blocks"))
    x = keras.Input((context, width), dtype=keras.config.dtype_policy().compute_dtype)
    attention = layers.MultiHeadAttention(heads, width // heads)(x, x, use_causal_mask=True)
    hidden = layers.Activation("relu")(layers.Dense(4 * width)(x))
    logits = layers.Softmax(dtype="float32")(layers.Dense(VOCABULARY, use_bias=False)(x))
    return {
        "attention": (keras.Model(x, attention), blocks, flops.attention(context, width)),
        "dense layers of the blocks": (keras.Model(x, layers.Dense(width)(hidden)), blocks, flops.feed_forward(width)),
        "norms": (keras.Model(x, layers.LayerNormalization(epsilon=EPSILON)(x)), 2 * blocks + 1, 0),
        "output and softmax": (keras.Model(x, logits), 1, flops.output(VOCABULARY, width)),
    }
