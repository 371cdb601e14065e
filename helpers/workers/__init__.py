"""Programs that run in other processes: one worker each of a training that is spread over several.

They share one kind of job, a dict that travels as JSON: ``data`` (an ``.npz`` with ``x``, ``y`` and the first weights
``w0``, ``w1``, ...), ``folder`` (where results go), ``seed``, ``batch``, ``steps``, ``learning_rate``, ``momentum``, and
``every`` (a checkpoint after so many steps). So each engine trains the same network on the same mini-batches.
"""

from __future__ import annotations

import numpy as np


def rows(job: dict, step: int, examples: int) -> np.ndarray:
    """Which examples form mini-batch ``step``: it depends on the seed and the step only, not on who asks.

    Returns
    -------
    ndarray of int, shape (job["batch"],)
        Indices below ``examples``, all different.
    """
    return np.random.default_rng([job["seed"], step]).permutation(examples)[: job["batch"]]
