"""What happens after the answer: input statistics, and the shadow version.

Both run in a thread of their own behind a short queue. When it falls behind it skips batches and counts them: watching must
never slow an answer down, and a shadow that fails or hangs must never disturb one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

import numpy as np

from helpers.serving import logs
from helpers.serving.live import Loaded

BEHIND = 16  # batches that may wait to be watched
ALARM_EVERY = 100  # images between two looks at the alarm


class Observer:
    """Watches the batches of one model.

    Parameters
    ----------
    name : str
        Of the model, for the log.
    count : callable
        Called with an event and a number: ``"agreed"``, ``"disagreed"``, ``"failed"`` (images, of the shadow),
        ``"skipped"`` (images that were not watched).
    """

    def __init__(self, name: str, count: Callable[[str, int], None]):
        self._name, self._count = name, count
        self._queue: queue.Queue = queue.Queue(BEHIND)
        self._since_look, self.alarm = 0, False
        self._thread = threading.Thread(target=self._work, name="observer", daemon=True)
        self._thread.start()

    def see(self, model: Loaded, images: np.ndarray, outputs: np.ndarray) -> None:
        """Take note of an answered batch; returns at once."""
        if model.monitor is None and model.shadow is None:
            return
        try:
            self._queue.put_nowait((model, images, outputs))
        except queue.Full:
            self._count("skipped", len(images))

    def _work(self) -> None:
        while True:
            model, images, outputs = self._queue.get()
            try:
                self._watch_input(model, images)
            except Exception as error:  # watching never ends the thread
                logs.event("error", "input statistics failed", model=self._name, **logs.describe(error))
            if model.shadow is not None:
                self._watch_shadow(model.shadow, images, outputs)

    def _watch_input(self, model: Loaded, images: np.ndarray) -> None:
        if model.monitor is None or images.ndim != 3:
            return
        model.monitor.add(images)
        self._since_look += len(images)
        if self._since_look < ALARM_EVERY:
            return
        self._since_look = 0
        scores = model.monitor.score()
        before, self.alarm = self.alarm, model.monitor.alarm
        if self.alarm != before:
            logs.event("warning" if self.alarm else "info", "input drift alarm" if self.alarm else "input drift over",
                       model=self._name, version=model.version, psi=scores)  # fmt: skip

    def _watch_shadow(self, shadow: Loaded, images: np.ndarray, outputs: np.ndarray) -> None:
        try:
            agreed = int((shadow.engine(images).argmax(axis=-1) == outputs.argmax(axis=-1)).sum())
        except Exception as error:  # whatever a shadow does, nobody waits for it
            self._count("failed", len(images))
            logs.event("error", "shadow failed", model=self._name, version=shadow.version, **logs.describe(error))
            return
        self._count("agreed", agreed)
        self._count("disagreed", len(images) - agreed)
