"""Numbers about a classifier that carry their doubt, or that a decision can use.

Chapter 13 writes each of these out and shows it equal to a second way. What scikit-learn offers in the same form
(accuracy, F1, AUC) is not repeated here. All functions refuse input that would give a number without a meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers import inputs


@dataclass(frozen=True)
class Comparison:
    """Two models on the same examples: how many only one of them got right, and the exact p-value of McNemar's test."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar_exact(y: np.ndarray, first: np.ndarray, second: np.ndarray, *, classes: int | None = None) -> Comparison:
    """Exact test of "both models are right equally often" on the same examples (McNemar 1947, Psychometrika 12, 153-157).

    Examples on which both are right, or both wrong, say nothing. If the models are equally good, each of the others is
    a fair coin: the p-value is two-sided and binomial, so it also holds for few examples.

    Parameters
    ----------
    y, first, second : ndarray of int, shape (n,)
        True labels, and the answers (labels, not probabilities) of the two models.
    classes : int, optional
        If given, all labels must lie in 0 to ``classes - 1``.

    Raises
    ------
    ValueError
        For empty arrays, other shapes, lengths that differ, numbers that are not labels, or labels outside of the classes.
    """
    arrays = {"y": y, "first": first, "second": second}
    y, first, second = (inputs.labels(name, a, classes=classes) for name, a in arrays.items())
    inputs.same_length(y=y, first=first, second=second)
    b = int(np.sum((first == y) & (second != y)))
    c = int(np.sum((first != y) & (second == y)))
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    return Comparison(b, c, min(1.0, float(2 * tail / 2 ** (b + c))))  # whole numbers until the last division


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: np.ndarray,
    resamples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
    strata: np.ndarray | None = None,
) -> tuple[float, float]:
    """Percentile interval of ``statistic(*arrays)`` from examples drawn again with replacement (Efron 1979, Annals of
    Statistics 7, 1-26).

    Parameters
    ----------
    statistic : callable
        Takes the resampled arrays and returns one finite number.
    *arrays : ndarray, shape (n, ...)
        Examples along the first axis; the same rows are drawn from all of them.
    resamples : int
        At least 100.
    strata : ndarray of int, shape (n,), optional
        Draw within each of these classes, so that their sizes stay. Needed where a rare class could vanish.

    Returns
    -------
    low, high : float

    Raises
    ------
    ValueError
        For empty arrays, lengths that differ, settings out of range, or a statistic that is not a finite number.
    """
    if not arrays:
        raise ValueError("give at least one array of examples")
    arrays = tuple(np.asarray(a) for a in arrays)
    if any(a.ndim == 0 or len(a) == 0 for a in arrays):
        raise ValueError("an array of examples is empty")
    groups = np.zeros(len(arrays[0]), int) if strata is None else inputs.labels("strata", strata)
    inputs.same_length(strata=groups, **{f"array {k + 1}": a for k, a in enumerate(arrays)})
    if resamples < 100 or not 0 < confidence < 1:
        raise ValueError(f"need resamples >= 100 and 0 < confidence < 1, got {resamples} and {confidence}")
    rng, members = np.random.default_rng(seed), [np.flatnonzero(groups == g) for g in np.unique(groups)]
    values = np.empty(resamples)
    for k in range(resamples):
        rows = np.concatenate([rng.choice(m, len(m)) for m in members])
        values[k] = statistic(*(a[rows] for a in arrays))
    if not np.all(np.isfinite(values)):
        raise ValueError(f"the statistic is not a finite number in {np.sum(~np.isfinite(values))} of {resamples} "
                         "resamples; draw within the classes with strata=...")  # fmt: skip
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True)
class Calibration:
    """Expected calibration error, and what it sums: arrays with one entry for each bin that holds an example."""

    error: float
    count: np.ndarray
    probability: np.ndarray
    frequency: np.ndarray


def calibration_error(outcome: np.ndarray, probability: np.ndarray, bins: int = 15) -> Calibration:
    """Mean over examples of ``|frequency - probability|`` of their bin (Guo et al. 2017, equation 3).

    Parameters
    ----------
    outcome : ndarray of 0 and 1, shape (n,)
        Whether it happened. For the confidence of a classifier: whether its answer is right.
    probability : ndarray, shape (n,)
        What was said before, in [0, 1].
    bins : int
        Number of bins of equal width; the last one includes 1.

    Notes
    -----
    With few examples per bin the error of a perfectly calibrated model is far from zero: compare with a simulation.
    """
    outcome, probability = inputs.binary("outcome", outcome, both=False), inputs.finite("probability", probability)
    inputs.same_length(outcome=outcome, probability=probability)
    if probability.min() < 0 or probability.max() > 1:
        raise ValueError(f"probabilities lie in [0, 1], got {probability.min():g} to {probability.max():g}")
    if bins < 1:
        raise ValueError(f"bins must be at least 1, got {bins}")
    of_bin = np.minimum((probability * bins).astype(int), bins - 1)
    count, said, happened = (np.bincount(of_bin, w, minlength=bins) for w in (None, probability, outcome.astype(float)))
    used = count > 0
    error = float(np.abs(happened - said).sum() / len(outcome))
    return Calibration(error, count[used], said[used] / count[used], happened[used] / count[used])


@dataclass(frozen=True)
class Threshold:
    """Call positive what scores at least ``threshold``; the counts and the total cost are those of the data given."""

    threshold: float
    cost: float
    false_alarms: int
    misses: int


def cost_threshold(y: np.ndarray, score: np.ndarray, *, false_alarm: float, miss: float) -> Threshold:
    """The threshold with the lowest total cost on these examples; the highest one of several.

    Parameters
    ----------
    y : ndarray of 0 and 1, shape (n,)
        Both classes must occur.
    score : ndarray, shape (n,)
        Higher means more likely positive. Infinity as threshold means: call nothing positive.
    false_alarm, miss : float
        Positive costs of one false positive and of one false negative.
    """
    y, score = inputs.binary("y", y), inputs.finite("score", score)
    inputs.same_length(y=y, score=score)
    if not (0 < false_alarm < math.inf and 0 < miss < math.inf):
        raise ValueError(f"costs must be positive numbers, got false_alarm={false_alarm}, miss={miss}")
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # equal scores fall together
    hits, alarms = np.cumsum(y[order] == 1)[last], np.cumsum(y[order] == 0)[last]
    hits, alarms = np.append(0, hits), np.append(0, alarms)
    misses = hits[-1] - hits
    cost = false_alarm * alarms + miss * misses
    best = int(np.argmin(cost))
    threshold = np.append(np.inf, score[order][last])[best]
    return Threshold(float(threshold), float(cost[best]), int(alarms[best]), int(misses[best]))
