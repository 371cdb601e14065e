"""Optimisers with one skeleton: ``init`` makes the state, ``update`` makes one step in place.

They differ only in the lines in which the papers differ; chapter 4 writes them out and compares them with Keras. Here
they work on one flat vector that holds all parameters, and reuse their memory, because they run once per mini-batch.

    >>> import numpy as np
    >>> w = np.array([2.0])
    >>> optimiser = sgd(learning_rate=0.1)
    >>> state = optimiser.init(w)
    >>> optimiser.update(w, 2 * (w - 1), state)
    >>> w
    array([1.8])
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

State = dict[str, Any]
_BLOCK = 16_384  # parameters at a time: the arrays of one block stay in the processor's cache


@dataclass(frozen=True)
class Optimiser:
    """Two functions. ``init(parameters)`` gives a state; ``update(parameters, gradient, state)`` changes the
    parameters (P,) and the state in place. Parameters and gradient have one shape and one floating type."""

    name: str
    init: Callable[[np.ndarray], State]
    update: Callable[[np.ndarray, np.ndarray, State], None]


def sgd(learning_rate: float) -> Optimiser:
    """Gradient descent: ``w = w - learning_rate * g``."""
    _positive("learning_rate", learning_rate)

    def step(w, g, s, state):
        np.multiply(g, learning_rate, out=s["scratch"])
        w -= s["scratch"]

    return _build("sgd", step, ())


def momentum(learning_rate: float, momentum: float = 0.9) -> Optimiser:
    """Gradient descent with momentum (Polyak 1964): ``v = momentum * v - learning_rate * g; w = w + v``."""
    _positive("learning_rate", learning_rate)
    _fraction("momentum", momentum)

    def step(w, g, s, state):
        np.multiply(g, learning_rate, out=s["scratch"])
        s["velocity"] *= momentum
        s["velocity"] -= s["scratch"]
        w += s["velocity"]

    return _build("momentum", step, ("velocity",))


def rmsprop(learning_rate: float = 0.001, rho: float = 0.9, epsilon: float = 1e-7) -> Optimiser:
    """RMSProp (Hinton 2012, lecture 6e): ``v = rho * v + (1 - rho) * g^2; w = w - learning_rate * g / sqrt(v + epsilon)``.

    As in Keras, epsilon stands inside the root.
    """
    _positive("learning_rate", learning_rate)
    _fraction("rho", rho)
    _positive("epsilon", epsilon)

    def step(w, g, s, state):
        scratch, v = s["scratch"], s["square"]
        np.multiply(g, g, out=scratch)
        scratch *= 1 - rho
        v *= rho
        v += scratch
        np.add(v, epsilon, out=scratch)
        np.sqrt(scratch, out=scratch)
        np.divide(g, scratch, out=scratch)
        scratch *= learning_rate
        w -= scratch

    return _build("rmsprop", step, ("square",))


def adam(learning_rate: float = 0.001, beta_1: float = 0.9, beta_2: float = 0.999, epsilon: float = 1e-7) -> Optimiser:
    """Adam (Kingma and Ba 2015, end of section 2): the two bias corrections are folded into the step size.

    ``m = beta_1 * m + (1 - beta_1) * g``; ``v = beta_2 * v + (1 - beta_2) * g^2``;
    ``w = w - learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``.
    As in Keras, epsilon is the paper's "epsilon hat": it is added before the correction.
    """
    _positive("learning_rate", learning_rate)
    _fraction("beta_1", beta_1)
    _fraction("beta_2", beta_2)
    _positive("epsilon", epsilon)

    def step(w, g, s, state):
        t, scratch, m, v = state["step"], s["scratch"], s["mean"], s["square"]
        m *= beta_1
        np.multiply(g, 1 - beta_1, out=scratch)
        m += scratch
        v *= beta_2
        np.multiply(g, g, out=scratch)
        scratch *= 1 - beta_2
        v += scratch
        np.sqrt(v, out=scratch)
        scratch += epsilon
        np.divide(m, scratch, out=scratch)
        scratch *= learning_rate * math.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        w -= scratch

    return _build("adam", step, ("mean", "square"))


def _build(name: str, step: Callable[..., None], arrays: tuple[str, ...]) -> Optimiser:
    """The skeleton: ``step(w, g, views of the state, state)`` is called for one block of parameters after the other."""

    def init(parameters: np.ndarray) -> State:
        if not np.issubdtype(parameters.dtype, np.floating):
            raise ValueError(f"{name}: parameters must be floating-point numbers, got {parameters.dtype}")
        return {"step": 0, **{a: np.zeros_like(parameters) for a in arrays}, "scratch": np.empty_like(parameters)}

    def update(parameters: np.ndarray, gradient: np.ndarray, state: State) -> None:
        size = state["scratch"].shape
        if not parameters.shape == gradient.shape == size:
            raise ValueError(f"{name}: shapes differ: parameters {parameters.shape}, gradient {gradient.shape}, state {size}")  # fmt: skip
        state["step"] += 1
        for start in range(0, len(parameters), _BLOCK):
            block = slice(start, start + _BLOCK)
            views = {a: state[a][block] for a in (*arrays, "scratch")}
            step(parameters[block], gradient[block], views, state)

    return Optimiser(name, init, update)


def _positive(name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive number, got {value}")


def _fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must lie in [0, 1), got {value}")
