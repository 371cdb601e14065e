"""Start of a notebook: profile, seed, device, and an import of Keras that does not flood the page."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from helpers import display

T = TypeVar("T", bound=dict[str, Any])
PROFILES = ("quick", "full")


def choose(profile: str, *, quick: T, full: T) -> T:
    """Pick the settings of a profile, and show both in one table so that a reader sees what changes.

    Parameters
    ----------
    profile : {"quick", "full"}
        ``quick`` is for two processor cores, ``full`` for a GPU workstation.
    quick, full : dict
        The same keys in the same order.

    Returns
    -------
    dict
        A copy of the chosen settings.

    Raises
    ------
    ValueError
        For another profile, or if the two tables name different settings.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile '{profile}'; choose one of {', '.join(PROFILES)}")
    if list(quick) != list(full):
        raise ValueError(f"the profiles name different settings: {list(quick)} and {list(full)}")
    rows = [{"setting": key.replace("_", " "), "quick": quick[key], "full": full[key]} for key in quick]
    display.table(rows, caption="Settings by profile", highlight=profile)
    return dict(quick if profile == "quick" else full)


def load_keras(seed: int) -> ModuleType:
    """Import Keras quietly, make its results repeatable, and print one line that says what runs where.

    Sets the seeds of Python, NumPy and the backend. On the TensorFlow backend it also asks for deterministic
    operations, and lets GPU memory grow with use so that several notebooks can share one card.

    Products of 32-bit numbers stay products of 32-bit numbers. NVIDIA cards from Ampere on would round their inputs to
    10 bits (TF32), and the book compares networks with their equals in NumPy far more finely. Set
    ``NVIDIA_TF32_OVERRIDE=1`` before the start to let them; child processes inherit the choice.

    Parameters
    ----------
    seed : int
        Not negative.

    Returns
    -------
    module
        ``keras``. The backend is chosen by ``KERAS_BACKEND`` (``tensorflow`` if unset).

    Notes
    -----
    TensorFlow writes start-up messages to file descriptor 2, where Python cannot filter them and where they would
    land in the page. They are discarded during the import and the first look at the devices only; errors are
    raised as exceptions and are not affected.
    """
    if seed < 0:
        raise ValueError(f"seed must be zero or positive, got {seed}")
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else every fit() prints a harmless line about data sets
    exact = os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0") == "0"  # read by the libraries of the card
    with silent_stderr():
        devices = _prepare_tensorflow() if backend == "tensorflow" else []
        import keras
    keras.utils.set_random_seed(seed)
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        tf.config.experimental.enable_tensor_float_32_execution(not exact)
        tf.get_logger().setLevel("ERROR")  # a chapter that builds several models would be told that this is slow
        engine = f"TensorFlow {tf.__version__}"
    else:
        engine = f"{backend} backend"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    device = ", ".join(devices) if devices else f"CPU ({cores} cores)"
    print(f"Keras {keras.__version__} on {engine}, Python {platform.python_version()}; {device}; seed {seed}.")
    return keras


def only_on(backend: str, because: str) -> bool:
    """Whether Keras works on this backend; if not, say in one line that a part of the notebook is left out, and why.

    Parameters
    ----------
    backend : str
        As in ``KERAS_BACKEND``: ``"tensorflow"``, ``"jax"``.
    because : str
        The reason, as a clause without a full stop: "the article's class is a part of TensorFlow".
    """
    import keras

    here = keras.backend.backend()
    if here != backend:
        print(f"Left out on the backend {here}: {because}.")
    return here == backend


def together(steps: int) -> int:
    """``steps_per_execution`` for ``compile``: so many steps in one call of the backend; one on PyTorch, where Keras has no more."""
    import keras

    return 1 if keras.backend.backend() == "torch" else steps


def devices() -> list[str]:
    """Names of the devices that Keras can use on its backend, such as ``"cpu:0"``."""
    import keras

    if keras.backend.backend() != "torch":
        return keras.distribution.list_devices()
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] + ["cpu:0"]


def _prepare_tensorflow() -> list[str]:
    """Names of the GPUs that TensorFlow sees, each set to take memory as needed."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard what native code writes to file descriptor 2, where Python cannot filter it. Exceptions are not affected."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
