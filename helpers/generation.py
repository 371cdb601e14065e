"""Text from the small GPT: one token after another, with a key-value cache in NumPy.

Chapter 7 writes the cache and the choice of the next token out, and shows them equal to what stands here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from helpers.language import EPSILON


def adjust(logits: np.ndarray, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0) -> np.ndarray:
    """Probabilities of the next token after temperature, top-k and top-p, in this order.

    Parameters
    ----------
    logits : ndarray, shape (vocabulary,)
    temperature : float
        Logits are divided by it; 0 gives the largest logit probability 1.
    top_k : int, optional
        Keep the k most probable tokens.
    top_p : float
        Keep the smallest set of most probable tokens whose probabilities sum to ``top_p`` or more (Holtzman and others
        2020, "nucleus"). In (0, 1].

    Returns
    -------
    ndarray of float64, shape (vocabulary,)
        Sums to 1. Among equal probabilities the smaller number counts as more probable.

    Raises
    ------
    ValueError
        For a negative temperature, ``top_k`` below 1, or ``top_p`` outside of (0, 1].
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or not 0 < top_p <= 1:
        raise ValueError(
            f"need temperature >= 0, top_k >= 1 and 0 < top_p <= 1; got {temperature=}, {top_k=}, {top_p=}"
        )
    logits = np.asarray(logits, np.float64)
    if temperature == 0:
        return np.eye(len(logits))[logits.argmax()]
    p = np.exp((logits - logits.max()) / temperature)
    order = np.argsort(-p, kind="stable")
    kept = len(p) if top_k is None else min(top_k, len(p))
    p[order[kept:]] = 0
    p /= p.sum()
    if top_p < 1:
        before = np.cumsum(p[order]) - p[order]
        p[order[before >= top_p]] = 0
    return p / p.sum()


class CachedGPT:
    """The model of :func:`helpers.language.build_gpt` in NumPy. It remembers keys and values of what it has read.

    Parameters
    ----------
    model : keras.Model
        Its weights are copied; later training does not change this object.

    Attributes
    ----------
    length : int
        Tokens read since the start or the last :meth:`reset`.
    """

    def __init__(self, model: Any):
        from keras import ops

        def get(weight: Any) -> np.ndarray:
            return np.asarray(ops.convert_to_numpy(weight), np.float32)

        def norm(name: str) -> tuple[np.ndarray, ...]:
            return get(model.get_layer(name).gamma), get(model.get_layer(name).beta)

        def dense(name: str) -> tuple[np.ndarray, ...]:
            return get(model.get_layer(name).kernel), get(model.get_layer(name).bias)

        self.embedding = get(model.get_layer("embedding").embeddings)  # (vocabulary, width)
        self.positions = get(model.get_layer("positions").embeddings)  # (context, width)
        self.last_norm = norm("last_norm")
        self.blocks = []
        count = sum(layer.name.startswith("attention_") for layer in model.layers)
        for k in range(count):
            layer = model.get_layer(f"attention_{k}")
            kernels = [
                get(d.kernel) for d in (layer.query_dense, layer.key_dense, layer.value_dense)
            ]  # (width, heads, size)
            biases = [get(d.bias) for d in (layer.query_dense, layer.key_dense, layer.value_dense)]  # (heads, size)
            output = get(layer.output_dense.kernel), get(layer.output_dense.bias)  # (heads, size, width), (width,)
            self.blocks.append((norm(f"norm1_{k}"), kernels, biases, output, norm(f"norm2_{k}"), dense(f"up_{k}"),
                                dense(f"down_{k}")))  # fmt: skip
        self.reset()

    def reset(self) -> None:
        """Forget what was read."""
        self.length = 0
        self._cache: list[tuple[np.ndarray, np.ndarray] | None] = [None] * len(self.blocks)

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Logits (n, vocabulary) of n new tokens that follow what was read before.

        Raises
        ------
        ValueError
            If no token is given, or more than the context holds.
        """
        n, start = len(tokens), self.length
        if not 0 < n <= len(self.positions) - start:
            raise ValueError(f"{start} tokens read and {n} new ones; the context holds {len(self.positions)}")
        x = self.embedding[np.asarray(tokens)] + self.positions[start : start + n]  # (n, width)
        future = np.arange(start + n) > np.arange(start, start + n)[:, None]  # (n, start + n)
        for k, (norm1, kernels, biases, output, norm2, up, down) in enumerate(self.blocks):
            h = _norm(x, *norm1)
            q, keys, values = (
                np.einsum("nd,dhs->hns", h, w) + b[:, None] for w, b in zip(kernels, biases, strict=True)
            )
            if self._cache[k] is not None:
                keys, values = (
                    np.concatenate(pair, axis=1) for pair in zip(self._cache[k], (keys, values), strict=True)
                )
            self._cache[k] = keys, values
            scores = np.where(future, -np.inf, q @ keys.transpose(0, 2, 1) / np.float32(np.sqrt(q.shape[-1])))
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)  # (heads, n, start + n)
            x = x + np.einsum("hns,hsd->nd", weights @ values, output[0]) + output[1]
            h = _norm(x, *norm2)
            x = x + np.maximum(h @ up[0] + up[1], 0) @ down[0] + down[1]
        self.length += n
        return _norm(x, *self.last_norm) @ self.embedding.T


def _norm(x: np.ndarray, gamma: np.ndarray, beta: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON) * gamma + beta


def generate(
    model: Any, prompt: np.ndarray, length: int, *, temperature: float = 1.0, top_k: int | None = None,
    top_p: float = 1.0, seed: int = 0, cache: bool = True,
) -> np.ndarray:  # fmt: skip
    """Continue a prompt by ``length`` tokens.

    Parameters
    ----------
    model : keras.Model
        From :func:`helpers.language.build_gpt`.
    prompt : ndarray of int, shape (n,)
        At least one token; of a long prompt the last ``context`` tokens are read.
    length : int
    temperature, top_k, top_p
        As in :func:`adjust`.
    seed : int
    cache : bool
        False reads the whole window again for each token, with Keras: slower, the same text.

    Returns
    -------
    ndarray of int32, shape (length,)
        The new tokens, without the prompt.

    Notes
    -----
    Each position has an embedding of its own, so a cache cannot slide. When the window is full, reading starts again
    with its last half, with and without cache.
    """
    if len(prompt) == 0:
        raise ValueError("the prompt needs at least one token; a line feed (token 0) starts a new paragraph")
    context = model.get_layer("positions").input_dim
    window, fresh, new = [int(t) for t in prompt][-context:], 0, []
    reader, rng = CachedGPT(model) if cache else None, np.random.default_rng(seed)
    for _ in range(length):
        if len(window) > context:
            window, fresh = window[-(context // 2 or 1) :], 0
            if reader is not None:
                reader.reset()
        if reader is not None:
            logits = reader.read(np.array(window[fresh:]))[-1]
        else:
            logits = model.predict_on_batch(np.array([window], np.int32))[0, -1]
        fresh = len(window)
        p = adjust(logits, temperature, top_k, top_p)
        token = min(int(np.searchsorted(np.cumsum(p), rng.random(), side="right")), int(np.flatnonzero(p)[-1]))
        window.append(token)
        new.append(token)
    return np.array(new, np.int32)
