"""Numerical derivatives, to check the ones that were derived by hand.

Both functions take a real function of a vector and return its gradient. They need one or two calls for each component,
so they are for checking, not for training.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def central_differences(f: Callable[[np.ndarray], float], w: np.ndarray, step: float = 6e-6) -> np.ndarray:
    """``(f(w + h) - f(w - h)) / 2h`` for each component; h is ``step`` times ``max(1, |w_i|)``.

    Parameters
    ----------
    f : callable
        Takes an array of the shape of ``w``, returns a real number.
    w : ndarray of float64, any shape
        Not changed.
    step : float
        The cube root of the float64 rounding unit balances rounding against truncation: the error of the
        result is then about 1e-10 of the scale of f (Nocedal and Wright 2006, section 8.1).

    Returns
    -------
    ndarray
        Gradient, shape of ``w``.
    """
    w = _real(w)
    gradient, point = np.empty_like(w), w.copy()
    for i in np.ndindex(w.shape):
        h = step * max(1.0, abs(w[i]))
        point[i] = w[i] + h
        above = f(point)
        point[i] = w[i] - h
        gradient[i] = (above - f(point)) / (2 * h)
        point[i] = w[i]
    return gradient


def complex_step(f: Callable[[np.ndarray], complex], w: np.ndarray, step: float = 1e-30) -> np.ndarray:
    """``Im f(w + ih) / h`` for each component: no difference is taken, so no digit is lost (Squire and Trapp 1998).

    Parameters
    ----------
    f : callable
        Takes complex arrays, and must be written with functions that are analytic where they are used: ``abs`` and
        comparisons of complex numbers would break it (compare real parts instead).
    w : ndarray of float64, any shape
        Not changed.
    step : float
        May be tiny, because nothing is subtracted.

    Returns
    -------
    ndarray
        Gradient, shape of ``w``, to about the rounding error of f.

    Raises
    ------
    ValueError
        If ``f`` drops the imaginary part.
    """
    w = _real(w)
    gradient, point = np.empty_like(w), w.astype(np.complex128)
    for i in np.ndindex(w.shape):
        point[i] = w[i] + 1j * step
        value = f(point)
        if not np.iscomplexobj(value):
            raise ValueError(
                "the function returned a real number for complex input; it must compute in complex numbers"
            )
        gradient[i] = np.imag(value) / step
        point[i] = w[i]
    return gradient


def relative_error(a: np.ndarray, b: np.ndarray) -> float:
    """Largest difference between two gradients, as a fraction of the largest component of the second.

    Raises
    ------
    ValueError
        If the shapes differ, or ``b`` is zero everywhere (there is no scale to compare with).
    """
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"gradients of shapes {a.shape} and {b.shape} cannot be compared")
    scale = np.abs(b).max()
    if not scale > 0:
        raise ValueError("the reference gradient is zero everywhere; compare at another point")
    return float(np.abs(a - b).max() / scale)


def _real(w: np.ndarray) -> np.ndarray:
    w = np.asarray(w)
    if w.dtype != np.float64:
        raise ValueError(f"w must be float64, got {w.dtype}: in lower precision the check would measure rounding")
    return w
