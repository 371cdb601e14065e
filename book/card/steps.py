"""Training steps of a Keras model on JAX or TensorFlow, with weights and data on the device, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

KINDS = ("step", "gradient", "forward")  # with Adam; without it; the loss alone


def trainer(backend: str, model: Any, loss: Callable) -> Trainer:
    """Whoever trains a model by steps; its weights last from one batch size to the next."""
    return (Jax if backend == "jax" else TensorFlow)(model, loss)


def wait(backend: str, value: Any) -> float:
    """The number, when the device has it: only then is the work done."""
    return float(np.asarray(value) if backend == "jax" else value.numpy())


def full_precision(backend: str, exact: bool) -> None:
    """Products of 32-bit numbers in full, or as the device likes them: TF32 on NVIDIA cards from Ampere on."""
    if backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest" if exact else None)
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(not exact)


def compiled(backend: str, function: Callable) -> Callable:
    """A function of arrays as one program of XLA."""
    if backend == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


class Trainer:
    """A model, its loss, and Adam.

    Parameters
    ----------
    model : keras.Model
        Built. Do not use its weights again: the trainer has them.
    loss : callable
        Of labels and outputs.
    """

    def __init__(self, model: Any, loss: Callable):
        import keras

        self.model, self.loss = model, loss
        self.optimizer = keras.optimizers.Adam(1e-4)
        self.optimizer.build(model.trainable_variables)
        self.compiled: dict[str, Callable] = {}

    def work(self, x: np.ndarray, y: np.ndarray, kind: str = "step", jit: bool = True) -> Callable[[], Any]:
        """A function that does one step, or a part of it, on this batch; it returns a number that is still on the device."""
        raise NotImplementedError


class Jax(Trainer):
    def __init__(self, model: Any, loss: Callable):
        import jax

        super().__init__(model, loss)
        groups = (model.trainable_variables, model.non_trainable_variables, self.optimizer.variables)
        self.held = [[jax.device_put(v.value) for v in variables] for variables in groups]

    def forward(self, trainable, fixed, state, x, y):
        outputs, _ = self.model.stateless_call(trainable, fixed, x, training=True)
        return self.loss(y, outputs)

    def gradient(self, trainable, fixed, state, x, y):
        import jax

        return jax.value_and_grad(self.forward)(trainable, fixed, state, x, y)

    def step(self, trainable, fixed, state, x, y):
        value, slopes = self.gradient(trainable, fixed, state, x, y)
        trainable, state = self.optimizer.stateless_apply(state, slopes, trainable)
        return value, trainable, state

    def work(self, x, y, kind="step", jit=True):
        import jax

        run = getattr(self, kind)
        if jit:
            run = self.compiled.setdefault(kind, jax.jit(run, donate_argnums=(0, 2) if kind == "step" else ()))
        x, y = jax.device_put(x), jax.device_put(y)

        def once():
            found = run(*self.held, x, y)
            if kind == "step":
                value, self.held[0], self.held[2] = found
                return value
            return found[0] if kind == "gradient" else found

        return once


class TensorFlow(Trainer):
    def forward(self, x, y):
        return self.loss(y, self.model(x, training=True))

    def gradient(self, x, y):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = self.forward(x, y)
        return value, tape.gradient(value, self.model.trainable_variables)

    def step(self, x, y):
        value, slopes = self.gradient(x, y)
        self.optimizer.apply(slopes, self.model.trainable_variables)
        return value

    def work(self, x, y, kind="step", jit=True):
        import tensorflow as tf

        run = getattr(self, kind)
        if jit:
            run = self.compiled.setdefault(kind, tf.function(run, jit_compile=True))
        x, y = tf.constant(x), tf.constant(y)
        return lambda: run(x, y)[0] if kind == "gradient" else run(x, y)


def piece(backend: str, model: Any, x: np.ndarray, slope: np.ndarray) -> Callable[[], Any]:
    """Forward and backward through a part of a network, compiled: slopes of the weights and of the input.

    Parameters
    ----------
    x, slope : ndarray
        Input, and the slope of the loss at the output, which a whole network would hand back.
    """
    from keras import ops

    held = [ops.cast(a, kind.dtype) for a, kind in zip((x, slope), (model.inputs[0], model.outputs[0]), strict=True)]
    if backend == "jax":
        import jax

        values, fixed = ([v.value for v in vs] for vs in (model.trainable_variables, model.non_trainable_variables))

        def through(values, x, slope):
            _, back = jax.vjp(lambda values, x: model.stateless_call(values, fixed, x)[0], values, x)
            slopes = back(slope)
            return slopes[1].ravel()[0], slopes

        run = jax.jit(through)
        return lambda: run(values, *held)[0]
    import tensorflow as tf

    @tf.function(jit_compile=True)
    def run(x, slope):
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = model(x)
        slopes = tape.gradient(outputs, [x, *model.trainable_variables], output_gradients=slope)
        return tf.reshape(slopes[0], [-1])[0], slopes

    return lambda: run(*held)[0]
