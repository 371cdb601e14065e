"""Differential privacy: two mechanisms, and the accountant of DP-SGD.

A randomised algorithm M is (epsilon, delta)-differentially private if for all data sets that differ in one person, and
all sets S of outputs, ``P[M(data) in S] <= exp(epsilon) * P[M(neighbour) in S] + delta`` (Dwork and Roth 2014,
definition 2.4). Chapter 14 writes both mechanisms and the accountant out, and holds them against measured frequencies
and against the library dp-accounting.

Notes
-----
The noise is drawn as floating-point numbers. Their last bits can reveal what the noise should hide (Mironov 2012,
"On significance of the least significant bits for differential privacy"). A published system needs a library that
draws its noise from a discrete distribution; these functions are for learning and for planning a budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln, log_ndtr, logsumexp

ORDERS = tuple(range(2, 129))  # integer orders are enough where epsilon is between about 0.1 and 20


def laplace_mechanism(
    value: float | np.ndarray, sensitivity: float, epsilon: float, rng: np.random.Generator
) -> float | np.ndarray:
    """Add Laplace noise of scale ``sensitivity / epsilon``: (epsilon, 0)-private (Dwork and Roth 2014, theorem 3.6).

    Parameters
    ----------
    value : float or ndarray, any shape, not empty
        The true answer, finite.
    sensitivity : float
        The most that one person can change ``value``, in L1 norm (sum of absolute changes over the array). Positive.
    epsilon : float
        Positive.

    Returns
    -------
    float or ndarray
        float64, of the shape of ``value``.

    Raises
    ------
    ValueError
        For a value that is empty or not finite, a sensitivity or an epsilon that is not positive and finite.
    """
    value = _answer(value)
    scale = _positive("sensitivity", sensitivity) / _positive("epsilon", epsilon)
    return _like(value, value + rng.laplace(0, scale, value.shape))


def gaussian_mechanism(
    value: float | np.ndarray, sensitivity: float, epsilon: float, delta: float, rng: np.random.Generator
) -> float | np.ndarray:
    """Add Gaussian noise of standard deviation :func:`gaussian_sigma`: (epsilon, delta)-private.

    Parameters are those of :func:`laplace_mechanism`, but ``sensitivity`` is in L2 norm (Euclidean length of the change)
    and ``delta`` lies between 0 and 1, exclusive.
    """
    value = _answer(value)
    sigma = gaussian_sigma(epsilon, delta, sensitivity)
    return _like(value, value + rng.normal(0, sigma, value.shape))


def gaussian_delta(epsilon: float, sigma: float, sensitivity: float = 1.0) -> float:
    """Smallest delta for which Gaussian noise of this sigma is (epsilon, delta)-private; ``epsilon`` may be 0.

    Balle and Wang 2018 (arXiv:1805.06530), theorem 8, exact for every epsilon:
    ``delta = Phi(D/(2s) - e s/D) - exp(e) Phi(-D/(2s) - e s/D)`` with D the sensitivity, s sigma, e epsilon.
    """
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be zero or positive, and finite, got {epsilon}")
    ratio = _positive("sensitivity", sensitivity) / _positive("sigma", sigma)
    first, second = log_ndtr(ratio / 2 - epsilon / ratio), log_ndtr(-ratio / 2 - epsilon / ratio)
    return max(0.0, float(np.exp(first) - np.exp(epsilon + second)))


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float = 1.0) -> float:
    """Smallest sigma that makes Gaussian noise (epsilon, delta)-private: :func:`gaussian_delta`, solved for sigma."""
    epsilon, delta = _positive("epsilon", epsilon), _open_unit("delta", delta)
    low = high = _positive("sensitivity", sensitivity)
    while gaussian_delta(epsilon, high, sensitivity) > delta:
        high *= 2
    while gaussian_delta(epsilon, low, sensitivity) <= delta:
        low /= 2
    return float(brentq(lambda s: gaussian_delta(epsilon, s, sensitivity) - delta, low, high, rtol=1e-12))


def rdp_of_sampled_gaussian(rate: float, noise: float, orders: Sequence[int] = ORDERS) -> np.ndarray:
    """Renyi divergence of one step: Gaussian noise on the sum over a Poisson sample.

    Parameters
    ----------
    rate : float
        Probability with which each person enters the sample, from 0 to 1.
    noise : float
        Standard deviation of the noise divided by the sensitivity of the sum (in DP-SGD: by the clipping norm). Positive.
    orders : sequence of int, shape (n,)
        Whole numbers of at least 2.

    Returns
    -------
    ndarray, shape (n,)
        Mironov, Talwar and Zhang 2019 (arXiv:1908.10530), section 3.3:
        ``1/(a-1) log sum_k binom(a, k) (1-rate)^(a-k) rate^k exp((k^2-k) / (2 noise^2))``.
    """
    rate, noise = _unit("rate", rate), _positive("noise", noise)
    if len(orders) == 0 or any(int(a) != a or a < 2 for a in orders):
        raise ValueError(f"orders must be whole numbers of at least 2, got {list(orders)}")
    if rate in (0.0, 1.0):  # nobody is drawn, or everybody: no logarithm of zero
        return rate * np.asarray(orders, dtype=np.float64) / (2 * noise * noise)
    return np.array([_log_moment(rate, noise, int(a)) / (a - 1) for a in orders])


def epsilon_from_rdp(rdp: np.ndarray, orders: Sequence[int], delta: float) -> float:
    """Turn Renyi divergences of the whole run into epsilon at ``delta``: the best order counts.

    Canonne, Kamath and Steinke 2020 (arXiv:2004.00010), proposition 12; 0 where the total variation distance, at most
    ``sqrt(1 - exp(-rdp))``, is below ``delta``.
    """
    rdp, a, delta = np.asarray(rdp, dtype=np.float64), np.asarray(orders, dtype=np.float64), _open_unit("delta", delta)
    if (
        rdp.shape != a.shape
        or rdp.ndim != 1
        or rdp.size == 0
        or np.isnan(rdp).any()
        or (rdp < 0).any()
        or (a <= 1).any()
    ):
        raise ValueError(f"rdp needs one value of at least 0 for each order above 1, got {rdp} for {a}")
    epsilon = rdp + np.log1p(-1 / a) - np.log(delta * a) / (a - 1)
    indistinct = np.sqrt(-np.expm1(-rdp)) < delta  # then delta alone covers the distance of the two distributions
    return max(0.0, float(np.min(np.where(indistinct, 0.0, epsilon))))


def dp_sgd_epsilon(rate: float, noise: float, steps: int, delta: float, orders: Sequence[int] = ORDERS) -> float:
    """Epsilon of ``steps`` steps of DP-SGD at ``delta``; for ``rate`` and ``noise`` see the function above.

    Examples
    --------
    >>> round(dp_sgd_epsilon(0.05, 1.5, 400, 1e-5), 3)
    3.689
    """
    if int(steps) != steps or steps < 1:
        raise ValueError(f"steps must be a whole number of at least 1, got {steps}")
    return epsilon_from_rdp(steps * rdp_of_sampled_gaussian(rate, noise, orders), orders, delta)


def _log_moment(rate: float, noise: float, a: int) -> float:
    k = np.arange(a + 1)
    log_binomial = gammaln(a + 1) - gammaln(k + 1) - gammaln(a - k + 1)
    terms = log_binomial + k * math.log(rate) + (a - k) * math.log1p(-rate) + (k * k - k) / (2 * noise * noise)
    return max(0.0, float(logsumexp(terms)))


# --- the door: bad input is refused with its value --------------------------------------------------------------------
def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:  # NaN fails too
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return float(value)


def _unit(name: str, value: float) -> float:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
    return float(value)


def _open_unit(name: str, value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, exclusive, got {value}")
    return float(value)


def _answer(value: float | np.ndarray) -> np.ndarray:
    value = np.asarray(value, dtype=np.float64)
    if value.size == 0:
        raise ValueError("value is empty: there is no answer to protect")
    if not np.isfinite(value).all():
        raise ValueError(f"value must be finite, got {value.flat[int(np.argmin(np.isfinite(value)))]}")
    return value


def _like(value: np.ndarray, noisy: np.ndarray) -> float | np.ndarray:
    return float(noisy) if value.ndim == 0 else noisy
