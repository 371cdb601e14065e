"""Micro-batching: one thread computes, and whoever waits when it becomes free goes together.

Nobody waits for a batch to fill: an idle service answers at once, a busy one computes larger batches and so becomes faster
when it must. The queue is bounded; a service that accepts more than it can compute answers everybody too late.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from helpers.serving import logs
from helpers.serving.protocol import Refusal


class Ticket:
    """A request that waits for its turn."""

    __slots__ = ("future", "gone", "images", "timer", "version")

    def __init__(self, images: np.ndarray, version: str | None, gone: Callable[[], bool], future: asyncio.Future):
        self.images, self.version, self.gone, self.future = images, version, gone, future
        self.timer: asyncio.TimerHandle | None = None


def _never() -> bool:
    return False


class Batcher:
    """Bounded queue and inference thread of one model.

    Parameters
    ----------
    model : callable
        Gives what answers now, with attributes ``engine`` and ``version``; asked once per batch, so that a release falls
        between two batches.
    largest : int
        Images in a batch.
    queue : int
        Requests that may wait.
    deadline : float
        Seconds that a request may wait.
    measure : callable
        Called in the inference thread with (images in the batch, seconds).
    after : callable
        Called in the inference thread with (model, images, outputs) when the answers are on their way.
    """

    def __init__(
        self, model: Callable[[], Any], *, largest: int, queue: int, deadline: float,
        measure: Callable[[int, float], None] = lambda n, seconds: None,
        after: Callable[[Any, np.ndarray, np.ndarray], None] = lambda model, images, outputs: None,
    ):  # fmt: skip
        self._model, self._largest, self._queue, self._deadline = model, largest, queue, deadline
        self._measure, self._after = measure, after
        self._waiting: deque[Ticket] = deque()
        self._ready = threading.Condition()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return len(self._waiting)

    async def submit(
        self, images: np.ndarray, *, version: str | None = None, gone: Callable[[], bool] = _never
    ) -> tuple[np.ndarray, Any]:
        """Wait for the outputs of some images.

        Parameters
        ----------
        images : ndarray, (n, ...)
            At most ``largest``.
        version : str, optional
            Only this version may answer.
        gone : callable
            True when nobody waits for the answer any more; nothing is computed then.

        Returns
        -------
        outputs : ndarray, (n, ...)
        model
            What computed them.

        Raises
        ------
        Refusal
            429 if the queue is full, 503 after the deadline or when the service stops, 404 if another version is active,
            500 if the engine fails.
        """
        ticket = Ticket(images, version, gone, self._loop.create_future())
        with self._ready:
            if self._closed:
                raise Refusal(503, "The service is stopping; send the request to another one.", {"Retry-After": "1"})
            if len(self._waiting) >= self._queue:
                raise Refusal(429, f"The queue is full ({self._queue} requests wait); try again in a second.",
                              {"Retry-After": "1"})  # fmt: skip
            self._waiting.append(ticket)
            self._ready.notify()
        ticket.timer = self._loop.call_later(self._deadline, self._late, ticket)
        try:
            return await ticket.future
        finally:
            ticket.timer.cancel()

    async def close(self) -> None:
        """Answer what waits, then end the thread."""
        with self._ready:
            self._closed = True
            self._ready.notify()
        await self._loop.run_in_executor(None, self._thread.join)

    # -- in the loop's thread
    def _late(self, ticket: Ticket) -> None:
        _settle(ticket, Refusal(503, f"The request waited longer than {self._deadline:g} s; the service is overloaded, try "
                                     "again later.", {"Retry-After": "1"}))  # fmt: skip

    # -- in the inference thread
    def _work(self) -> None:
        while True:
            with self._ready:
                while not self._waiting and not self._closed:
                    self._ready.wait()
                if not self._waiting:
                    return
                model = self._model()
                batch, refused = self._take(model)
            if refused:
                self._tell([(ticket, refusal) for ticket, refusal in refused])
            if batch:
                self._compute(model, batch)

    def _take(self, model: Any) -> tuple[list[Ticket], list[tuple[Ticket, Refusal]]]:
        """From the front of the queue, as many as go together; called with the lock held."""
        batch, refused, size = [], [], 0
        while self._waiting:
            ticket = self._waiting[0]
            if size + len(ticket.images) > self._largest and batch:
                break
            self._waiting.popleft()
            if ticket.future.done() or ticket.gone():  # late, cancelled, or nobody listens
                refused.append((ticket, Refusal(499, "The client has gone.")))
            elif ticket.version is not None and ticket.version != model.version:
                refused.append(
                    (ticket, Refusal(404, f"Version {ticket.version} is not active; version {model.version} is."))
                )
            else:
                batch.append(ticket)
                size += len(ticket.images)
        return batch, refused

    def _compute(self, model: Any, batch: list[Ticket]) -> None:
        images = batch[0].images if len(batch) == 1 else np.concatenate([ticket.images for ticket in batch])
        start = time.perf_counter()
        try:
            outputs = model.engine(images)
            if not np.isfinite(outputs).all():
                raise ValueError(f"version {model.version} gave NaN or infinity")
        except Exception as error:  # whatever an engine raises: its requests are answered and the thread lives on
            logs.event("error", "inference failed", version=model.version, **logs.describe(error))
            self._tell(
                [
                    (ticket, Refusal(500, "The model failed on this input; the service's log says why."))
                    for ticket in batch
                ]
            )
            return
        self._measure(len(images), time.perf_counter() - start)
        answers, row = [], 0
        for ticket in batch:
            answers.append((ticket, (outputs[row : row + len(ticket.images)], model)))
            row += len(ticket.images)
        self._tell(answers)
        self._after(model, images, outputs)

    def _tell(self, answers: list[tuple[Ticket, Any]]) -> None:
        """Hand the answers of a batch to the loop, in one wake-up."""
        try:
            self._loop.call_soon_threadsafe(_settle_all, answers)
        except RuntimeError:  # the loop is closed: nobody is left to be told
            pass


def _settle_all(answers: list[tuple[Ticket, Any]]) -> None:
    for ticket, answer in answers:
        _settle(ticket, answer)


def _settle(ticket: Ticket, answer: Any) -> None:
    if not ticket.future.done():
        if isinstance(answer, Exception):
            ticket.future.set_exception(answer)
        else:
            ticket.future.set_result(answer)
