"""Measures in a process of its own: ``python program.py BACKEND SECONDS``; prints one line of JSON for each result.

It runs where only Keras, NumPy and the backend are installed.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
BACKEND, BUDGET = (sys.argv[1], float(sys.argv[2])) if len(sys.argv) == 3 else ("jax", 0.0)
os.environ["KERAS_BACKEND"] = BACKEND
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np  # noqa: E402

from book.card import flops, steps  # noqa: E402
from helpers.language import build_gpt  # noqa: E402

CNN = {"size": 150, "widths": (32, 64, 128, 128), "dense": 512}  # chapter 6, full profile
VOCABULARY = 96
GPTS = {  # the full profile of chapter 7, then larger ones
    "GPT of chapter 7": {"context": 128, "width": 192, "heads": 6, "blocks": 4},
    "GPT, 85 million": {"context": 512, "width": 768, "heads": 12, "blocks": 12},
    "GPT, 604 million": {"context": 1024, "width": 2048, "heads": 16, "blocks": 12},
}
PRECISIONS = ("float32", "tf32", "bfloat16")
BLOCK, BLOCKS = 0.4, 5  # seconds of a timed block of steps, and how many
GAIN = 1.03  # the batch is doubled as long as it brings so much
FIT = {"pictures": 2000, "epochs": 20}  # the article's training


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


def task(name: str, batch: int):
    """Model, loss, data, and how many pictures or tokens a batch has."""
    import keras
    from keras import ops

    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    if name == "CNN of chapter 6":
        x = rng.uniform(0, 255, (batch, CNN["size"], CNN["size"], 3)).astype("float32")
        y = rng.integers(0, 2, (batch, 1)).astype("float32")
        loss = lambda y, z: ops.mean(ops.binary_crossentropy(y, z, from_logits=True))  # noqa: E731
        return build_cnn(**CNN), loss, x, y, batch
    shape = GPTS[name]
    model = build_gpt(VOCABULARY, shape["context"], shape["width"], shape["heads"], shape["blocks"], 0)
    x = rng.integers(0, VOCABULARY, (batch, shape["context"])).astype("int32")
    loss = lambda y, z: ops.mean(ops.sparse_categorical_crossentropy(y, ops.cast(z, "float32"), from_logits=True))  # noqa: E731
    return model, loss, x, np.roll(x, -1, axis=1), batch * shape["context"]


def operations(name: str, batch: int) -> int:
    """Operations of one training step."""
    if name == "CNN of chapter 6":
        return batch * flops.cnn_training(**CNN)
    shape = GPTS[name]
    return batch * shape["context"] * flops.gpt_training(VOCABULARY, shape["context"], shape["width"], shape["blocks"])


def rate(work, units: float) -> float:
    """Units per second: the median of blocks of steps; the device is waited for at the end of each block."""
    began = time.perf_counter()
    steps.wait(BACKEND, work())
    repeats = max(1, round(BLOCK / (time.perf_counter() - began)))
    rates = []
    for _ in range(BLOCKS if repeats > 1 else 2):
        began = time.perf_counter()
        for _ in range(repeats):
            value = work()
        steps.wait(BACKEND, value)
        rates.append(repeats * units / (time.perf_counter() - began))
    return statistics.median(rates)


def one(name: str, precision: str, jit: bool, batch: int) -> dict:
    """A measured setting, or the error that ended it."""
    import keras

    keras.backend.clear_session()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    steps.full_precision(BACKEND, precision == "float32")
    found = {"model": name, "precision": precision, "jit": jit, "batch": batch}
    try:
        model, loss, x, y, units = task(name, batch)
        work = steps.make(BACKEND, model, loss, x, y, jit)
        began = time.perf_counter()
        steps.wait(BACKEND, work())
        first = time.perf_counter() - began
        per_second = rate(work, units)
    except Exception as error:
        return {**found, "error": f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"}
    return {
        **found,
        "first_step_seconds": round(first, 3),
        "per_second": per_second,
        "teraflops": per_second / units * operations(name, batch) / 1e12,
    }


def sweep(name: str, precision: str, jit: bool, batch: int, until: float, reached: float):
    """Double the batch as long as that is faster, fits into memory and into the time; ``reached``: TFLOP/s of a product."""
    best = 0.0
    needed = (
        20 * operations(name, batch) / (1e12 * reached)
    )  # at half that speed, ten steps to compile, warm up and measure
    left = until - time.monotonic()
    if needed > left:
        setting = {"model": name, "precision": precision, "jit": jit, "batch": batch}
        yield {**setting, "skipped": f"would take about {needed:,.0f} s, and {max(left, 0):,.0f} s were left"}
        return
    while time.monotonic() < until:
        began = time.monotonic()
        found = one(name, precision, jit, batch)
        yield found
        if "error" in found or found["per_second"] < GAIN * best:
            return
        best, batch = max(best, found["per_second"]), 2 * batch
        if time.monotonic() + 3 * (time.monotonic() - began) > until:
            return


def matmul(precision: str, card: bool) -> dict:
    """The largest rate of one product of square matrices: what this device reaches at best."""
    from keras import ops

    steps.full_precision(BACKEND, precision == "float32")
    best, sizes = {}, (4096, 8192) if card else (1024, 2048)
    for n in sizes:
        kind = "bfloat16" if precision == "bfloat16" else "float32"
        a = ops.cast(np.random.default_rng(0).normal(size=(n, n)).astype("float32"), kind)
        product = _compiled(ops.matmul)
        per_second = rate(lambda a=a, product=product: product(a, a)[0, 0], 2 * n**3) / 1e12
        if per_second > best.get("teraflops", 0):
            best = {"matmul": precision, "n": n, "teraflops": per_second}
    return best


def _compiled(function):
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True)


def fit(precision: str, batch: int, per_second: float, left: float) -> dict:
    """The article's training by ``fit``, pictures in memory; its first epoch, which compiles, is timed apart."""
    import keras

    wanted = FIT["pictures"] * (FIT["epochs"] + 1)
    found = {"fit": precision, "batch": batch, **FIT}
    if wanted / per_second > left:
        return {**found, "seconds": None, "estimated_seconds": FIT["pictures"] * FIT["epochs"] / per_second}
    keras.backend.clear_session()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    model, _, x, y, _ = task("CNN of chapter 6", FIT["pictures"])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=True)
    model.fit(x, y, batch_size=batch, verbose=0)
    began = time.perf_counter()
    model.fit(x, y, batch_size=batch, epochs=FIT["epochs"], verbose=0)
    return {**found, "seconds": time.perf_counter() - began}


def main() -> None:
    import keras

    say = lambda found: print(json.dumps(found), flush=True)  # noqa: E731
    card = any("cpu" not in name.lower() for name in keras.distribution.list_devices())
    names = ("keras", "numpy", *(("jax", "jaxlib") if BACKEND == "jax" else ("tensorflow",)))
    say({"card": card, "versions": {"python": platform.python_version(), **{name: version(name) for name in names}}})
    precisions = PRECISIONS if card else ("float32", "bfloat16")
    start = time.monotonic()
    reached = {}
    for precision in precisions:
        found = matmul(precision, card)
        reached[precision] = found["teraflops"]
        say(found)
    models = ["CNN of chapter 6", *GPTS]
    settings = [(m, p, jit) for jit in (True, False) for m in models for p in precisions]
    best: dict = {}
    for k, (name, precision, jit) in enumerate(settings):
        now = time.monotonic()
        share = (start + 0.8 * BUDGET - now) / (len(settings) - k)  # what others did not use is shared out
        for found in sweep(
            name, precision, jit, 16 if name.startswith("CNN") else (8 if card else 2), now + share, reached[precision]
        ):
            say(found)
            if name.startswith("CNN") and jit and found.get("per_second", 0) > best.get("per_second", 0):
                best = found
    if best:
        say(fit(best["precision"], min(best["batch"], 128), best["per_second"], start + BUDGET - time.monotonic()))


if __name__ == "__main__":
    main()
