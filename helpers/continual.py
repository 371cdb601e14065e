"""What chapter 12 writes out, for everybody else: summaries of an accuracy matrix, a reservoir, detectors of change.

The chapter shows the same things one example at a time. The detectors here take whole streams at once, by cumulative
sums, so that a thousand streams without change can tell how often an alarm is false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def average_accuracy(matrix: np.ndarray) -> float:
    """Mean accuracy over all tasks after the last one (ACC of Lopez-Paz and Ranzato 2017).

    Parameters
    ----------
    matrix : ndarray, shape (T, T)
        ``matrix[i, j]`` is the accuracy on task j after learning the tasks 0 to i. Only ``j <= i`` is read; the rest
        may be NaN.

    Raises
    ------
    ValueError
        If the matrix is not square, is empty, or the part that is read holds something outside [0, 1].
    """
    return float(_checked(matrix)[-1].mean())


def backward_transfer(matrix: np.ndarray) -> float:
    """Mean change of the accuracy on the old tasks since each was learnt (BWT of Lopez-Paz and Ranzato 2017).

    Negative numbers mean forgetting. Parameters and errors as in :func:`average_accuracy`; at least two tasks.
    """
    matrix = _checked(matrix, least=2)
    return float(np.mean(matrix[-1, :-1] - np.diag(matrix)[:-1]))


def forgetting(matrix: np.ndarray) -> float:
    """Mean loss against the best accuracy that an old task ever had (F of Chaudhry et al. 2018).

    Never below ``-backward_transfer``, because the best is at least the first; negative if the last row is better than
    everything before. Parameters and errors as in :func:`average_accuracy`; at least two tasks.
    """
    matrix = _checked(matrix, least=2)
    best = [matrix[j:-1, j].max() for j in range(len(matrix) - 1)]
    return float(np.mean(best - matrix[-1, :-1]))


def _checked(matrix: np.ndarray, least: int = 1) -> np.ndarray:
    matrix = np.asarray(matrix, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < least:
        raise ValueError(f"an accuracy matrix has one row and one column per task, and at least {least} of them; got "
                         f"shape {matrix.shape}")  # fmt: skip
    known = matrix[np.tril_indices(len(matrix))]
    if not np.all((known >= 0) & (known <= 1)):
        wrong = known[~((known >= 0) & (known <= 1))][0]
        raise ValueError(f"accuracies on and below the diagonal lie in [0, 1], got {wrong}")
    return matrix


class Reservoir:
    """A uniform sample of everything that came by, without knowing how much will come (Vitter 1985, algorithm R).

    Parameters
    ----------
    size : int
        Number of items that are kept, at least 1.
    draw : callable
        ``draw(n)`` gives an integer from 0 to n - 1, each equally likely: ``numpy.random.default_rng(0).integers``.

    Attributes
    ----------
    items : list
        The sample: at most ``size`` items. After n items each of them is in it with probability ``min(1, size / n)``.
    seen : int
    """

    def __init__(self, size: int, draw: Callable[[int], int]):
        if size < 1 or int(size) != size:
            raise ValueError(f"a reservoir keeps a whole number of items, at least 1; got {size}")
        self.size, self.draw = int(size), draw
        self.items: list[Any] = []
        self.seen = 0

    def add(self, item: Any) -> None:
        """See one more item."""
        self.seen += 1
        if len(self.items) < self.size:
            self.items.append(item)
            return
        place = int(self.draw(self.seen))
        if place < self.size:
            self.items[place] = item


def page_hinkley(values: np.ndarray, slack: float) -> np.ndarray:
    """Statistic of the Page-Hinkley test for a rise of the mean, after each value (Page 1954).

    ``m[t] = sum over s <= t of (x[s] - mean(x[0..s]) - slack)``; the statistic is ``m[t]`` minus its lowest value so far.

    Parameters
    ----------
    values : ndarray, shape (n,) or (streams, n)
        For example 1 for a wrong answer and 0 for a right one, in the order of time.
    slack : float
        A rise of the mean by less than this is let pass; zero or positive.

    Returns
    -------
    ndarray, float64, as ``values``
        Zero or positive. Compare it with a threshold by :func:`first_alarm`.
    """
    if not slack >= 0:
        raise ValueError(f"the slack must be zero or positive, got {slack}")
    values = _stream(values)
    means = np.cumsum(values, axis=-1) / np.arange(1, values.shape[-1] + 1)
    total = np.cumsum(values - means - slack, axis=-1)
    return total - np.minimum.accumulate(np.minimum(total, 0), axis=-1)


def ddm(errors: np.ndarray, least: int = 30) -> np.ndarray:
    """Statistic of the drift detection method (Gama et al. 2004), after each answer.

    With the error share p so far and ``s = sqrt(p (1 - p) / n)``, the method remembers p and s where ``p + s`` was lowest.
    The statistic is ``(p + s - lowest p) / lowest s``; above 2 it warns, above 3 it says that the errors have risen.

    Parameters
    ----------
    errors : ndarray, shape (n,) or (streams, n)
        0 for right and 1 for wrong.
    least : int
        Before this many answers the statistic is 0, at least 1.

    Returns
    -------
    ndarray, float64, as ``errors``
        Infinite after the first error if there was none in the first ``least`` answers (the lowest s is then 0).
    """
    if least < 1:
        raise ValueError(f"least must be at least 1, got {least}")
    errors = _stream(errors)
    if not np.all((errors == 0) | (errors == 1)):
        raise ValueError("errors are 0 for a right and 1 for a wrong answer")
    n = np.arange(1, errors.shape[-1] + 1)
    p = np.cumsum(errors, axis=-1) / n
    s = np.sqrt(p * (1 - p) / n)
    level = np.where(n >= least, p + s, np.inf)
    newest = np.where(level < _before(np.minimum.accumulate(level, axis=-1)), n - 1, 0)
    lowest = np.maximum.accumulate(newest, axis=-1)  # place of the lowest level so far
    p_low, s_low = (np.take_along_axis(values, lowest, axis=-1) for values in (p, s))
    rise = p + s - p_low
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(s_low > 0, rise / s_low, np.where(rise > 0, np.inf, 0.0))
    return np.where(n >= least, ratio, 0.0)


def first_alarm(statistic: np.ndarray, threshold: float) -> np.ndarray:
    """Index of the first value above the threshold in each stream; ``n`` (one past the end) where there is none.

    Parameters
    ----------
    statistic : ndarray, shape (n,) or (streams, n)
    threshold : float

    Returns
    -------
    ndarray of int, shape () or (streams,)
    """
    above = np.asarray(statistic) > threshold
    return np.where(above.any(axis=-1), above.argmax(axis=-1), above.shape[-1])


def _before(values: np.ndarray) -> np.ndarray:
    """The values one step earlier; infinity before the first."""
    return np.concatenate([np.full((*values.shape[:-1], 1), np.inf), values[..., :-1]], axis=-1)


def _stream(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim not in (1, 2) or values.shape[-1] == 0 or not np.all(np.isfinite(values)):
        raise ValueError(f"a stream is a row of finite numbers, (n,) or (streams, n) with n of at least 1; got shape "
                         f"{values.shape}")  # fmt: skip
    return values
