"""The queue and the inference thread, with engines that do what a test needs; the observer behind them."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from conftest import wait_until
from helpers.serving.batching import Batcher
from helpers.serving.observers import BEHIND, Observer
from helpers.serving.protocol import Refusal


class Engine:
    """Answers 10 times the first value of each image, and remembers its batches; waits while the gate is closed."""

    def __init__(self):
        self.batches: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.fail: Exception | None = None

    def __call__(self, images):
        self.batches.append(images[:, 0].tolist())
        assert self.gate.wait(20)
        if self.fail:
            raise self.fail
        return images[:, :1].astype(np.float32) * 10


def image(*values: int) -> np.ndarray:
    return np.array([[value, 0] for value in values], np.uint8)


def run(story, **options):
    """Run a coroutine ``story(batcher, engine, model)`` on a batcher with small limits."""

    async def main():
        engine = Engine()
        model = SimpleNamespace(engine=engine, version="1")
        batcher = Batcher(lambda: model, **{"largest": 4, "queue": 8, "deadline": 10.0, **options})
        try:
            await story(batcher, engine, model)
        finally:
            engine.gate.set()
            await batcher.close()
        assert batcher.depth == 0

    asyncio.run(main())


async def blocked(batcher, engine):
    """A first request that keeps the thread busy until the gate opens."""
    engine.gate.clear()
    task = asyncio.create_task(batcher.submit(image(99)))
    while not engine.batches:
        await asyncio.sleep(0.001)
    return task


def ask(batcher, *values, **more):
    return asyncio.create_task(batcher.submit(image(*values), **more))


async def refused(task) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await asyncio.wait_for(task, 5)
    return caught.value


def test_one_request_is_answered_at_once():
    async def story(batcher, engine, model):
        outputs, used = await batcher.submit(image(7))
        assert outputs.tolist() == [[70]]
        assert used is model
        assert engine.batches == [[7]]

    run(story)


def test_whoever_waits_goes_together_up_to_the_largest_batch():
    async def story(batcher, engine, model):
        first = await blocked(batcher, engine)
        tasks = [ask(batcher, 1), ask(batcher, 2, 3), ask(batcher, 4, 5), ask(batcher, 6)]
        await asyncio.sleep(0.01)
        assert batcher.depth == 4
        engine.gate.set()
        assert (await first)[0].tolist() == [[990]]
        assert [(await task)[0].ravel().tolist() for task in tasks] == [[10], [20, 30], [40, 50], [60]]
        # 1 + 2 fit, two more would make five; what is left goes together again.
        assert engine.batches == [[99], [1, 2, 3], [4, 5, 6]]

    run(story)


def test_a_full_queue_refuses_at_once():
    async def story(batcher, engine, model):
        first = await blocked(batcher, engine)
        waiting = [ask(batcher, value) for value in range(8)]
        await asyncio.sleep(0.01)
        refusal = await refused(batcher.submit(image(50)))
        assert refusal.status == 429
        assert "8 requests wait" in refusal.sentence
        assert refusal.headers == {"Retry-After": "1"}
        engine.gate.set()
        await asyncio.gather(first, *waiting)
        assert [50] not in engine.batches

    run(story)


def test_who_waits_too_long_is_told_and_not_computed():
    async def story(batcher, engine, model):
        first = await blocked(batcher, engine)
        start = time.monotonic()
        refusal = await refused(ask(batcher, 1))
        assert 0.08 < time.monotonic() - start < 2
        assert refusal.status == 503
        assert "longer than 0.1 s" in refusal.sentence
        assert (await refused(first)).status == 503  # also who is being computed: nobody waits for ever
        engine.gate.set()
        assert (await batcher.submit(image(2)))[0].tolist() == [[20]]
        assert engine.batches == [[99], [2]]

    run(story, deadline=0.1)


def test_who_has_gone_is_not_computed():
    async def story(batcher, engine, model):
        first = await blocked(batcher, engine)
        gone, cancelled, stays = ask(batcher, 1, gone=lambda: True), ask(batcher, 2), ask(batcher, 3)
        await asyncio.sleep(0.01)
        cancelled.cancel()
        engine.gate.set()
        assert (await refused(gone)).status == 499
        await asyncio.gather(first, stays)
        assert engine.batches == [[99], [3]]

    run(story)


def test_another_version_is_not_asked():
    async def story(batcher, engine, model):
        refusal = await refused(batcher.submit(image(1), version="2"))
        assert refusal.status == 404
        assert engine.batches == []
        assert (await batcher.submit(image(1), version="1"))[0].tolist() == [[10]]

    run(story)


def test_a_release_falls_between_two_batches():
    async def main():
        old, new = (SimpleNamespace(engine=Engine(), version=v) for v in "12")
        current = [old]
        batcher = Batcher(lambda: current[0], largest=4, queue=8, deadline=5)
        first = await blocked(batcher, old.engine)
        second = ask(batcher, 1)
        named = ask(batcher, 2, version="1")
        await asyncio.sleep(0.01)
        current[0] = new
        old.engine.gate.set()
        assert (await first)[1] is old
        assert (await second)[1] is new
        assert (await refused(named)).status == 404  # it asked for the version that has just gone
        await batcher.close()
        assert old.engine.batches == [[99]]
        assert new.engine.batches == [[1]]

    asyncio.run(main())


def test_a_failing_engine_is_answered_and_the_thread_lives():
    async def story(batcher, engine, model):
        for fail in (RuntimeError("boom"), ValueError("bad"), MemoryError()):
            engine.fail = fail
            refusal = await refused(batcher.submit(image(1)))
            assert refusal.status == 500
            assert "boom" not in refusal.sentence
        engine.fail = None
        assert (await batcher.submit(image(2)))[0].tolist() == [[20]]

    run(story)


def test_an_answer_that_is_no_number_is_an_error():
    async def story(batcher, engine, model):
        model.engine = lambda images: np.full((len(images), 1), np.nan, np.float32)
        assert (await refused(batcher.submit(image(1)))).status == 500

    run(story)


def test_what_waits_at_the_end_is_answered_and_nothing_is_taken_on():
    async def story(batcher, engine, model):
        first = await blocked(batcher, engine)
        waiting = [ask(batcher, value) for value in (1, 2)]
        await asyncio.sleep(0.01)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0.01)
        refusal = await refused(batcher.submit(image(3)))
        assert refusal.status == 503
        assert "stopping" in refusal.sentence
        engine.gate.set()
        await closing
        assert [(await task)[0].ravel().tolist() for task in (first, *waiting)] == [[990], [10], [20]]

    run(story)


def test_batches_are_measured_and_passed_on():
    measured, seen = [], []

    async def story(batcher, engine, model):
        await batcher.submit(image(1, 2))
        wait_until(lambda: seen, "the batch")
        assert measured[0][0] == 2
        assert measured[0][1] > 0
        assert seen[0][0] is model
        assert seen[0][1].tolist() == image(1, 2).tolist()
        assert seen[0][2].tolist() == [[10], [20]]

    run(story, measure=lambda n, seconds: measured.append((n, seconds)), after=lambda *args: seen.append(args))


# --- the observer ---------------------------------------------------------------------------------------------------
class Counts(dict):
    def __call__(self, event, images):
        self[event] = self.get(event, 0) + images


def shadowed(engine):
    return SimpleNamespace(version="1", monitor=None, shadow=SimpleNamespace(version="2", engine=engine))


def test_the_shadow_is_counted_by_its_top_label():
    counts = Counts()
    model = shadowed(lambda images: np.array([[0, 1, 2], [1, 0, 2], [2, 3, 0]], np.float32))
    Observer("m", counts).see(model, image(1, 2, 3), np.array([[5, 1, 9], [1, 0, 0], [0, 7, 3]], np.float32))
    wait_until(lambda: sum(counts.values()) == 3, "the shadow")
    assert counts == {"agreed": 2, "disagreed": 1}


def test_a_shadow_that_fails_is_counted_and_logged(capfd):
    def broken(images):
        raise RuntimeError("the shadow is broken")

    counts = Counts()
    observer = Observer("m", counts)
    observer.see(shadowed(broken), image(1, 2), np.zeros((2, 2), np.float32))
    wait_until(lambda: counts.get("failed") == 2, "the failure")
    observer.see(shadowed(lambda images: np.zeros((1, 2), np.float32)), image(1), np.zeros((1, 2), np.float32))
    wait_until(lambda: counts.get("agreed") == 1, "the next batch")
    assert '"event": "shadow failed"' in capfd.readouterr().err


def test_a_shadow_that_hangs_delays_nobody():
    hang, counts = threading.Event(), Counts()

    def hanging(images):
        hang.wait(3)
        return np.zeros((1, 2), np.float32)

    observer = Observer("m", counts)
    start = time.monotonic()
    for _ in range(BEHIND + 10):
        observer.see(shadowed(hanging), image(1), np.zeros((1, 2), np.float32))
    assert time.monotonic() - start < 2
    assert counts["skipped"] >= 9
    hang.set()


def test_input_statistics_that_fail_do_not_end_the_observer(capfd):
    class Broken:
        def add(self, images):
            raise RuntimeError("no")

    counts = Counts()
    observer = Observer("m", counts)
    model = shadowed(lambda images: np.zeros((1, 2), np.float32))
    model.monitor = Broken()
    for _ in range(2):
        observer.see(model, np.zeros((1, 2, 2), np.uint8), np.zeros((1, 2), np.float32))
    wait_until(lambda: counts.get("agreed") == 2, "both batches")
    assert '"event": "input statistics failed"' in capfd.readouterr().err
