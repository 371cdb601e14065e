"""A worker of synchronous training with Keras on JAX: ``fit`` as ever. Arguments: job, address, number, how many."""

import json
import os
import sys
from pathlib import Path

import numpy as np

from helpers.workers import rows


def train(job, address, me, workers):
    os.environ["KERAS_BACKEND"], os.environ["JAX_PLATFORMS"] = "jax", "cpu"  # before Keras is imported
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")  # how processors exchange arrays
    import keras

    keras.distribution.initialize(job_addresses=address, num_processes=workers, process_id=me)
    keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
    data = np.load(job["data"])
    x, y, first = data["x"], data["y"], [data[f"w{k}"] for k in range(4)]
    model = keras.Sequential([
        keras.Input(x.shape[1:]),
        keras.layers.Dense(first[0].shape[1], activation="relu"),
        keras.layers.Dense(first[2].shape[1]),
    ])  # fmt: skip
    model.set_weights(first)
    model.compile(
        keras.optimizers.SGD(job["learning_rate"], momentum=job["momentum"]),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    mine = [np.array_split(rows(job, step, len(x)), workers)[me] for step in range(job["steps"])]
    mine = np.concatenate(mine)  # this worker's part of each mini-batch, one after the other
    history = model.fit(x[mine], y[mine], batch_size=job["batch"] // workers, epochs=1, shuffle=False, verbose=0)
    print(json.dumps({"worker": me, "step": job["steps"], "loss": history.history["loss"][0]}), flush=True)
    np.savez(Path(job["folder"]) / f"final_{me}.npz", *model.get_weights())


if __name__ == "__main__":
    train(json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
