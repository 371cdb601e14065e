"""What a request must look like, in the Open Inference Protocol V2, and one sentence when it does not.

The pydantic models parse the raw body once, and make the schemas of the OpenAPI document. Values of a tensor are checked
here rather than by pydantic, because ``bytes`` does it ten times as fast.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from itertools import chain
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

Data = Annotated[list[Any], WithJsonSchema({
    "type": "array",
    "minItems": 1,
    "description": "The values in row-major order, flat or nested as the shape says: integers from 0 to 255.",
    "items": {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"type": "array", "minItems": 1}]},
})]  # fmt: skip
Instances = Annotated[list[Any], WithJsonSchema({
    "type": "array",
    "minItems": 1,
    "description": "Images, each nested as rows of pixels: integers from 0 to 255.",
    "items": {"type": "array", "minItems": 1},
})]  # fmt: skip


class Refusal(Exception):
    """A request that is answered with an error: its status and one sentence."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None):
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, headers or {}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Tensor(_Strict):
    """An input tensor."""

    name: str
    shape: list[Annotated[int, Field(ge=0)]] = Field(description="For one digit [1, 28, 28].")
    datatype: str = Field(description="The model's datatype, UINT8.")
    parameters: dict[str, Any] | None = None
    data: Data


class RequestedOutput(_Strict):
    """An output that is wanted."""

    name: str
    parameters: dict[str, Any] | None = None


class InferRequest(_Strict):
    """Body of an inference request."""

    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[Tensor] = Field(min_length=1, max_length=1)
    outputs: list[RequestedOutput] | None = None


class PredictRequest(_Strict):
    """Body of a prediction in the style of TensorFlow Serving."""

    signature_name: str | None = None
    instances: Instances = Field(min_length=1)


class IndexRequest(_Strict):
    """Body of a listing."""

    ready: bool | None = None


class Choice(_Strict):
    """Which version answers, and which one watches."""

    version: str = Field(pattern=r"^[1-9][0-9]{0,17}$")
    shadow: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,17}$")] | None = None


class LoadRequest(_Strict):
    """Body of a release."""

    parameters: Choice


Body = TypeVar("Body", bound=BaseModel)


def parse(kind: type[Body], body: bytes) -> Body:
    """Parse and check a body.

    Raises
    ------
    Refusal
        400, with the first thing that is wrong.
    """
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise Refusal(400, _sentence(error)) from None


def infer_input(request: InferRequest, manifest: dict[str, Any], largest: int) -> np.ndarray:
    """Images of an inference request, uint8 (n, *shape of the manifest), 1 <= n <= largest.

    Raises
    ------
    Refusal
        400, if names, datatype, shape or values are not what the manifest says.
    """
    tensor, wanted, output = request.inputs[0], manifest["input"], manifest["output"]["name"]
    if tensor.name != wanted["name"]:
        raise Refusal(400, f"The model has no input {show(tensor.name)}; its input is '{wanted['name']}'.")
    if tensor.datatype != wanted["datatype"]:
        raise Refusal(400, f"Input '{tensor.name}' has the datatype {show(tensor.datatype)}; the model takes "
                           f"{wanted['datatype']}.")  # fmt: skip
    for asked in request.outputs or ():
        if asked.name != output:
            raise Refusal(400, f"The model has no output {show(asked.name)}; its output is '{output}'.")
    if len(tensor.shape) != len(wanted["shape"]) or tensor.shape[1:] != wanted["shape"][1:] or tensor.shape[0] < 1:
        shape = ["n", *wanted["shape"][1:]]
        raise Refusal(400, f"Input '{tensor.name}' has the shape {show(tensor.shape)}; the model takes "
                           f"[{', '.join(map(str, shape))}] with n of at least 1.")  # fmt: skip
    return pixels(tensor.name, tensor.data, tensor.shape, largest)


def predict_input(request: PredictRequest, manifest: dict[str, Any], largest: int) -> np.ndarray:
    """Images of a prediction in the style of TensorFlow Serving, uint8 (n, *shape of the manifest)."""
    shape = [len(request.instances), *manifest["input"]["shape"][1:]]
    if len(shape) > 1 and not all(type(one) is list and len(one) == shape[1] for one in request.instances):
        raise Refusal(400, f"'instances' must be a list of images, each a nested list of shape {shape[1:]}.")
    return pixels("instances", request.instances, shape, largest)


def pixels(name: str, data: list[Any], shape: list[int], largest: int) -> np.ndarray:
    """Values of a UINT8 tensor, flat or nested.

    Raises
    ------
    Refusal
        400, if there are too many images, the nesting or the number of values does not fit the shape, or a value is not
        an integer from 0 to 255. Booleans, NaN, strings and numbers with a point are not integers.
    """
    if shape[0] > largest:
        raise Refusal(400, f"Input '{name}' holds {show(shape[0])} images; at most {largest} may come in one request.")
    count = math.prod(shape)
    flat = data
    if data and type(data[0]) is list:
        for depth, width in enumerate(shape[1:], 1):
            if not all(type(part) is list and len(part) == width for part in flat):
                raise Refusal(400, f"Input '{name}' is nested in a way that does not fit its shape {show(shape)}: "
                                   f"at depth {depth} not every part is a list of {width}.")  # fmt: skip
            flat = list(chain.from_iterable(flat))
    if len(flat) != count:
        raise Refusal(400, f"Input '{name}' holds {len(flat)} values; its shape {show(shape)} needs {count}.")
    if set(map(type, flat)) == {int}:
        try:
            return np.frombuffer(bytes(flat), np.uint8).reshape(shape)
        except (ValueError, OverflowError):  # a value out of range
            pass
    place, value = next((i, v) for i, v in enumerate(flat) if type(v) is not int or not 0 <= v <= 255)
    raise Refusal(400, f"Input '{name}' holds {show(value)} at position {place}; every value must be an integer from 0 "
                       "to 255.")  # fmt: skip


def show(value: Any) -> str:
    """A value of a request in an error message: recognisable, never long."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "an infinity"
    if isinstance(value, int) and abs(value) >= 10**18:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, dict):
        return f"an object with {len(value)} members"
    if isinstance(value, (list, tuple)):
        if len(value) > 8:
            return f"a list of {len(value)}"
        return "[" + ", ".join(show(v) if not isinstance(v, (list, dict)) else "..." for v in value) + "]"
    text = repr(value[:40] if isinstance(value, str) else value)
    return text.encode("utf-8", "backslashreplace").decode()


def error_body(status: int, sentence: str) -> dict[str, str]:
    """The shape of every error; without a sentence of its own it says what the status means."""
    return {"error": sentence or HTTPStatus(status).description or HTTPStatus(status).phrase}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
    where = ".".join(str(part)[:40] for part in first["loc"])
    if first["type"] == "missing":
        return f"The body lacks the field '{where}'."
    if first["type"] == "extra_forbidden":
        return f"The body has a field '{where}' that is not known here."
    message = first["msg"][:1].lower() + first["msg"][1:]
    place = f" at '{where}'" if where else ""
    return f"The body is wrong{place}: {message}, got {show(first['input'])}."
