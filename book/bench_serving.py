"""``python -m book bench serving``: what an answer costs, in process, from our service, and from others.

Three rounds in turn, so that what else the machine does meets all of them; medians are compared. Then 200 clients at once.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import psutil

from book import BookError
from book.paths import REPOSITORY, Paths
from helpers import serving
from helpers.serving import engines, kserve, load, models

ROUNDS, SECONDS, MANY, LONG = 3, 3.0, 200, 30.0
# What one writes first: the network of chapter 5 (the weights do not matter for the time) behind model.predict.
_NAIVE = """
import socket
import keras, numpy as np, uvicorn
from fastapi import FastAPI
layers = keras.layers
model = keras.Sequential([
    keras.Input((28, 28, 1)),
    layers.Conv2D(16, 5, use_bias=False), layers.MaxPooling2D(), layers.BatchNormalization(), layers.ReLU(),
    layers.Conv2D(32, 5, use_bias=False), layers.MaxPooling2D(), layers.BatchNormalization(), layers.ReLU(),
    layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(10),
])
app = FastAPI()
@app.post("/predict")
def predict(body: dict):
    pixels = np.array(body["inputs"][0]["data"], dtype="float32").reshape(-1, 28, 28, 1) / 255
    return {"predictions": model.predict(pixels, verbose=0).tolist()}
predict({"inputs": [{"data": [0] * 784}]})
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(2048)
print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
"""


def folder(paths: Paths, given: Path | None = None) -> Path:
    """The folder of models to measure with: the book's own, or the one that was named.

    Raises
    ------
    BookError
        If there is no model in it.
    """
    place = given or paths.artifacts / "models"
    try:
        models.find_models(place)
    except models.ModelError as error:
        raise BookError(f"{error} Build the book first (make book), or name a folder with --models.") from error
    return place


def measure(place: Path) -> dict[str, tuple[str, str]]:
    """Rows of the table: measure, value, target."""
    name, home = next(iter(models.find_models(place).items()))
    version = models.active(home)["version"]
    manifest = models.read_manifest(home, version)
    kind = next(iter(manifest["engines"])) if "litert" not in manifest["engines"] else "litert"
    engine = engines.load(home, version, kind)
    image = np.random.default_rng(0).integers(0, 256, (1, *manifest["input"]["shape"][1:]), dtype=np.uint8)
    tensor = {**manifest["input"], "shape": list(image.shape), "data": image.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    infer = f"/v2/models/{name}/infer"

    with ExitStack() as running:
        own = running.enter_context(serving.start(place, engine=kind)).url
        naive = running.enter_context(_naive())
        parts: dict[str, Callable[[], float]] = {
            "process": lambda: _median_ms(lambda: engine(image)),
            "own one": lambda: load.measure(own, body, path=infer, clients=1, seconds=SECONDS).p50,
            "own": lambda: _rate(own, body, infer),
            "naive": lambda: _rate(naive, body, "/predict"),
        }
        if kserve.available():
            other = running.enter_context(kserve.start(place, engine=kind)).url
            parts["kserve"] = lambda: _rate(other, body, infer)
        rounds = []
        for number in range(ROUNDS):
            print(f"Serving, round {number + 1} of {ROUNDS} ({kind}) ...", flush=True)
            rounds.append({part: call() for part, call in parts.items()})
    median = {part: statistics.median(one[part] for one in rounds) for part in parts}
    with serving.start(place, engine=kind) as service:
        print(f"Serving, {MANY} clients for {LONG:g} s ...", flush=True)
        report, memory = _crowd(service, body, infer)
    return _rows(median, kind) | _crowd_rows(report, memory)


def _rows(median: dict[str, float], kind: str) -> dict[str, tuple[str, str]]:
    limit = 2.5 * median["process"] + 1
    rows = {
        f"one image in process, {kind}, p50": (f"{median['process']:.3f} ms", ""),
        "own service, 1 client, p50": (
            f"{median['own one']:.2f} ms",
            f"at most {limit:.2f} ms (2.5 x in process + 1 ms)",
        ),
        "own service, 8 clients": (f"{median['own']:,.0f} answers/s", ""),
        "model.predict behind FastAPI, 8 clients": (f"{median['naive']:,.0f} answers/s", ""),
        "own service / model.predict": (f"{median['own'] / median['naive']:.1f}", "at least 40"),
    }
    if "kserve" in median:
        rows["KServe's server, same files, 8 clients"] = (f"{median['kserve']:,.0f} answers/s", "")
        rows["own service / KServe's server"] = (f"{median['own'] / median['kserve']:.2f}", "at least 0.9")
    else:
        rows["KServe's server"] = ("not measured: .venv-kserve is absent (make engines)", "")
    return rows


def _crowd_rows(report: load.Report, memory: float) -> dict[str, tuple[str, str]]:
    who = f"{MANY} clients, {LONG:g} s"
    counts = ", ".join(f"{status}: {count:,}" for status, count in sorted(report.status.items(), key=str))
    times = ", ".join(f"{value:.0f}" for value in (report.p50, report.p95, report.p99))
    return {
        f"{who}: answers by status": (counts, "nothing lost; besides 200 only 429 and 503"),
        f"{who}: p50, p95, p99": (f"{times} ms", ""),
        f"{who}: largest resident memory": (f"{memory:.0f} MiB", ""),
    }


def _rate(url: str, body: bytes, path: str) -> float:
    report = load.measure(url, body, path=path, clients=8, seconds=SECONDS)
    if set(report.status) != {200}:
        raise BookError(f"{url}{path} answered {dict(report.status)}; a rate of errors is not measured.")
    return report.rate


def _median_ms(call: Callable[[], object], times: int = 2000) -> float:
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - begin))
    return statistics.median(taken)


def _crowd(service: serving.Service, body: bytes, path: str) -> tuple[load.Report, float]:
    """Many clients at once, and the largest memory of the service meanwhile, in MiB."""
    process, done, largest = psutil.Process(service.pid), threading.Event(), [0]

    def watch() -> None:
        while not done.wait(0.1):
            family = [process, *process.children(recursive=True)]
            largest[0] = max(largest[0], sum(one.memory_info().rss for one in family))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        report = load.measure(service.url, body, path=path, clients=MANY, seconds=LONG)
    finally:
        done.set()
        watcher.join()
    return report, largest[0] / 2**20


@contextmanager
def _naive():
    """Address of the naive endpoint, in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", _NAIVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               cwd=REPOSITORY)  # fmt: skip
    try:
        address = process.stdout.readline().strip()
        if not address:
            raise BookError(f"The naive endpoint did not start (exit status {process.wait()}).")
        yield address
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()
