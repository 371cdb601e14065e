"""Honest evaluation: a test set that opens once, and numbers that carry their uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


class TestSetOpened(RuntimeError):
    """The test set was opened a second time, or its arrays were asked for before it was opened."""

    __test__ = False  # not a pytest class


class TestSet:
    """Keeps the test set away until the one moment it is for.

    Choosing a model, a threshold or a stopping epoch on the test set makes its result too good. So the arrays are
    handed out by :meth:`open`, once per run; a second call is an error.

    Parameters
    ----------
    x, y : ndarray
        Inputs of shape (n, ...) and labels of shape (n, ...), the same n, not empty.
    name : str
        Used in messages.

    Examples
    --------
    >>> test_set = TestSet(x_test, y_test, name="MNIST test set")
    >>> x_test, y_test = test_set.open("final comparison of the two models chosen on validation data")
    """

    __test__ = False  # not a pytest class

    def __init__(self, x: np.ndarray, y: np.ndarray, *, name: str = "test set"):
        if len(x) == 0 or len(x) != len(y):
            raise ValueError(
                f"{name}: inputs and labels must be non-empty and of one length, got {len(x)} and {len(y)}"
            )
        self._arrays: tuple[np.ndarray, np.ndarray] | None = (x, y)
        self._n = len(x)
        self.name = name
        self.opened_for: str | None = None

    def __len__(self) -> int:
        return self._n

    def __repr__(self) -> str:
        state = f"opened for: {self.opened_for}" if self.opened_for else "closed"
        return f"<{self.name}, {self._n:,} examples, {state}>"

    def open(self, purpose: str) -> tuple[np.ndarray, np.ndarray]:
        """Hand out the arrays, once, and print what for.

        Raises
        ------
        TestSetOpened
            On the second call.
        """
        if self._arrays is None:
            raise TestSetOpened(f"The {self.name} was already opened for: {self.opened_for}. A second look would turn it "
                                "into validation data; evaluate everything in the one opening.")  # fmt: skip
        if not purpose.strip():
            raise ValueError("say what the test set is opened for")
        arrays, self._arrays, self.opened_for = self._arrays, None, purpose
        print(f"Opened once: {self.name}, {self._n:,} examples, for: {purpose}.")
        return arrays


def wilson_interval(successes: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval for a proportion (Wilson 1927, JASA 22, 209-212).

    Parameters
    ----------
    successes, n : int
        For an accuracy: the number right, and the number of test examples; ``0 <= successes <= n``, ``n >= 1``.
    confidence : float
        Between 0 and 1, exclusive.

    Returns
    -------
    low, high : float
        Within [0, 1]. Unlike ``p ± 1.96 * sqrt(p(1-p)/n)`` it stays there when p is near 0 or 1.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"need 0 <= successes <= n and n >= 1, got successes={successes}, n={n}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return low, high


@dataclass(frozen=True)
class Spread:
    """Mean and spread of one result over seeds. Prints as ``0.9781 ± 0.0012 (3 seeds)``."""

    values: tuple[float, ...]
    mean: float
    std: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.std:.4f} ({len(self.values)} seeds)"


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation (divisor n - 1) of results of at least two seeds.

    Raises
    ------
    ValueError
        For fewer than two values, or a value that is not finite.
    """
    results = tuple(float(v) for v in values)
    if len(results) < 2:
        raise ValueError(f"a spread needs at least two seeds, got {len(results)}")
    if not all(math.isfinite(v) for v in results):
        raise ValueError(f"results must be finite numbers, got {list(results)}")
    return Spread(results, float(np.mean(results)), float(np.std(results, ddof=1)))
