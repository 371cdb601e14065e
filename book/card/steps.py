"""One training step of a Keras model on JAX or TensorFlow, with weights and data on the device, compiled or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def make(backend: str, model: Any, loss: Callable, x: np.ndarray, y: np.ndarray, jit: bool) -> Callable[[], Any]:
    """A function that does one step of Adam and returns the loss, still on the device; see :func:`wait`."""
    return (_jax if backend == "jax" else _tensorflow)(model, loss, x, y, jit)


def wait(backend: str, value: Any) -> float:
    """The number, when the device has it: only then is the step done."""
    return float(np.asarray(value) if backend == "jax" else value.numpy())


def full_precision(backend: str, exact: bool) -> None:
    """Products of 32-bit numbers in full precision, or as fast as the device can (TF32 on NVIDIA cards from Ampere on)."""
    if backend == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest" if exact else "tensorfloat32")
    else:
        import tensorflow as tf

        tf.config.experimental.enable_tensor_float_32_execution(not exact)


def _jax(model, loss, x, y, jit):
    import jax
    import keras

    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    x, y = jax.device_put(x), jax.device_put(y)

    def forward(trainable, fixed, x, y):
        outputs, fixed = model.stateless_call(trainable, fixed, x, training=True)
        return loss(y, outputs), fixed

    def step(trainable, fixed, state, x, y):
        (value, fixed), slopes = jax.value_and_grad(forward, has_aux=True)(trainable, fixed, x, y)
        trainable, state = optimizer.stateless_apply(state, slopes, trainable)
        return trainable, fixed, state, value

    run = jax.jit(step, donate_argnums=(0, 1, 2)) if jit else step
    held = [[jax.device_put(v.value) for v in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables, optimizer.variables)]  # fmt: skip

    def once():
        held[0], held[1], held[2], value = run(*held, x, y)
        return value

    return once


def _tensorflow(model, loss, x, y, jit):
    import keras
    import tensorflow as tf

    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(model.trainable_variables)
    x, y = tf.constant(x), tf.constant(y)

    def step():
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        optimizer.apply(tape.gradient(value, model.trainable_variables), model.trainable_variables)
        return value

    return tf.function(step, jit_compile=True) if jit else step
