"""Train the article's network on a folder of photographs, for hours, and keep the results as a receipt.

Run ``python -m book.photographs FOLDER RECEIPT.json``. FOLDER holds ``train``, ``validation`` and ``test`` with two class
folders each. Every finished run is written to the receipt at once, and an interrupted one goes on where it was. The test
set of a run is evaluated once, after its last epoch.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from book.files import write_atomically
from helpers import augment, folders
from helpers.datasets import DataError
from helpers.session import load_keras

SIZE, BATCH = 150, 32
# scale and offset of the pixels, first weights, peak of the learning rate, warm-up and cosine or constant, clipping
RECIPES = {
    "article": (1 / 255, 0.0, "glorot_uniform", 1e-3, "constant", None),
    "steady": (1 / 127.5, -1.0, "he_normal", 5e-4, "cosine", 1.0),
}
PLAN = [  # recipe, epochs, augmented
    ("article", 20, True),
    ("steady", 20, True),
    ("steady", 20, False),
    ("steady", 60, True),
]


def build(keras: Any, recipe: str, steps: int, epochs: int) -> Any:
    """The article's network, compiled; 3,453,121 parameters."""
    scale, offset, start, peak, schedule, clip = RECIPES[recipe]
    layers = keras.layers
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), layers.Rescaling(scale, offset)])
    for width in (32, 64, 128, 128):
        model.add(layers.Conv2D(width, 3, activation="relu", kernel_initializer=start))
        model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    model.add(layers.Dense(512, activation="relu", kernel_initializer=start))
    model.add(layers.Dense(1))
    rate: Any = peak
    if schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            peak / 100, decay_steps=(epochs - 2) * steps, warmup_target=peak, warmup_steps=2 * steps
        )
    model.compile(
        keras.optimizers.Adam(rate, global_clipnorm=clip),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.BinaryAccuracy(threshold=0.0, name="accuracy")],
    )
    return model


def train(keras: Any, sets: dict[str, folders.ImageSet], recipe: str, epochs: int, augmented: bool, seed: int,
          backup: Path) -> dict[str, Any]:  # fmt: skip
    """One run; returns its part of the receipt."""
    from helpers.batches import ImageBatches

    keras.utils.set_random_seed(seed)
    ranges = augment.ARTICLE if augmented else None
    data = ImageBatches(sets["train"].images, sets["train"].labels, batch_size=BATCH, seed=seed, ranges=ranges)
    model = build(keras, recipe, len(data), epochs)
    log = _Log(keras, backup / "log.json")
    held = sets["validation"].images.astype("float32"), sets["validation"].labels.astype("float32")[:, None]
    saver = keras.callbacks.BackupAndRestore(str(backup / "state"))
    callbacks = [data.follow(), log.callback, saver]
    model.fit(
        data,
        epochs=epochs,
        validation_data=held,
        validation_batch_size=100,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )
    entry: dict[str, Any] = {"recipe": recipe, "augmented": augmented, "seed": seed, "epochs": epochs}
    for split, images in sets.items():
        logits = model.predict(images.images.astype("float32"), batch_size=100, verbose=0)[:, 0]
        loss = float(np.mean(np.logaddexp(0, logits) - images.labels * logits))
        entry[split] = {"n": len(images), "right": int(((logits > 0) == images.labels).sum()), "loss": round(loss, 5)}
    rows = [log.rows[epoch] for epoch in range(1, epochs + 1)]
    entry["logged_accuracy"] = [row["accuracy"] for row in rows]
    entry["validation_accuracy"] = [row["val_accuracy"] for row in rows]
    entry["cpu_seconds_per_epoch"] = sorted(row["cpu"] for row in rows)[len(rows) // 2]
    return entry


class _Log:
    """Metrics per epoch in a small file, so that an interrupted run keeps its earlier epochs."""

    def __init__(self, keras: Any, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = {int(k): v for k, v in json.loads(path.read_text()).items()} if path.is_file() else {}
        self.start = time.process_time()
        self.callback = keras.callbacks.LambdaCallback(on_epoch_end=self._end)

    def _end(self, epoch: int, logs: dict[str, float]) -> None:
        now = time.process_time()
        self.rows[epoch + 1] = {k: round(float(v), 5) for k, v in logs.items()} | {"cpu": round(now - self.start, 1)}
        self.start = now
        write_atomically(self.path, json.dumps(self.rows))


def _processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m book.photographs", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds train, validation and test, each with two class folders")
    parser.add_argument("receipt", type=Path, help="JSON file to write; runs that it holds are not repeated")
    parser.add_argument("--what", default="photographs", help="one sentence about the photographs, kept in the receipt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args(arguments)
    try:
        sets = {split: folders.load(options.folder, split, size=SIZE, binary=True) for split in folders.SPLITS}
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    keras = load_keras(options.seeds[0])
    done = json.loads(options.receipt.read_text())["runs"] if options.receipt.is_file() else []
    for recipe, epochs, augmented in PLAN:
        for seed in options.seeds:
            if any(
                (r["recipe"], r["epochs"], r["augmented"], r["seed"]) == (recipe, epochs, augmented, seed) for r in done
            ):
                continue
            name = f"{recipe}-{epochs}-{'augmented' if augmented else 'plain'}-{seed}"
            backup = options.receipt.with_suffix(".runs") / name
            done.append(train(keras, sets, recipe, epochs, augmented, seed, backup))
            receipt = {
                "what": options.what,
                "date": datetime.date.today().isoformat(),
                "machine": _processor(),
                "made_by": "python -m book.photographs",
                "versions": {"python": platform.python_version()}
                | {n: importlib.metadata.version(n) for n in ("tensorflow", "keras", "numpy", "pillow", "scipy")},
                "notes": "",
                "runs": done,
            }
            write_atomically(options.receipt, json.dumps(receipt, indent=1) + "\n")
            print(f"{name}: test {done[-1]['test']['right']} of {done[-1]['test']['n']}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
