"""The endpoints that compute nothing: health, metadata, releases."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response

from helpers.serving import models, protocol
from helpers.serving import operations as op
from helpers.serving.inference import media_type, reply
from helpers.serving.protocol import Refusal

PLATFORMS = {"litert": "litert", "litert-float": "litert", "onnx": "onnxruntime_onnx"}


def add(app: FastAPI, service: Any) -> None:
    """Add the endpoints. ``service`` is a :class:`helpers.serving.app.Worker`."""
    _health(app, service)
    _metadata(app, service)
    _releases(app, service)


def _health(app: FastAPI, service: Any) -> None:
    @app.get("/v2/health/live", tags=["health"], responses={200: {"model": op.Live}, 503: {"model": op.Error}})
    async def live() -> Response:
        """Whether the process answers."""
        return reply({"live": True})

    @app.get("/v2/health/ready", tags=["health"], responses={200: {"model": op.Ready}, 503: {"model": op.Error}})
    async def ready() -> Response:
        """Whether it may be sent requests: not while it starts or stops."""
        service.check_ready()
        return reply({"ready": True})

    @app.get("/v2/models/{name}/ready", tags=["health"], responses=op.answers(op.Ready, 404))
    async def model_ready(name: str) -> Response:
        """Whether a model answers."""
        service.model(name)
        service.check_ready()
        return reply({"ready": True})

    @app.get("/v2/models/{name}/versions/{version}/ready", tags=["health"], responses=op.answers(op.Ready, 404))
    async def version_ready(name: str, version: str) -> Response:
        """Whether this version answers."""
        service.version(name, version)
        service.check_ready()
        return reply({"ready": True})


def _metadata(app: FastAPI, service: Any) -> None:
    def metadata(name: str) -> dict[str, Any]:
        live = service.model(name)[0]
        now = live.now()
        return {
            "name": name,
            "versions": [now.version],
            "platform": PLATFORMS[live.engine_name],
            "inputs": [now.manifest["input"]],
            "outputs": [now.manifest["output"]],
            "parameters": {"shadow": now.shadow and now.shadow.version, "labels": now.manifest["labels"]},
        }

    @app.get("/v2", tags=["metadata"], responses=op.answers(op.ServerMetadata))
    async def server() -> Response:
        """The service."""
        return reply({"name": app.title, "version": app.version, "extensions": ["model_repository"]})

    @app.get("/v2/models/{name}", tags=["metadata"], responses=op.answers(op.ModelMetadata, 404))
    async def model(name: str) -> Response:
        """Inputs, outputs and labels of a model."""
        return reply(metadata(name))

    @app.get("/v2/models/{name}/versions/{version}", tags=["metadata"], responses=op.answers(op.ModelMetadata, 404))
    async def model_version(name: str, version: str) -> Response:
        """The same, if this version is the active one."""
        service.version(name, version)
        return reply(metadata(name))

    @app.get("/v1/models/{name}", tags=["TensorFlow Serving"], responses=op.answers(op.ModelStatus, 404))
    async def status(name: str) -> Response:
        """The active version of a model."""
        version = service.model(name)[0].now().version
        fine = {"error_code": "OK", "error_message": ""}
        return reply({"model_version_status": [{"version": version, "state": "AVAILABLE", "status": fine}]})


def _releases(app: FastAPI, service: Any) -> None:
    def listing(ready: bool) -> list[dict[str, str]]:
        found = []
        for live, _ in service.models.values():
            now = live.now()
            watching = now.shadow and now.shadow.version
            for version in models.versions(live.folder):
                state = {now.version: "READY", watching: "SHADOW"}.get(version, "UNAVAILABLE")
                reason = "" if state != "UNAVAILABLE" else "not loaded"
                if state == "READY" or not ready:
                    found.append({"name": live.name, "version": version, "state": state, "reason": reason})
        return found

    @app.post("/v2/repository/index", tags=["releases"], responses=op.answers(list[op.IndexEntry], 400, 408, 413, 415),
              openapi_extra=op.takes(protocol.IndexRequest, {}, required=False))  # fmt: skip
    async def index(request: Request) -> Response:
        """Versions on disk, and which of them are loaded."""
        content = await request.body()
        asked = protocol.IndexRequest()
        if content:
            media_type(request, "application/json")
            asked = protocol.parse(protocol.IndexRequest, content)
        try:
            return reply(await asyncio.to_thread(listing, bool(asked.ready)))
        except models.ModelError as error:
            raise Refusal(409, str(error)) from None

    @app.post("/v2/repository/models/{name}/load", tags=["releases"],
              responses=op.answers(op.Active, 400, 403, 404, 408, 409, 413, 415),
              openapi_extra={**op.takes(protocol.LoadRequest, {"parameters": {"version": "1", "shadow": None}}),
                             "security": [{"token": []}]})  # fmt: skip
    async def load(name: str, request: Request) -> Response:
        """Let a version answer, and perhaps another one watch. Answers when this worker has it."""
        if not service.options.token:
            raise Refusal(403, "Releases over HTTP need a token, and this service has none: start it with --token-file FILE "
                               "or with the environment variable BOOK_SERVE_TOKEN.")  # fmt: skip
        live = service.model(name)[0]
        media_type(request, "application/json")
        choice = protocol.parse(protocol.LoadRequest, await request.body()).parameters
        try:
            await live.release(choice.version, choice.shadow)
        except models.UnknownVersion as error:
            raise Refusal(404, str(error)) from None
        except models.ModelError as error:
            raise Refusal(409, str(error)) from None
        now = live.now()
        return reply({"name": name, "version": now.version, "shadow": now.shadow and now.shadow.version})
