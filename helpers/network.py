"""The reference network: dense layers in NumPy, with every gradient written out.

Chapter 3 derives what stands here, and proves it; later chapters use it. Examples are rows, so a layer computes
``z = a @ W + b`` with ``W`` of shape (inputs, outputs), as in Keras.

==================  =====================================  =================================================
array               shape                                  equation (Rumelhart, Hinton and Williams 1986)
==================  =====================================  =================================================
``a[0] = x``        (n, inputs)
``z[l]``            (n, width of layer l)                  ``a[l-1] @ W[l] + b[l]``
``a[l]``            (n, width of layer l)                  ``f(z[l])``
``delta[L]``        (n, outputs)                           ``dL/dz[L]``, from the loss
``delta[l]``        (n, width of layer l)                  ``(delta[l+1] @ W[l+1].T) * f'(z[l])``
``dW[l], db[l]``    as ``W[l]``, ``b[l]``                  ``a[l-1].T @ delta[l]``, ``delta[l].sum(axis=0)``
==================  =====================================  =================================================

The mean over the mini-batch is part of the loss, so ``delta[L]`` carries the factor 1/n and nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from helpers.optimisers import Optimiser

_SMALL = 1 << 25  # products per mini-batch; below, several threads wait for each other longer than they compute


# --- activations: the function, and its slope beside it -------------------------------------------------------------
@dataclass(frozen=True)
class Activation:
    """``forward(z)`` gives ``a``; ``slope(a)`` gives ``da/dz``, written with ``a`` because it is at hand."""

    forward: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]


def sigmoid(z: np.ndarray) -> np.ndarray:
    """``1 / (1 + exp(-z))`` by the identity with tanh, which cannot overflow. Any shape, real or complex."""
    return 0.5 * (1 + np.tanh(0.5 * z))


def softmax(z: np.ndarray) -> np.ndarray:
    """``exp(z) / sum(exp(z))`` over the last axis. The shift by the maximum cancels and prevents overflow."""
    e = np.exp(z - z.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


ACTIVATIONS = {
    "linear": Activation(lambda z: z, np.ones_like),
    "sigmoid": Activation(sigmoid, lambda a: a * (1 - a)),
    "tanh": Activation(np.tanh, lambda a: 1 - a * a),
    "relu": Activation(lambda z: z * (z.real > 0), lambda a: (a.real > 0).astype(a.dtype)),  # slope 0 at 0, as Keras
}


# --- losses: the value, and its gradient beside it ------------------------------------------------------------------
@dataclass(frozen=True)
class Loss:
    """``value(z, a, y)`` is the mean loss of a batch; ``delta(z, a, y)`` is its gradient with respect to z, (n, k)."""

    value: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
    delta: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def _squared_error(output: Activation) -> Loss:
    return Loss(
        lambda z, a, y: ((a - y) ** 2).mean(),
        lambda z, a, y: 2 / a.size * (a - y) * output.slope(a),
    )


_BINARY = Loss(  # -y log a - (1 - y) log(1 - a) with a = sigmoid(z), in the form that cannot overflow
    lambda z, a, y: (z * (z.real > 0) - z * y + np.log1p(np.exp(np.where(z.real > 0, -z, z)))).mean(),
    lambda z, a, y: (a - y) / a.size,
)
_CATEGORICAL = Loss(  # -sum_k y_k log a_k with a = softmax(z)
    lambda z, a, y: (-(y * (z - _log_sum_exp(z))).sum(axis=-1)).mean(),
    lambda z, a, y: (a - y) / len(a),
)
OUTPUTS = {"mean_squared_error": tuple(ACTIVATIONS), "binary_crossentropy": ("sigmoid",),
           "categorical_crossentropy": ("softmax",)}  # fmt: skip


def _log_sum_exp(z: np.ndarray) -> np.ndarray:
    top = z.real.max(axis=-1, keepdims=True)
    return top + np.log(np.exp(z - top).sum(axis=-1, keepdims=True))


# --- the network ----------------------------------------------------------------------------------------------------
class Network:
    """A dense network with one loss.

    Parameters
    ----------
    sizes : sequence of int
        Inputs, width of each hidden layer, outputs: ``(784, 128, 10)``.
    activations : sequence of str
        One per layer: "linear", "sigmoid", "tanh", "relu"; the last may be "softmax".
    loss : {"mean_squared_error", "binary_crossentropy", "categorical_crossentropy"}
        The two cross-entropies need a last layer "sigmoid" or "softmax" and are computed from ``z``. As in Keras, squared
        error and binary cross-entropy are means over examples and outputs.
    seed : int
        Weights are Glorot uniform (Glorot and Bengio 2010, equation 16): ``U(-r, r)``, ``r = sqrt(6 / (in + out))``;
        biases are zero.
    dtype : str
        "float32" or "float64".

    Attributes
    ----------
    vector : ndarray, shape (P,)
        All parameters in one array.
    parameters : list of ndarray
        ``[W1, b1, W2, b2, ...]``, views into ``vector``, in the order and shapes of Keras' ``get_weights()``.

    Examples
    --------
    >>> network = Network((2, 3, 1), ("tanh", "sigmoid"), "binary_crossentropy", seed=0)
    >>> network.vector.size
    13
    """

    def __init__(
        self, sizes: Sequence[int], activations: Sequence[str], loss: str, *, seed: int = 0, dtype: str = "float32"
    ):
        self.sizes, self.activations, self.loss_name = tuple(sizes), tuple(activations), loss
        _check_architecture(self.sizes, self.activations, loss, dtype)
        self.vector = np.zeros(sum(i * o + o for i, o in pairwise(self.sizes)), dtype)
        self.parameters = self._views(self.vector)
        rng = np.random.default_rng(seed)
        for weights in self.parameters[::2]:
            limit = np.sqrt(6 / sum(weights.shape))
            weights[...] = rng.uniform(-limit, limit, weights.shape)
        self._hidden = [ACTIVATIONS[name] for name in self.activations[:-1]]
        last = self.activations[-1]
        self._output = softmax if last == "softmax" else ACTIVATIONS[last].forward
        self._loss = {"binary_crossentropy": _BINARY, "categorical_crossentropy": _CATEGORICAL}.get(
            loss
        ) or _squared_error(ACTIVATIONS[last])

    def set_parameters(self, arrays: Sequence[np.ndarray]) -> None:
        """Copy weights and biases in, for example those of ``keras_model.get_weights()``.

        Raises
        ------
        ValueError
            If number or shapes differ, or a value is not finite; nothing is changed then.
        """
        wanted, given = [p.shape for p in self.parameters], [np.shape(a) for a in arrays]
        if wanted != given:
            raise ValueError(f"the network has parameters of shapes {wanted}, got {given}")
        if not all(np.all(np.isfinite(a)) for a in arrays):
            raise ValueError("the new parameters hold NaN or infinity")
        for own, new in zip(self.parameters, arrays, strict=True):
            own[...] = new

    def logits(self, x: np.ndarray) -> np.ndarray:
        """``z`` of the last layer, (n, outputs), for inputs (n, inputs)."""
        return self._forward(self._check_inputs(x))[1]

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Output of the last layer, (n, outputs), for inputs (n, inputs)."""
        return self._output(self.logits(x))

    def loss(self, x: np.ndarray, y: np.ndarray) -> float:
        """Mean loss of a batch. For ``y`` see :meth:`gradients`."""
        x, y = self._check_batch(x, y)
        z = self._forward(x)[1]
        return float(self._loss.value(z, self._output(z), y))

    def gradients(self, x: np.ndarray, y: np.ndarray) -> tuple[float, list[np.ndarray]]:
        """Mean loss of a batch, and its gradient with respect to each parameter.

        Parameters
        ----------
        x : ndarray, shape (n, inputs)
            Floating-point numbers, finite.
        y : ndarray
            Integer labels (n,) under a softmax; otherwise targets (n, outputs). Targets of a cross-entropy lie in [0, 1];
            those of a softmax sum to 1 in each row.

        Returns
        -------
        loss : float
        gradients : list of ndarray
            In the order and shapes of :attr:`parameters`.

        Raises
        ------
        ValueError
            For an empty batch, shapes that do not fit, integer images, NaN, labels or targets out of range.
        """
        x, y = self._check_batch(x, y)
        gradient = np.empty_like(self.vector)
        views = self._views(gradient)
        return float(self._backward(x, y, views)), views

    def fit(
        self, x: np.ndarray, y: np.ndarray, optimiser: Optimiser, *, epochs: int, batch_size: int = 32, seed: int = 0,
        shuffle: bool = True,
    ) -> list[float]:  # fmt: skip
        """Train. Each epoch visits every example once, in mini-batches; a short last batch is kept.

        Parameters
        ----------
        x, y : ndarray
            As in :meth:`gradients`.
        optimiser : Optimiser
            From :mod:`helpers.optimisers`. Its state starts anew with each call.
        seed : int
            Of the order of the examples, drawn anew for each epoch if ``shuffle``.

        Returns
        -------
        list of float
            For each epoch the mean over examples of the loss, measured before each step.

        Raises
        ------
        ValueError
            For bad input as in :meth:`gradients`, or a loss that is no longer finite. The parameters are then restored.
        """
        x, y = self._check_batch(x, y)
        for name, value in (("epochs", epochs), ("batch_size", batch_size)):
            if value < 1 or int(value) != value:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value}")
        kept, state, rng = self.vector.copy(), optimiser.init(self.vector), np.random.default_rng(seed)
        gradient, history = np.empty_like(self.vector), []
        threads = 1 if min(batch_size, len(x)) * self.vector.size < _SMALL else None
        for epoch in range(epochs):
            order = rng.permutation(len(x)) if shuffle else np.arange(len(x))
            with threadpool_limits(threads, user_api="blas"):
                history.append(self._epoch(x, y, order, batch_size, gradient, optimiser, state))
            if not (np.isfinite(history[-1]) and np.all(np.isfinite(self.vector))):
                self.vector[:] = kept
                raise ValueError(f"the loss is no longer a number in epoch {epoch + 1}; lower the learning rate. "
                                 "The parameters are as before the call")  # fmt: skip
        return history

    # -- what runs per mini-batch; nothing is checked here
    def _epoch(self, x, y, order, batch_size, gradient, optimiser, state) -> float:
        """One visit of every example, in the given order; returns the mean loss."""
        views, total = self._views(gradient), 0.0
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            total += float(self._backward(x[rows], y[rows], views)) * len(rows)
            optimiser.update(self.vector, gradient, state)
        return total / len(order)

    def _forward(self, x: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Inputs of every layer ``[a0, a1, ...]``, and z of the last layer."""
        a, inputs = x, []
        for k, (weights, bias) in enumerate(zip(self.parameters[::2], self.parameters[1::2], strict=True)):
            inputs.append(a)
            z = a @ weights
            z += bias
            if k < len(self._hidden):
                a = self._hidden[k].forward(z)
        return inputs, z

    def _backward(self, x: np.ndarray, y: np.ndarray, out: list[np.ndarray]) -> np.ndarray:
        """Write all gradients into ``out`` (before any parameter changes) and return the loss."""
        inputs, z = self._forward(x)
        a = self._output(z)
        delta = self._loss.delta(z, a, y)
        for k in range(len(inputs) - 1, -1, -1):
            np.matmul(inputs[k].T, delta, out=out[2 * k])
            np.sum(delta, axis=0, out=out[2 * k + 1])
            if k > 0:
                delta = (delta @ self.parameters[2 * k].T) * self._hidden[k - 1].slope(inputs[k])
        return self._loss.value(z, a, y)

    def _views(self, vector: np.ndarray) -> list[np.ndarray]:
        views, start = [], 0
        for i, o in pairwise(self.sizes):
            views.append(vector[start : start + i * o].reshape(i, o))
            views.append(vector[start + i * o : start + i * o + o])
            start += i * o + o
        return views

    # -- the door
    def _check_inputs(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.sizes[0]:
            hint = "; reshape with x.reshape(len(x), -1)" if x.ndim > 2 else ""
            raise ValueError(f"x has shape {x.shape}, the network expects (n, {self.sizes[0]}){hint}")
        if len(x) == 0:
            raise ValueError("the batch is empty: x holds no examples")
        if not np.issubdtype(x.dtype, np.floating):
            raise ValueError(f"x holds {x.dtype} numbers up to {x.max()}; scale it first, for images: "
                             "x.astype('float32') / 255")  # fmt: skip
        _check_finite("x", x)
        return x.astype(self.vector.dtype, copy=False)

    def _check_batch(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x, y = self._check_inputs(x), np.asarray(y)
        n, k = len(x), self.sizes[-1]
        if self.loss_name == "categorical_crossentropy" and y.ndim == 1 and np.issubdtype(y.dtype, np.integer):
            if len(y) != n:
                raise ValueError(f"x holds {n} examples, y holds {len(y)} labels")
            if y.min() < 0 or y.max() >= k:
                wrong = y[(y < 0) | (y >= k)][0]
                raise ValueError(f"label {wrong} is out of range: with {k} outputs labels go from 0 to {k - 1}")
            return x, np.eye(k, dtype=self.vector.dtype)[y]
        if y.shape != (n, k):
            raise ValueError(f"y has shape {y.shape}, the network expects ({n}, {k})" + (
                f" or integer labels of shape ({n},)" if self.loss_name == "categorical_crossentropy" else ""))  # fmt: skip
        y = y.astype(self.vector.dtype, copy=False)
        _check_finite("y", y)
        if self.loss_name != "mean_squared_error":
            if y.min() < 0 or y.max() > 1:
                raise ValueError(f"targets of a cross-entropy lie in [0, 1], got {y.min():g} to {y.max():g}")
            if self.loss_name == "categorical_crossentropy" and np.abs(y.sum(axis=1) - 1).max() > 1e-3:
                row = int(np.abs(y.sum(axis=1) - 1).argmax())
                raise ValueError(f"each row of y must sum to 1, row {row} sums to {y[row].sum():g}")
        return x, y


def _check_architecture(sizes: tuple[int, ...], activations: tuple[str, ...], loss: str, dtype: str) -> None:
    if len(sizes) < 2 or any(int(s) != s or s < 1 for s in sizes):
        raise ValueError(f"sizes must be at least two whole numbers of at least 1, got {sizes}")
    if len(activations) != len(sizes) - 1:
        raise ValueError(f"{len(sizes) - 1} layers need as many activations, got {activations}")
    if loss not in OUTPUTS:
        raise ValueError(f"unknown loss '{loss}'; choose one of {', '.join(OUTPUTS)}")
    for name in activations[:-1]:
        if name not in ACTIVATIONS:
            raise ValueError(f"unknown activation '{name}' of a hidden layer; choose one of {', '.join(ACTIVATIONS)}")
    if activations[-1] not in OUTPUTS[loss]:
        raise ValueError(f"the loss {loss} needs a last layer {' or '.join(OUTPUTS[loss])}, got '{activations[-1]}'")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, got {dtype}")


def _check_finite(name: str, array: np.ndarray) -> None:
    if not (np.isfinite(array.min()) and np.isfinite(array.max())):  # NaN passes through both
        finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
        raise ValueError(f"{name} holds NaN or infinity, first in row {int(np.argmin(finite))}")
