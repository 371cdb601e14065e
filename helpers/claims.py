"""Claims: assert a statement where the chapter makes it, and record that it was checked.

Each function checks one kind of statement, prints one quiet line, and leaves a machine-readable record in
the output of the cell (MIME type :data:`MIME`). The book's builder collects the records from the executed
notebook; nothing is run twice. A claim that does not hold raises :class:`ClaimFailed` after the record is
written, so the notebook stops there and the failed value stays visible.

A claim has a stable id such as ``mnist.mlp.test-accuracy`` (lower-case words, dots between levels), a
sentence that a reader understands, the measured value and the bound. It may name the errata (``E21``) and
capabilities (``C-M5``) that it proves.

    >>> from helpers import claims
    >>> _ = claims.equal("demo.sum", "Two and two make four.", 2 + 2, 4)
    [claim holds] demo.sum: Two and two make four. Measured 4; required: exactly 4.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from helpers import datasets, display

MIME = "application/vnd.book.claim+json"
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)+")
_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ERRATUM = re.compile(r"E\d{2}")
_CAPABILITY = re.compile(r"C-[A-Z]+\d?")


class ClaimFailed(AssertionError):
    """A claim does not hold. The message gives the id, the statement, the value and the bound."""


@dataclass(frozen=True)
class Claim:
    """One checked statement, as it is recorded in the cell's output.

    Attributes
    ----------
    id, statement : str
        Stable name, and the sentence that was checked.
    kind : {"equal", "close", "band", "order", "raises"}
    value : int, float, str, bool or list
        What was measured (for arrays under ``close``: the largest difference).
    bound : str
        What was required, in words that follow "required:".
    passed : bool
    errata, capabilities : list of str
        Ids of the rows that this claim proves.
    data : list of str
        Data sets loaded so far in this session, as ``name (source)``: the claim holds for these.
    """

    id: str
    statement: str
    kind: str
    value: Any
    bound: str
    passed: bool
    errata: list[str] = field(default_factory=list)
    capabilities: list[str] = field(default_factory=list)
    data: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        verdict = "claim holds" if self.passed else "CLAIM FAILS"
        return f"[{verdict}] {self.id}: {self.statement} Measured {_text(self.value)}; required: {self.bound}."

    def as_html(self) -> str:
        """The same line for a page: the statement first, id and bound in small print."""
        state, word = ("passed", "Claim holds") if self.passed else ("failed", "Claim fails")
        anchor = "claim-" + self.id.replace(".", "-")
        return (
            f'<div class="claim claim-{state}" id="{anchor}"><p><span class="claim-verdict">{word}.</span> '
            f'{html.escape(self.statement)}</p><p class="claim-detail"><code>{html.escape(self.id)}</code> '
            f"<span>measured {html.escape(_text(self.value))}</span> "
            f"<span>required: {html.escape(self.bound)}</span></p></div>"
        )


def equal(id: str, statement: str, value: Any, expected: Any, *, errata=(), capabilities=()) -> Claim:
    """Claim an exact identity: numbers, strings, shapes (tuples) or whole arrays.

    Parameters
    ----------
    value, expected : scalar, str, tuple, list or ndarray
        Compared with ``==``. Arrays must agree in shape and in every element. NaN equals nothing.

    Raises
    ------
    ClaimFailed
        If the two differ.
    """
    if isinstance(value, np.ndarray) or isinstance(expected, np.ndarray):
        a, b = np.asarray(value), np.asarray(expected)
        passed = a.shape == b.shape and bool(np.all(a == b))
        different = int(np.sum(a != b)) if a.shape == b.shape else f"shape {a.shape}"
        return _settle(id, statement, "equal", different, f"0 differences over {b.size:,} elements",
                       passed, errata, capabilities)  # fmt: skip
    passed = type(value == expected) in (bool, np.bool_) and bool(value == expected) and not _has_nan(value)
    return _settle(id, statement, "equal", value, f"exactly {_text(_plain(expected))}", passed, errata, capabilities)


def close(
    id: str, statement: str, value: Any, expected: Any, *, atol: float = 0.0, rtol: float = 0.0, reason: str,
    errata=(), capabilities=(),
) -> Claim:  # fmt: skip
    """Claim that two numbers or arrays agree: ``|value - expected| <= atol + rtol * |expected|`` everywhere.

    Parameters
    ----------
    value, expected : float or array_like
        Same shape (no broadcasting, except against a scalar ``expected``). NaN and infinity fail.
    atol, rtol : float
        Absolute and relative tolerance, at least one of them positive.
    reason : str
        Why this tolerance: a rounding bound, a published precision. Shown beside the claim.
    """
    if not (atol >= 0 and rtol >= 0 and 0 < atol + rtol < math.inf):
        raise ValueError(f"claim {id}: give a positive, finite atol or rtol (got atol={atol}, rtol={rtol}); "
                         "for an exact identity use claims.equal")  # fmt: skip
    if not reason.strip():
        raise ValueError(f"claim {id}: say why this tolerance is the right one (reason=...)")
    a, b = np.asarray(value, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    tolerance = " + ".join(part for part in (f"{atol:g}" if atol else "", f"{rtol:g} relative" if rtol else "") if part)
    if a.size == 0 or (b.ndim and a.shape != b.shape):
        return _settle(id, statement, "close", f"shape {a.shape}", f"shape {b.shape}, not empty", False,
                       errata, capabilities)  # fmt: skip
    with np.errstate(invalid="ignore"):  # infinity minus infinity; it fails below
        difference = np.abs(a - b)
    finite = bool(np.all(np.isfinite(a)) and np.all(np.isfinite(b)))
    passed = finite and bool(np.all(difference <= atol + rtol * np.abs(b)))
    if a.ndim == 0:
        shown, bound = float(a), f"{_text(float(b))} within {tolerance} ({reason})"
    else:
        shown = float(np.max(difference)) if np.all(np.isfinite(difference)) else float("nan")
        bound = f"largest difference within {tolerance} over {a.size:,} elements ({reason})"
    return _settle(id, statement, "close", shown, bound, passed, errata, capabilities)


def band(
    id: str, statement: str, value: float, low: float | None = None, high: float | None = None, *,
    errata=(), capabilities=(),
) -> Claim:  # fmt: skip
    """Claim that a measured number lies in the closed interval ``[low, high]``; one side may be open.

    Bands are for results of training: wide enough for another processor, narrow enough to fail when the
    method is wrong. NaN lies in no band.
    """
    if low is None and high is None:
        raise ValueError(f"claim {id}: a band needs low=..., high=... or both")
    if low is not None and high is not None and not low < high:
        raise ValueError(f"claim {id}: low={low} must be below high={high}")
    value = float(value)
    passed = (low is None or value >= low) and (high is None or value <= high) and not math.isnan(value)
    if low is None:
        bound = f"at most {_text(high)}"
    elif high is None:
        bound = f"at least {_text(low)}"
    else:
        bound = f"between {_text(low)} and {_text(high)}"
    return _settle(id, statement, "band", value, bound, passed, errata, capabilities)


def order(
    id: str, statement: str, larger: Sequence[float], smaller: Sequence[float], *, margin: float = 0.0,
    errata=(), capabilities=(),
) -> Claim:  # fmt: skip
    """Claim that one quantity is larger than another *for every seed*, and by a margin on average.

    Parameters
    ----------
    larger, smaller : sequence of float, shape (n_seeds,)
        Paired results: element i of both comes from seed i. At least two seeds.
    margin : float
        The mean difference must exceed this. Fix it before you look at the result.

    Notes
    -----
    With n seeds, chance alone orders all n pairs the claimed way with probability ``2 ** -n``.
    """
    a, b = np.asarray(larger, dtype=np.float64), np.asarray(smaller, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape or a.size < 2:
        raise ValueError(f"claim {id}: an ordering needs two paired lists of at least two seeds; "
                         f"got shapes {a.shape} and {b.shape}")  # fmt: skip
    if not margin >= 0:
        raise ValueError(f"claim {id}: margin must be zero or positive, got {margin}")
    difference = a - b
    passed = bool(np.all(difference > 0) and difference.mean() > margin)
    bound = f"every one of {a.size} paired differences above 0, their mean above {_text(float(margin))}"
    return _settle(id, statement, "order", [float(d) for d in difference], bound, passed, errata, capabilities)


@contextmanager
def raises(
    id: str, statement: str, error: type[BaseException] | tuple[type[BaseException], ...], match: str, *,
    errata=(), capabilities=(),
):  # fmt: skip
    """Claim an expected failure: the block must raise ``error`` with a message that matches ``match``.

    The message is shown, because reading it is the lesson. Another exception, or none, fails the claim.

    Parameters
    ----------
    error : exception class or tuple of classes
    match : str
        Regular expression, searched in the message (``re.search``). Must not be empty.

    Examples
    --------
    >>> with claims.raises("demo.zero", "Division by zero stops.", ZeroDivisionError, "division by zero"):
    ...     1 / 0
    """
    if not match:
        raise ValueError(f"claim {id}: match=... must name what the message says")
    expected = error if isinstance(error, tuple) else (error,)
    names = " or ".join(e.__name__ for e in expected)
    bound = f"{names} with a message that matches '{match}'"
    try:
        yield
    except expected as caught:
        message = str(caught)
        first = _first_lines(message)
        passed = re.search(match, message) is not None
        display.block(f"{type(caught).__name__}: {first}", "expected-error", label="The error, as expected")
        _settle(id, statement, "raises", type(caught).__name__, bound, passed, errata, capabilities, cause=caught)
    except Exception as caught:
        _settle(id, statement, "raises", f"{type(caught).__name__}: {_first_lines(str(caught))}", bound, False,
                errata, capabilities, cause=caught)  # fmt: skip
    else:
        _settle(id, statement, "raises", "no error", bound, False, errata, capabilities)


def _settle(id, statement, kind, value, bound, passed, errata, capabilities, cause=None) -> Claim:
    """Validate, record and judge: the one door through which every claim passes."""
    if not _ID.fullmatch(id):
        raise ValueError(f"claim id '{id}' must look like chapter.subject.property: lower-case words, dots between")
    if not statement.strip().endswith((".", "?", "!")):
        raise ValueError(f"claim {id}: the statement must be a sentence that ends with a full stop")
    errata, capabilities = _ids(id, errata, _ERRATUM), _ids(id, capabilities, _CAPABILITY)
    claim = Claim(id, statement.strip(), kind, _plain(value), bound, bool(passed), errata, capabilities,
                  datasets.loaded())  # fmt: skip
    display.record(MIME, asdict(claim), text=str(claim), html=claim.as_html())
    if not claim.passed:
        raise ClaimFailed(str(claim)) from cause
    return claim


def _ids(id: str, given: str | Iterable[str], pattern: re.Pattern) -> list[str]:
    ids = [given] if isinstance(given, str) else list(given)
    for one in ids:
        if not pattern.fullmatch(one):
            raise ValueError(f"claim {id}: '{one}' is not an id of the form {pattern.pattern}")
    return ids


def _has_nan(value: Any) -> bool:
    """NaN inside a list is equal to itself for Python, which compares identities first."""
    if isinstance(value, Mapping):
        return any(_has_nan(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_has_nan(v) for v in value)
    return isinstance(value, (float, np.floating)) and bool(value != value)


def _plain(value: Any) -> Any:
    """A value that JSON can hold and a reader can read."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return str(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_text(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return "(" + ", ".join(_text(v) for v in value) + ")"
    return str(value)


def _first_lines(message: str, lines: int = 6, width: int = 300) -> str:
    plain = _TERMINAL_COLOUR.sub("", message)
    kept = [line[:width] for line in plain.strip().splitlines() if line.strip()][:lines]
    return "\n".join(kept)
