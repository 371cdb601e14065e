"""Has the input changed since training?

Two numbers per image are compared with the training data: its mean intensity, and its share of pixels with ink. The
comparison is the population stability index over ten bins that held a tenth of the training images each:
``PSI = sum over bins of (p - q) ln(p / q)``, with p the share of recent images in a bin and q the share in training.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np

INK = 64  # a pixel above this (of 255) counts as ink
FEATURES = ("mean_intensity", "ink_share")
LEAST = 0.001  # share that an empty bin counts as, so that the logarithm stays finite
ENOUGH = 100  # images before a score means anything
# Rule of thumb of credit scoring: below 0.1 no shift, above 0.25 a large one. N. Siddiqi, Credit Risk Scorecards (2006),
# chapter 8; B. Yurdakul, Statistical Properties of Population Stability Index (2018), derives what chance alone gives.
ALARM = 0.25


def features(images: np.ndarray) -> np.ndarray:
    """Mean intensity (0 to 1) and share of pixels with ink (0 to 1) of images, float64 (n, 2).

    Parameters
    ----------
    images : ndarray, uint8 (n, height, width)
    """
    flat = images.reshape(len(images), -1)
    return np.stack([flat.mean(axis=1) / 255, (flat > INK).mean(axis=1)], axis=1)


def summarise(images: np.ndarray) -> dict[str, Any]:
    """What :class:`InputMonitor` needs to know about the training images; goes into the manifest of a version.

    Parameters
    ----------
    images : ndarray, uint8 (n, height, width)
        At least 100.

    Returns
    -------
    dict
        ``{"n": n, "deciles": {feature: [9 numbers]}, "shares": {feature: [at most 10 numbers]}}``: the inner deciles of each
        feature, and the share of images in the bins between them. Deciles that are equal bound one bin together.

    Raises
    ------
    ValueError
        If these are not at least 100 uint8 images.
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 3 or len(images) < ENOUGH:
        raise ValueError(f"the statistics need uint8 images (n, height, width) with n of at least {ENOUGH}, got "
                         f"{images.dtype} {images.shape}")  # fmt: skip
    values = features(images)
    deciles = np.quantile(values, np.arange(1, 10) / 10, axis=0)
    shares = [_counts(values[:, i], np.unique(deciles[:, i])) / len(images) for i in range(len(FEATURES))]
    return {
        "n": len(images),
        "deciles": {name: deciles[:, i].tolist() for i, name in enumerate(FEATURES)},
        "shares": {name: shares[i].tolist() for i, name in enumerate(FEATURES)},
    }


def _counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Numbers of values in the bins ``(-inf, edge 0], (edge 0, edge 1], ..., (last edge, inf)``."""
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


class InputMonitor:
    """Population stability index of the latest images against the training data.

    Parameters
    ----------
    statistics : dict
        From :func:`summarise`.
    window : int
        Number of latest images that are compared.

    Raises
    ------
    ValueError
        If the statistics are not what :func:`summarise` makes.
    """

    def __init__(self, statistics: Mapping[str, Any], window: int = 500):
        if window < ENOUGH:
            raise ValueError(f"the window must hold at least {ENOUGH} images, got {window}")
        try:
            deciles = [np.asarray(statistics["deciles"][name], float) for name in FEATURES]
            shares = [np.asarray(statistics["shares"][name], float) for name in FEATURES]
            self._edges = [np.unique(d) for d in deciles]
            fits = all(d.shape == (9,) and np.all(np.diff(d) >= 0) for d in deciles) and all(
                s.shape == (len(e) + 1,) and s.min() >= 0 and abs(s.sum() - 1) < 1e-6
                for s, e in zip(shares, self._edges, strict=True)
            )
        except (KeyError, TypeError, ValueError):
            fits = False
        if not fits:
            raise ValueError("the statistics must come from helpers.serving.drift.summarise")
        self._expected = [np.maximum(s, LEAST) for s in shares]
        self._recent: deque[np.ndarray] = deque(maxlen=window)
        self._lock = threading.Lock()

    def add(self, images: np.ndarray) -> None:
        """See some more images, uint8 (n, height, width)."""
        found = features(images)
        with self._lock:
            self._recent.extend(found)

    def score(self) -> dict[str, float | None]:
        """Population stability index per feature; None while fewer than 100 images were seen.

        Chance alone gives about 9 / n for n images and ten bins (0.02 for 500).
        """
        with self._lock:  # images are added in one thread, the score is asked for in another
            recent = np.array(self._recent)
        if len(recent) < ENOUGH:
            return dict.fromkeys(FEATURES)
        found = {}
        for i, name in enumerate(FEATURES):
            counts, q = _counts(recent[:, i], self._edges[i]), self._expected[i]
            p = np.maximum(counts / len(recent), LEAST)
            found[name] = float(np.sum((p - q) * np.log(p / q)))
        return found

    @property
    def alarm(self) -> bool:
        """Whether a feature has shifted by the rule of thumb: an index above 0.25."""
        return any(value is not None and value > ALARM for value in self.score().values())
