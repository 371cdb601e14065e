"""The door of functions that judge a classifier: arrays that make sense pass, others are refused with one sentence."""

from __future__ import annotations

import numpy as np


def finite(name: str, values: np.ndarray) -> np.ndarray:
    """The array as float64, shape (n,), not empty, without NaN or infinity; else ValueError."""
    values = np.asarray(values)
    if values.ndim != 1 or values.size == 0:
        raise ValueError(f"{name} must have one dimension and at least one entry, got shape {values.shape}")
    if not (np.issubdtype(values.dtype, np.number) or values.dtype == bool) or np.iscomplexobj(values):
        raise ValueError(f"{name} must hold numbers, got {values.dtype}")
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{name} holds NaN or infinity, first in row {int(np.argmin(np.isfinite(values)))}")
    return values.astype(np.float64)


def labels(name: str, values: np.ndarray, *, classes: int | None = None) -> np.ndarray:
    """The array as int64, shape (n,), with ``classes`` all in 0 to ``classes - 1``; probabilities are not labels."""
    numbers = finite(name, values)
    if not np.all(numbers == np.round(numbers)):
        wrong = numbers[numbers != np.round(numbers)][0]
        raise ValueError(f"{name} must hold labels (whole numbers), got {wrong:g}; probabilities are not labels")
    if classes is not None and (numbers.min() < 0 or numbers.max() >= classes):
        wrong = numbers[(numbers < 0) | (numbers >= classes)][0]
        raise ValueError(f"{name} holds the label {wrong:g}; with {classes} classes labels go from 0 to {classes - 1}")
    return numbers.astype(np.int64)


def binary(name: str, values: np.ndarray, *, both: bool = True) -> np.ndarray:
    """Labels that are all 0 or 1; with ``both`` each must occur."""
    found_labels = labels(name, values)
    found = np.unique(found_labels)
    if not set(found) <= {0, 1}:
        raise ValueError(f"{name} must hold 0 and 1, got the label {next(v for v in found if v not in (0, 1))}")
    if both and len(found) == 1:
        raise ValueError(f"{name} holds only the class {found[0]}; this needs examples of both")
    return found_labels


def same_length(**arrays: np.ndarray) -> None:
    """Refuse arrays of different lengths, and name them."""
    lengths = {name: len(a) for name, a in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError("lengths differ: " + ", ".join(f"{name} has {n}" for name, n in lengths.items()))
