"""The OpenAPI document: bodies and answers of every operation, complete enough to be attacked by a machine.

Endpoints take the raw request, which is fast; what they read and write is declared here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, Field

from helpers.serving import protocol

BODIES = (protocol.InferRequest, protocol.PredictRequest, protocol.IndexRequest, protocol.LoadRequest)


class Error(BaseModel):
    """Every error."""

    error: str


class Live(BaseModel):
    """The process answers."""

    live: bool


class Ready(BaseModel):
    """It may be sent requests."""

    ready: bool


class ServerMetadata(BaseModel):
    """The service."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor that a model takes or gives."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model; ``parameters`` holds the active version, the shadow and the labels."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    parameters: dict[str, Any]


class OutputTensor(BaseModel):
    """An output tensor, values in row-major order."""

    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferResponse(BaseModel):
    """The answer to an inference request."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[OutputTensor]


class PredictResponse(BaseModel):
    """The answer in the style of TensorFlow Serving."""

    predictions: list[list[float]]


class VersionStatus(BaseModel):
    """A version in the style of TensorFlow Serving."""

    version: str
    state: str
    status: dict[str, str]


class ModelStatus(BaseModel):
    """A model in the style of TensorFlow Serving."""

    model_version_status: list[VersionStatus]


class Picture(BaseModel):
    """What a picture shows."""

    label: str
    probabilities: dict[str, float]
    model_version: str


class IndexEntry(BaseModel):
    """A version on disk."""

    name: str
    version: str
    state: str = Field(description="READY, SHADOW or UNAVAILABLE.")
    reason: str


class Active(BaseModel):
    """What answers after a release."""

    name: str
    version: str
    shadow: str | None


REASONS = {
    400: "The request is wrong; the sentence says where.",
    401: "A token is needed.",
    403: "Not allowed.",
    404: "No such model or version.",
    408: "The body did not arrive in time.",
    409: "The version cannot be loaded.",
    413: "The body is too long.",
    415: "The body has another media type.",
    429: "The queue is full.",
    503: "Overloaded, starting or stopping.",
}


def answers(model: type[BaseModel] | None, *errors: int) -> dict[int, dict[str, Any]]:
    """Responses of an operation: 200 with a body, and errors."""
    every = {401, 503, *errors}
    found = {status: {"model": Error, "description": REASONS[status]} for status in sorted(every)}
    return ({200: {"model": model, "description": "Done."}} if model else {}) | found


def takes(model: type[BaseModel], example: Any, required: bool = True, path: Sequence[str] = ()) -> dict[str, Any]:
    """Body of an operation, and parameters in its path that FastAPI does not see, for ``openapi_extra``."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    media = {"application/json": {"schema": schema, "example": example}}
    found: dict[str, Any] = {"requestBody": {"required": required, "content": media}}
    if path:
        found["parameters"] = [{"name": p, "in": "path", "required": True, "schema": {"type": "string"}} for p in path]
    return found


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schemas of the bodies that FastAPI does not see."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = made["components"]["schemas"]
        for model in BODIES:
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
        for name in ("HTTPValidationError", "ValidationError"):  # what FastAPI would answer; this service does not
            schemas.pop(name, None)
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = made
    return app.openapi_schema
