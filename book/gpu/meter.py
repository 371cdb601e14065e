"""Memory and energy of the cards while one notebook has them to itself, from nvidia-smi once a second.

The driver reports memory and power of a card for all its users together. So the executor asks for a meter only when
notebooks run one at a time, and what the card held before the notebook began is subtracted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

SECONDS = 1.0
_NOTHING = {"device_memory_mib": None, "device_energy_joules": None}


@dataclass
class Samples:
    """Readings over time: seconds, MiB in use on all cards, watts of all cards (None if a driver reports no power)."""

    seconds: list[float] = field(default_factory=list)
    memory_mib: list[float] = field(default_factory=list)
    watts: list[float | None] = field(default_factory=list)

    def summary(self) -> dict[str, float | None]:
        """Peak memory above that of the first reading, and energy by the trapezoidal rule; None if not known."""
        if not self.seconds:
            return dict(_NOTHING)
        energy = None
        if len(self.seconds) > 1 and None not in self.watts:
            spans = zip(self.seconds, self.seconds[1:], self.watts, self.watts[1:], strict=False)
            energy = round(sum((b - a) * (p + q) / 2 for a, b, p, q in spans), 1)
        peak = max(self.memory_mib) - self.memory_mib[0]
        return {"device_memory_mib": round(peak, 1), "device_energy_joules": energy}


def read(text: str) -> tuple[float, float | None]:
    """Memory in MiB and power in watts, summed over the cards in lines such as ``1024, 71.35``.

    A power that is no number (``[N/A]``) makes the sum unknown. Raises ValueError if there is no card or no memory.
    """
    cells = [[cell.strip() for cell in line.split(",")] for line in text.splitlines() if line.strip()]
    if not cells:
        raise ValueError("nvidia-smi lists no card")
    memory = sum(float(row[0]) for row in cells)
    try:
        return memory, sum(float(row[1]) for row in cells)
    except ValueError:
        return memory, None


class Meter:
    """Samples in a thread of its own. ``stop`` gives the summary; without a card everything in it is None."""

    def __init__(self, environ: Mapping[str, str] = os.environ, seconds: float = SECONDS):
        program = shutil.which("nvidia-smi", path=environ.get("PATH"))
        visible = environ.get("CUDA_VISIBLE_DEVICES")
        only = [f"--id={visible}"] if visible and visible != "-1" else []
        query = "--query-gpu=memory.used,power.draw"
        self._command = [program, query, "--format=csv,noheader,nounits", *only] if program else None
        self._pause, self._samples, self._end = seconds, Samples(), threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> Meter:
        if self._command:
            self._sample()  # what the card holds before the notebook begins
            self._thread.start()
        return self

    def stop(self) -> dict[str, float | None]:
        self._end.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        return self._samples.summary()

    def _watch(self) -> None:
        while not self._end.wait(self._pause):
            self._sample()
        self._sample()

    def _sample(self) -> None:
        """One reading; a driver that fails or is slow once leaves a gap, not an error."""
        try:
            answer = subprocess.run(self._command, capture_output=True, text=True, timeout=5, check=True)
            memory, watts = read(answer.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            return
        self._samples.seconds.append(time.monotonic())
        self._samples.memory_mib.append(memory)
        self._samples.watts.append(watts)
