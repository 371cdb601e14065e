"""How long one piece of work takes on a device, and how fast the device multiplies large matrices."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from book.card import steps

BLOCK, BLOCKS = 0.4, 5  # seconds of a timed block of work, and how many


def rate(backend: str, work: Callable[[], Any]) -> float:
    """Seconds of one call: the median of blocks of calls; the device is waited for at the end of each block."""
    began = time.perf_counter()
    steps.wait(backend, work())
    repeats = max(1, round(BLOCK / (time.perf_counter() - began)))
    found = []
    for _ in range(BLOCKS if repeats > 1 else 2):
        began = time.perf_counter()
        for _ in range(repeats):
            value = work()
        steps.wait(backend, value)
        found.append((time.perf_counter() - began) / repeats)
    return statistics.median(found)


def matmul(backend: str, precision: str, card: bool) -> dict:
    """The largest rate of one product of square matrices: what this device reaches at best; and how exact a product is."""
    from keras import ops

    steps.full_precision(backend, precision == "float32")
    kind = "bfloat16" if precision == "bfloat16" else "float32"
    best: dict = {}
    for n in (4096, 8192, 16384) if card else (1024, 2048):
        a = ops.cast(np.random.default_rng(0).standard_normal((n, n), dtype="float32"), kind)
        product = steps.compiled(backend, lambda a: ops.matmul(a, a))
        teraflops = 2 * n**3 / rate(backend, lambda a=a, product=product: ops.cast(product(a)[0, 0], "float32")) / 1e12
        if teraflops > best.get("teraflops", 0):
            best = {"matmul": precision, "n": n, "teraflops": teraflops}
    return {**best, "relative_error": error(backend, kind)}


def error(backend: str, kind: str, n: int = 512) -> float:
    """Error of a product against 64 bits, in units of its spread: it shows which arithmetic the device really used."""
    from keras import ops

    a = np.random.default_rng(1).standard_normal((n, n))
    exact = a @ a
    found = steps.compiled(backend, lambda a: ops.matmul(a, a))(ops.cast(a.astype("float32"), kind))
    return float((ops.convert_to_numpy(ops.cast(found, "float32")) - exact).std() / exact.std())


def said(error: Exception) -> str:
    """An exception in one line: memory that ran out is said as such."""
    text = str(error).strip() or "no message"
    full = (
        "RESOURCE_EXHAUSTED" in text
        or "out of memory" in text.lower()
        or type(error).__name__ == "ResourceExhaustedError"
    )
    return "does not fit into memory" if full else f"{type(error).__name__}: {text.splitlines()[0][:150]}"
