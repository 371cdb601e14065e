"""A worker of synchronous training. TF_CONFIG says which of how many it is."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

from helpers.workers import rows


def train(job):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # first: it connects the workers
    import keras

    me, workers = strategy.cluster_resolver.task_id, strategy.num_replicas_in_sync
    folder, data = Path(job["folder"]), np.load(job["data"])
    x, y, first = data["x"], data["y"], [data[f"w{k}"] for k in range(4)]
    with strategy.scope():  # variables made here exist once in each worker, and stay equal
        model = keras.Sequential([
            keras.Input(x.shape[1:]),
            keras.layers.Dense(first[0].shape[1], activation="relu"),
            keras.layers.Dense(first[2].shape[1]),
        ])  # fmt: skip
        model.set_weights(first)
        optimizer = keras.optimizers.SGD(job["learning_rate"], momentum=job["momentum"])
        optimizer.build(model.trainable_variables)
    state = model.variables + optimizer.variables

    def my_part(xb, yb):  # runs in each worker, on its part of the mini-batch
        with tf.GradientTape() as tape:
            logits = model(xb)
            each = keras.losses.sparse_categorical_crossentropy(yb, logits, from_logits=True)
            loss = tf.reduce_sum(each) / job["batch"]  # divided by the size of the whole batch
        gradient = tape.gradient(loss, model.trainable_variables)
        # The optimizer first adds up the gradients of all workers, then makes the step.
        optimizer.apply_gradients(zip(gradient, model.trainable_variables, strict=True))
        return loss

    @tf.function
    def one_step(xb, yb):
        return strategy.reduce("SUM", strategy.run(my_part, (xb, yb)), axis=None)

    checkpoint, start = folder / "checkpoint.npz", 0
    if checkpoint.exists():
        saved = np.load(checkpoint)
        start = int(saved["step"])
        for k, variable in enumerate(state):
            variable.assign(saved[f"v{k}"])
    for step in range(start, job["steps"]):
        if job.get("fault") == [me, step]:
            os.kill(os.getpid(), signal.SIGKILL)  # planted: no time to save anything
        mine = np.array_split(rows(job, step, len(x)), workers)[me]
        loss = float(one_step(tf.constant(x[mine]), tf.constant(y[mine])))
        heartbeat = {"worker": me, "step": step + 1, "loss": loss}
        print(json.dumps(heartbeat), flush=True)
        if me == 0 and (step + 1) % job["every"] == 0:
            arrays = {f"v{k}": np.array(v) for k, v in enumerate(state)}
            # Written aside, on the disk, then renamed: neither a killed process nor a power cut leaves half a checkpoint.
            with (folder / "new.npz").open("wb") as new:
                np.savez(new, step=step + 1, **arrays)
                new.flush()
                os.fsync(new.fileno())
            os.replace(folder / "new.npz", checkpoint)
    np.savez(folder / f"final_{me}.npz", *[np.array(v) for v in model.variables])


if __name__ == "__main__":
    train(json.loads(sys.argv[1]))
