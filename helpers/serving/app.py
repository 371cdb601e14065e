"""One worker process: its models, its application, its beginning and its end."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from helpers import __version__
from helpers.serving import inference, logs, operations, routes
from helpers.serving.batching import Batcher
from helpers.serving.guard import Guard
from helpers.serving.live import LiveModel
from helpers.serving.metrics import CONTENT_TYPE, Metrics, State
from helpers.serving.models import find_models
from helpers.serving.observers import Observer
from helpers.serving.protocol import Refusal, error_body, show


@dataclass(frozen=True)
class Options:
    """What the command line sets. Seconds and bytes."""

    models: Path
    engine: str = "litert"
    max_batch: int = 32
    queue: int = 128
    deadline: float = 2.0
    max_body: int = 2_000_000
    clients: int = 512
    body_timeout: float = 5.0
    header_timeout: float = 5.0
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Application:
    """Makes the application in the process that runs it. It is pickled for a worker, so it holds only the options.

    Attributes
    ----------
    fallback : dict
        Version of each model that answered when the service began.
    """

    options: Options
    fallback: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> Guard:
        logs.configure()
        _end_with_parent()
        options = self.options
        worker = Worker(options, load_models(options, self.fallback))
        return Guard(worker.app, worker.metrics, max_body=options.max_body, body_timeout=options.body_timeout,
                     token=options.token)  # fmt: skip


def load_models(options: Options, fallback: dict[str, str] | None = None) -> list[LiveModel]:
    """Load the active version of every model.

    Raises
    ------
    ModelError
        If there is none, or one is damaged.
    """
    fallback = fallback or {}
    return [
        LiveModel(folder, options.engine, options.max_batch, fallback.get(name))
        for name, folder in find_models(options.models).items()
    ]


class Worker:
    """The state of one worker process.

    Attributes
    ----------
    models : dict of str to (LiveModel, Batcher)
        Filled when the application starts.
    app : FastAPI
    """

    def __init__(self, options: Options, live: list[LiveModel]):
        self.options, self._live = options, live
        self.metrics = Metrics()
        self.models: dict[str, tuple[LiveModel, Batcher]] = {}
        self.stopping = False
        self.app = FastAPIOffline(
            redoc_url=None, title="helpers.serving", version=__version__, lifespan=self._life,
            swagger_ui_parameters={"validatorUrl": None},  # it would send the document to a server of its makers
            description="Models of the book, in the Open Inference Protocol V2.",
        )  # fmt: skip
        self.app.openapi = lambda: operations.document(self.app)
        _errors(self.app)
        inference.add(self.app, self)  # first: the router looks in this order
        routes.add(self.app, self)
        self.app.get("/metrics", tags=["health"], responses={200: {"content": {"text/plain": {}}}, 401: {"model": operations.Error}},
                     response_class=Response)(self._metrics)  # fmt: skip

    def model(self, name: str) -> tuple[LiveModel, Batcher]:
        """A model by name; 404 if there is none."""
        try:
            return self.models[name]
        except KeyError:
            raise Refusal(404, f"There is no model {show(name)}; there are: {', '.join(self.models)}.") from None

    def version(self, name: str, version: str) -> None:
        """404 unless this version of the model is the active one."""
        now = self.model(name)[0].now().version
        if version != now:
            raise Refusal(404, f"Version {show(version)} of '{name}' is not active; version {now} is.")

    def check_ready(self) -> None:
        """503 while the service stops."""
        if self.stopping:
            raise Refusal(503, "The service is stopping.")

    @contextlib.asynccontextmanager
    async def _life(self, app: FastAPI):
        batchers, watchers = [], []
        for live in self._live:
            observer = Observer(live.name, self.metrics.observed(live.name))
            batcher = Batcher(
                live.now, largest=self.options.max_batch, queue=self.options.queue, deadline=self.options.deadline,
                measure=self.metrics.inference(live.name), after=observer.see,
            )  # fmt: skip
            self.models[live.name] = live, batcher
            batchers.append(batcher)
            watchers.append(asyncio.create_task(live.watch()))
        self.metrics.registry.register(State(self.models.values()))
        self._hear_the_end()
        logs.event("info", "started", pid=os.getpid(), models={live.name: live.now().version for live in self._live})
        yield
        self.stopping = True
        for watcher in watchers:
            watcher.cancel()
        for batcher in batchers:
            await batcher.close()
        logs.event("info", "stopped", pid=os.getpid())

    def _hear_the_end(self) -> None:
        """Turn 'not ready' at the moment of the signal; the server looks only ten times a second."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            before = signal.getsignal(number)

            def heard(number, frame, before=before):
                self.stopping = True
                if callable(before):
                    before(number, frame)

            signal.signal(number, heard)

    async def _metrics(self) -> Response:
        """Metrics for Prometheus; with several workers, those of one of them."""
        return Response(self.metrics.text(), media_type=CONTENT_TYPE)


def _errors(app: FastAPI) -> None:
    """Every error in the shape of the V2 protocol."""

    @app.exception_handler(Refusal)
    async def refusal(request, error: Refusal) -> JSONResponse:
        return JSONResponse(error_body(error.status, error.sentence), error.status, error.headers)

    @app.exception_handler(HTTPException)
    async def http(request, error: HTTPException) -> JSONResponse:
        sentences = {
            404: "There is nothing at this address; the documentation is at /docs.",
            405: f"The method {request.method} is not possible here.",
        }
        return JSONResponse(error_body(error.status_code, sentences.get(error.status_code, str(error.detail))),
                            error.status_code, error.headers)  # fmt: skip

    @app.exception_handler(RequestValidationError)
    async def invalid(request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(error_body(400, "The address or a header of the request is wrong."), 400)

    @app.exception_handler(Exception)
    async def unexpected(request, error: Exception) -> JSONResponse:
        return JSONResponse(error_body(500, "The service failed; its log says why under this request's id."), 500)


def _end_with_parent() -> None:
    """A worker stops when the process that supervises it is gone, however that ended."""
    parent: Any = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()
