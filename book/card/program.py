"""Measures in a process of its own: ``python program.py BACKEND SECONDS``; prints one line of JSON for each result.

It runs where only Keras, NumPy and the backend are installed.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
BACKEND, BUDGET = (sys.argv[1], float(sys.argv[2])) if len(sys.argv) == 3 else ("jax", 0.0)
os.environ["KERAS_BACKEND"] = BACKEND
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from book.card import models, steps  # noqa: E402
from book.card.rates import matmul, rate, said  # noqa: E402

PRECISIONS = ("bfloat16", "tf32", "float32")  # what the targets need comes first, if the time is short
GAIN = 1.03  # the batch is doubled as long as it brings so much
EAGER = 8  # without the compiler a step is taken to last so many times as long, until it is measured
WEIGHTS = (2, 1, 2, 4)  # how the time is shared out among the models
SWEEPS = 0.75  # share of the time for all sweeps; the rest is for ``fit`` and for the parts of the largest GPT
FIT = {"pictures": 2000, "epochs": 20}  # the article's training
PIPELINE = 2.0  # seconds for which the input pipeline is watched


def start(precision: str, name: str) -> steps.Trainer:
    import keras

    keras.backend.clear_session()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    steps.full_precision(BACKEND, precision == "float32")
    return steps.trainer(BACKEND, *models.build(name))


def one(trainer: steps.Trainer, setting: dict) -> dict:
    """A setting with its speed, or with the error that ended it."""
    name, batch = setting["model"], setting["batch"]
    try:
        work = trainer.work(*models.data(name, batch), jit=setting["jit"])
        began = time.perf_counter()
        steps.wait(BACKEND, work())
        first = time.perf_counter() - began
        seconds = rate(BACKEND, work)
    except Exception as error:
        return {**setting, "error": said(error)}
    return {
        **setting,
        "compile_seconds": max(first - seconds, 0.0),
        "step_seconds": seconds,
        "per_second": models.units(name, batch) / seconds,
        "teraflops": models.operations(name, batch) / seconds / 1e12,
    }


def skipped(setting: dict, needed: float, left: float) -> dict:
    return {**setting, "skipped": f"would take about {needed:,.0f} s, and {max(left, 0):,.0f} s were left"}


def sweep(name: str, precision: str, batch: int, until: float, reached: float):
    """Double the batch as long as that is faster, fits into memory and into the time; then once without the compiler.

    ``reached``: TFLOP/s of a product of matrices on this device.
    """
    setting = {"model": name, "precision": precision, "jit": True, "batch": batch}
    needed = 20 * models.operations(name, batch) / (1e12 * reached)  # ten steps at half that speed
    if (left := until - time.monotonic()) < needed:
        yield from (skipped({**setting, "jit": jit}, needed, left) for jit in (True, False))
        return
    trainer, best = start(precision, name), {}
    while True:
        began = time.monotonic()
        yield (found := one(trainer, setting))
        faster = found.get("per_second", 0) > GAIN * best.get("per_second", 0)
        best = max(best, found, key=lambda r: r.get("per_second", 0))
        setting = {**setting, "batch": 2 * setting["batch"]}
        if not faster:
            break
        if (needed := 2.5 * (time.monotonic() - began)) > (left := until - time.monotonic()):
            yield skipped(setting, needed, left)
            break
    if "per_second" not in best:
        return
    setting = {**setting, "jit": False, "batch": best["batch"]}
    needed, left = 4 * EAGER * best["step_seconds"], until - time.monotonic()
    if needed > max(left, 0.1 * BUDGET):
        yield skipped(setting, needed, left)
        return
    if "error" in found:  # it may have cost the trainer its weights
        del trainer
        trainer = start(precision, name)
    yield one(trainer, setting)


def fit(precision: str, batch: int, per_second: float, left: float) -> dict:
    """The article's training by ``fit``, pictures in memory; an epoch before it, which compiles, is timed apart."""
    import keras

    found = {"fit": precision, "batch": batch, **FIT, "seconds": None}
    wanted = FIT["pictures"] * (FIT["epochs"] + 1)
    if wanted / per_second > left:
        return {**found, "estimated_seconds": FIT["pictures"] * FIT["epochs"] / per_second}
    model = start(precision, models.NAMES[0]).model
    x, y = models.data(models.NAMES[0], FIT["pictures"])
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True), jit_compile=True)
    try:
        began = time.perf_counter()
        model.fit(x, y, batch_size=batch, verbose=0)
        first = time.perf_counter() - began
        began = time.perf_counter()
        model.fit(x, y, batch_size=batch, epochs=FIT["epochs"], verbose=0)
    except Exception as error:
        return {**found, "error": said(error)}
    return {**found, "first_epoch_seconds": first, "seconds": time.perf_counter() - began}


def pipeline(batch: int, training: float) -> dict:
    """Pictures per second that the mini-batches of chapter 6 deliver, each changed at random; ``training`` is what training takes."""
    from helpers import augment
    from helpers.batches import ImageBatches

    x, y = models.data(models.NAMES[0], FIT["pictures"])
    found = {"pipeline": "mini-batches of chapter 6", "batch": batch, "training_per_second": training}
    try:
        data = ImageBatches(x.astype("uint8"), y[:, 0], batch_size=batch, seed=0, ranges=augment.ARTICLE)
        data[0]  # compiles
        began, made = time.perf_counter(), 0
        while (seconds := time.perf_counter() - began) < PIPELINE or not made:
            made += len(data[made // batch % (len(data) - 1)][0])  # the last batch may be smaller
    except Exception as error:
        return {**found, "error": said(error)}
    return {**found, "per_second": made / seconds}


def parts(run: dict, left: float):
    """Where the time of a step goes: the step without some of its work, and parts of the network by themselves."""
    import numpy as np

    name, batch = run["model"], run["batch"]
    setting = {"of": name, "precision": run["precision"], "batch": batch}
    yield {**setting, "part": "whole step", "times": 1, "seconds": run["step_seconds"], "teraflops": run["teraflops"]}
    end = time.monotonic() + left
    trainer = start(run["precision"], name)
    for kind, label, share in (("gradient", "forward and backward", 1.0), ("forward", "forward", 1 / 3)):
        if (needed := 6 * run["step_seconds"] + run["compile_seconds"]) > end - time.monotonic():
            yield skipped({**setting, "part": label}, needed, end - time.monotonic())
            continue
        work = trainer.work(*models.data(name, batch), kind=kind)
        yield {**setting, "part": label, "times": 1, **timed(work, share * models.operations(name, batch))}
    del trainer
    rng, tokens = np.random.default_rng(0), models.units(name, batch)
    for label, (model, times, operations) in models.pieces(name).items():
        if (needed := 6 * run["step_seconds"] / times + run["compile_seconds"]) > end - time.monotonic():
            yield skipped({**setting, "part": label}, needed, end - time.monotonic())
            continue
        x, slope = (
            rng.standard_normal((batch, *t.shape[1:]), dtype="float32") for t in (model.inputs[0], model.outputs[0])
        )
        found = timed(steps.piece(BACKEND, model, x, slope), 3 * operations * tokens)
        if "seconds" in found:
            found["seconds"] *= times
        yield {**setting, "part": label, "times": times, **found}


def timed(work, operations: float) -> dict:
    try:
        steps.wait(BACKEND, work())
        seconds = rate(BACKEND, work)
    except Exception as error:
        return {"error": said(error)}
    return {"seconds": seconds, "teraflops": operations / seconds / 1e12}


def main() -> None:
    import keras

    begun = time.monotonic()
    say = lambda found: print(json.dumps(found), flush=True)  # noqa: E731
    card = any("cpu" not in name.lower() for name in keras.distribution.list_devices())
    names = ("keras", "numpy", *(("jax", "jaxlib") if BACKEND == "jax" else ("tensorflow",)))
    say({"card": card, "versions": {"python": platform.python_version(), **{name: version(name) for name in names}}})
    precisions = PRECISIONS if card else [p for p in PRECISIONS if p != "tf32"]
    reached = {}
    for precision in precisions:
        say(found := matmul(BACKEND, precision, card))
        reached[precision] = found["teraflops"]
    settings = [(p, *m) for p in precisions for m in zip(models.NAMES, WEIGHTS, strict=True)]
    best: dict = {}
    for k, (precision, name, weight) in enumerate(settings):
        now = time.monotonic()
        left = (begun + SWEEPS * BUDGET - now) * weight / sum(w for *_, w in settings[k:])  # the rest is shared out
        batch = 16 if models.is_cnn(name) else (8 if card else 2)
        for found in sweep(name, precision, batch, now + left, reached[precision]):
            say(found)
            if found["jit"] and found.get("per_second", 0) > best.get((name, precision), {}).get("per_second", 0):
                best[name, precision] = found
    cnn = max((r for (name, _), r in best.items() if models.is_cnn(name)), key=lambda r: r["per_second"], default=None)
    if cnn:
        say(pipeline(min(cnn["batch"], 128), cnn["per_second"]))
        say(fit(cnn["precision"], min(cnn["batch"], 128), cnn["per_second"], begun + BUDGET - time.monotonic()))
    largest = next((best[name, "bfloat16"] for name in reversed(models.NAMES[1:]) if (name, "bfloat16") in best), None)
    for found in parts(largest, begun + BUDGET - time.monotonic()) if largest else ():
        say(found)


if __name__ == "__main__":
    main()
