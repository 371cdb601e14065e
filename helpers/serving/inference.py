"""The endpoints that compute: V2 inference, the alias of TensorFlow Serving, pictures.

They take the raw request and read the model's name from it: as an argument it would pass through FastAPI's machinery, which
costs as much time as the rest of a request.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic_core import to_json

from helpers.serving import images, protocol
from helpers.serving import operations as op
from helpers.serving.live import softmax
from helpers.serving.protocol import InferRequest, PredictRequest, Refusal

_ERRORS = (400, 404, 408, 413, 415, 429)
_BLANK = {"inputs": [{"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}]}
_DECODERS = 2  # pictures that are decoded at the same time: each may take tens of megabytes


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


def gone(request: Request):
    """Function that tells whether the client of a request has gone; without our own connections nobody ever has."""
    connection = request.scope.get("extensions", {}).get("book.connection")
    return connection.gone if connection is not None else bool


def add(app: FastAPI, service: Any) -> None:
    """Add the endpoints. ``service`` is a :class:`helpers.serving.app.Worker`."""

    async def compute(request: Request, kind: type, read, version: str | None = None) -> tuple[Any, Any, Any]:
        """Parsed body, outputs and what computed them: the way that every inference goes."""
        live, batcher = service.model(request.path_params["name"])
        media_type(request, "application/json")
        parsed = protocol.parse(kind, await request.body())
        pixels = read(parsed, live.now().manifest, service.options.max_batch)
        request.scope["state"]["batch"] = len(pixels)
        return parsed, *await batcher.submit(pixels, version=version, gone=gone(request))

    async def answer(request: Request, version: str | None = None) -> Response:
        parsed, outputs, used = await compute(request, InferRequest, protocol.infer_input, version)
        name = used.manifest["output"]["name"]
        tensor = {"name": name, "shape": outputs.shape, "datatype": "FP32", "data": outputs.ravel().tolist()}
        content = {"model_name": request.path_params["name"], "model_version": used.version, "outputs": [tensor]}
        if parsed.id is not None:
            content["id"] = parsed.id
        return reply(content)

    @app.post("/v2/models/{name}/infer", tags=["inference"], responses=op.answers(op.InferResponse, *_ERRORS),
              openapi_extra=op.takes(InferRequest, _BLANK, path=["name"]))  # fmt: skip
    async def infer(request: Request) -> Response:
        """Logits of one or more images."""
        return await answer(request)

    @app.post("/v2/models/{name}/versions/{version}/infer", tags=["inference"],
              responses=op.answers(op.InferResponse, *_ERRORS),
              openapi_extra=op.takes(InferRequest, _BLANK, path=["name", "version"]))  # fmt: skip
    async def infer_version(request: Request) -> Response:
        """The same, if this version is the active one."""
        service.version(**request.path_params)
        return await answer(request, request.path_params["version"])

    @app.post("/v1/models/{name}:predict", tags=["TensorFlow Serving"], responses=op.answers(op.PredictResponse, *_ERRORS),
              openapi_extra=op.takes(PredictRequest, {"instances": [[[0] * 28] * 28]}, path=["name"]))  # fmt: skip
    async def predict(request: Request) -> Response:
        """Logits of images as nested lists."""
        outputs = (await compute(request, PredictRequest, protocol.predict_input))[1]
        return reply({"predictions": outputs.tolist()})

    _pictures(app, service)


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
        try:
            async with asyncio.timeout(service.options.deadline):
                await decoders.acquire()
        except TimeoutError:
            raise Refusal(503, "Too many pictures wait to be decoded; try again later.", {"Retry-After": "1"}) from None
        try:
            digit = await asyncio.to_thread(images.decode_png, png)
        except images.ImageError as error:
            raise Refusal(400, str(error)) from None
        finally:
            decoders.release()
        request.scope["state"]["batch"] = 1
        outputs, used = await batcher.submit(digit[None], gone=gone(request))
        probabilities = softmax(outputs[0].astype(float)).tolist()
        labels = used.manifest["labels"]
        best = labels[max(range(len(labels)), key=probabilities.__getitem__)]
        named = dict(zip(labels, probabilities, strict=True))
        return reply({"label": best, "probabilities": named, "model_version": used.version})
