"""Metrics for Prometheus. Each worker process counts for itself: with several, a scrape shows one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

disable_created_metrics()  # when a counter began is of no use here and doubles the page
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


class Metrics:
    """The counters and histograms of one worker."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        make = {"registry": self.registry}
        self._requests = Counter("serving_requests", "Requests answered.", ["route", "status"], **make)
        self._latency = Histogram("serving_request_seconds", "From the request's headers to the end of the answer.",
                                  ["route"], buckets=SECONDS, **make)  # fmt: skip
        self._batch = Histogram("serving_batch_images", "Images computed together.", ["model"], buckets=IMAGES, **make)
        self._inference = Histogram("serving_inference_seconds", "One call of the engine.", ["model"], buckets=SECONDS,
                                    **make)  # fmt: skip
        self._shadow = Counter("serving_shadow_images", "Images the shadow version computed, by agreement of the top label.",
                               ["model", "result"], **make)  # fmt: skip
        self._skipped = Counter("serving_unwatched_images", "Images not watched because the observer was behind.",
                                ["model"], **make)  # fmt: skip
        self._known: dict = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        key = (route, status)
        if key not in self._known:  # looking children up by label is slower than a dictionary
            self._known[key] = self._requests.labels(route, status), self._latency.labels(route)
        counter, histogram = self._known[key]
        counter.inc()
        histogram.observe(seconds)

    def inference(self, model: str) -> Callable[[int, float], None]:
        """A function that records a batch of a model: (images, seconds)."""
        batch, inference = self._batch.labels(model), self._inference.labels(model)

        def record(images: int, seconds: float) -> None:
            batch.observe(images)
            inference.observe(seconds)

        return record

    def observed(self, model: str) -> Callable[[str, int], None]:
        """A function that counts what an observer saw: (event, images)."""
        children = {result: self._shadow.labels(model, result) for result in ("agreed", "disagreed", "failed")}
        children["skipped"] = self._skipped.labels(model)
        return lambda event, images: children[event].inc(images)

    def text(self) -> bytes:
        """Everything in the text format of Prometheus."""
        return generate_latest(self.registry)


class State(Collector):
    """What is read off when somebody asks: queue, version, drift.

    Parameters
    ----------
    models : iterable of (live model, batcher)
    """

    def __init__(self, models: Iterable):
        self._models = list(models)

    def collect(self):
        depth = GaugeMetricFamily("serving_queue_depth", "Requests that wait.", labels=["model"])
        info = GaugeMetricFamily("serving_model_info", "1 for the version that answers.",
                                 labels=["model", "version", "shadow", "engine"])  # fmt: skip
        psi = GaugeMetricFamily("serving_input_psi", "Population stability index of the input against training.",
                                labels=["model", "feature"])  # fmt: skip
        alarm = GaugeMetricFamily("serving_input_drift_alarm", "1 if the input has shifted.", labels=["model"])
        for live, batcher in self._models:
            now = live.now()
            depth.add_metric([live.name], batcher.depth)
            shadow = now.shadow.version if now.shadow else ""
            info.add_metric([live.name, now.version, shadow, live.engine_name], 1)
            if now.monitor is not None:
                for feature, value in now.monitor.score().items():
                    psi.add_metric([live.name, feature], float("nan") if value is None else value)
                alarm.add_metric([live.name], float(now.monitor.alarm))
        return [depth, info, psi, alarm]
