"""The endpoints of the Open Inference Protocol V2, the alias of TensorFlow Serving, pictures, and releases."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic_core import to_json

from helpers.serving import images, models, protocol
from helpers.serving import operations as op
from helpers.serving.live import softmax
from helpers.serving.protocol import Refusal

PLATFORMS = {"litert": "litert", "litert-float": "litert", "onnx": "onnxruntime_onnx"}
_BLANK = {"inputs": [{"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
_DECODERS = 2  # pictures that are decoded at the same time: each may take tens of megabytes


def add(app: FastAPI, service: Any) -> None:
    """Add the endpoints. ``service`` is a :class:`helpers.serving.app.Worker`."""
    _inference(app, service)
    _health(app, service)
    _metadata(app, service)
    _pictures(app, service)
    _releases(app, service)


def reply(content: Any) -> Response:
    return Response(to_json(content), media_type="application/json")


def media_type(request: Request, wanted: str, default: bool = True) -> None:
    """Refuse a body of another media type, or one that is compressed."""
    given = request.headers.get("content-type", wanted if default else "").partition(";")[0].strip().lower()
    if given != wanted:
        raise Refusal(
            415, f"The body has the media type {protocol.show(given)}; send the header 'Content-Type: {wanted}'."
        )
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Refusal(415, "The body is compressed; send it as it is, without Content-Encoding.")


def _inference(app: FastAPI, service: Any) -> None:
    errors = (400, 404, 408, 413, 415, 429)

    async def compute(request: Request, name: str, version: str | None, parse, check) -> tuple[Any, Any, Any]:
        """Parsed body, outputs and what computed them: the path that every inference takes."""
        live, batcher = service.model(name)
        media_type(request, "application/json")
        parsed = parse(await request.body())
        pixels = check(parsed, live.now().manifest, service.options.max_batch)
        request.scope["state"]["batch"] = len(pixels)
        outputs, used = await batcher.submit(pixels, version=version, gone=gone(request))
        return parsed, outputs, used

    @app.post("/v2/models/{name}/infer", tags=["inference"], responses=op.answers(op.InferResponse, *errors),
              openapi_extra=op.takes(protocol.InferRequest, _BLANK))  # fmt: skip
    async def infer(name: str, request: Request) -> Response:
        """Logits of one or more images."""
        return await answer(name, None, request)

    @app.post("/v2/models/{name}/versions/{version}/infer", tags=["inference"],
              responses=op.answers(op.InferResponse, *errors), openapi_extra=op.takes(protocol.InferRequest, _BLANK))  # fmt: skip
    async def infer_version(name: str, version: str, request: Request) -> Response:
        """The same, if this version is the active one."""
        service.version(name, version)
        return await answer(name, version, request)

    async def answer(name: str, version: str | None, request: Request) -> Response:
        parsed, outputs, used = await compute(
            request, name, version, lambda body: protocol.parse(protocol.InferRequest, body), protocol.infer_input
        )
        tensor = {"name": used.manifest["output"]["name"], "shape": outputs.shape, "datatype": "FP32",
                  "data": outputs.ravel().tolist()}  # fmt: skip
        content = {"model_name": name, "model_version": used.version, "outputs": [tensor]}
        if parsed.id is not None:
            content["id"] = parsed.id
        return reply(content)

    @app.post("/v1/models/{name}:predict", tags=["TensorFlow Serving"], responses=op.answers(op.PredictResponse, *errors),
              openapi_extra=op.takes(protocol.PredictRequest, {"instances": [[[0] * 28] * 28]}))  # fmt: skip
    async def predict(name: str, request: Request) -> Response:
        """Logits of images as nested lists."""
        outputs = (await compute(
            request, name, None, lambda body: protocol.parse(protocol.PredictRequest, body), protocol.predict_input
        ))[1]  # fmt: skip
        return reply({"predictions": outputs.tolist()})


def gone(request: Request):
    """Function that tells whether the client of a request has gone; without our own connections nobody ever has."""
    connection = request.scope.get("extensions", {}).get("book.connection")
    return connection.gone if connection is not None else bool


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


def _pictures(app: FastAPI, service: Any) -> None:
    decoders = asyncio.Semaphore(_DECODERS)
    body = {
        "requestBody": {"required": True, "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
    }

    @app.post("/v2/models/{name}/image", tags=["inference"], openapi_extra=body,
              responses=op.answers(op.Picture, 400, 404, 408, 413, 415, 429))  # fmt: skip
    async def image(name: str, request: Request) -> Response:
        """What a PNG shows."""
        live, batcher = service.model(name)
        media_type(request, "image/png", default=False)
        if live.now().manifest["input"]["shape"] != [-1, images.SIDE, images.SIDE]:
            raise Refusal(400, f"The model '{name}' does not take pictures of {images.SIDE} by {images.SIDE} pixels.")
        png = await request.body()
        async with decoders:
            try:
                digit = await asyncio.to_thread(images.decode_png, png)
            except images.ImageError as error:
                raise Refusal(400, str(error)) from None
        request.scope["state"]["batch"] = 1
        outputs, used = await batcher.submit(digit[None], gone=gone(request))
        probabilities = softmax(outputs[0].astype(float)).tolist()
        labels = used.manifest["labels"]
        best = labels[max(range(len(labels)), key=probabilities.__getitem__)]
        named = dict(zip(labels, probabilities, strict=True))
        return reply({"label": best, "probabilities": named, "model_version": used.version})


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
