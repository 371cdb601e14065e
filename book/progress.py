"""What the user sees while notebooks run: one line each, live on a terminal, plain in a log."""

from __future__ import annotations

import time

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

_MARKS = {
    "ok": ("✓", "green"),
    "cached": ("✓", "green"),
    "failed": ("✗", "red"),
    "timeout": ("✗", "red"),
    "died": ("✗", "red"),
    "interrupted": ("-", "yellow"),
}


class Progress:
    """Shows the state of each notebook. Silent unless given a console."""

    def __init__(self, console: Console | None = None):
        self._console = console
        self._live = console is not None and console.is_terminal
        self._running: dict[str, tuple[float, int | None, int | None]] = {}
        self._display: Live | None = None

    def __enter__(self) -> Progress:
        if self._live:
            self._display = Live(console=self._console, refresh_per_second=4, transient=True)
            self._display.start()
        return self

    def __exit__(self, *_) -> None:
        if self._display:
            self._display.stop()
            self._display = None

    def started(self, name: str) -> None:
        self._running[name] = (time.monotonic(), None, None)
        if self._console and not self._live:
            self._console.print(f"  … {name}: started", highlight=False)
        self.tick()

    def cell(self, name: str, index: int, total: int) -> None:
        self._running[name] = (self._running[name][0], index + 1, total)
        self.tick()

    def finished(self, result) -> None:
        self._running.pop(result.name, None)
        if not self._console:
            return
        mark, colour = _MARKS[result.status]
        line = Text(f"  {mark} ", style=colour)
        line.append(result.name, style="bold")
        holding = sum(c["passed"] for c in result.claims)
        if result.status == "ok":
            line.append(f": {holding} claims hold, {result.seconds:.1f} s, peak {result.peak_memory_mib:,.0f} MiB")
        elif result.status == "cached":
            line.append(f": {holding} claims hold (unchanged; executed before in {result.seconds:.1f} s)")
        else:
            where = f" at cell {result.cell} ({result.code})" if result.cell is not None else ""
            line.append(f": {result.status}{where} after {result.seconds:.1f} s", style=colour)
            for text in (result.error or "").splitlines():
                line.append(f"\n      {text}")
            if result.partial:
                line.append(f"\n      The notebook as far as it came: {result.partial}")
        self._console.print(line, highlight=False, soft_wrap=True)
        self.tick()

    def tick(self) -> None:
        if not self._display:
            return
        lines = []
        for name, (started, cell, total) in self._running.items():
            where = f"cell {cell} of {total}" if cell else "starting"
            lines.append(Text(f"  … {name}: {where}, {time.monotonic() - started:.0f} s", style="cyan"))
        self._display.update(Group(*lines))
