"""Parsing of requests: any body is either images or one sentence."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_fixtures import body, images

from helpers.serving import protocol
from helpers.serving.protocol import InferRequest, PredictRequest, Refusal

MANIFEST = {
    "input": {"name": "image", "datatype": "UINT8", "shape": [-1, 2, 3]},
    "output": {"name": "logits", "datatype": "FP32", "shape": [-1, 10]},
}
LARGEST = 4


def infer(content: bytes) -> np.ndarray:
    return protocol.infer_input(protocol.parse(InferRequest, content), MANIFEST, LARGEST)


def predict(content: bytes) -> np.ndarray:
    return protocol.predict_input(protocol.parse(PredictRequest, content), MANIFEST, LARGEST)


def request(data, shape=(1, 2, 3), **change) -> bytes:
    tensor = {"name": "image", "shape": list(shape), "datatype": "UINT8", "data": data, **change}
    return json.dumps({"inputs": [tensor]}).encode()


def sentence(content: bytes, parse=infer) -> str:
    with pytest.raises(Refusal) as caught:
        parse(content)
    assert_refused(caught.value)
    return caught.value.sentence


def assert_refused(refusal: Refusal) -> None:
    """A status of 400 and one sentence that can be sent."""
    text = refusal.sentence
    assert refusal.status == 400
    assert text.endswith(".")
    assert "\n" not in text
    assert len(text) < 400
    text.encode("utf-8")  # a lone surrogate could not be sent


SMALL = [1, 2, 3, 4, 5, 6]


# --- what is right --------------------------------------------------------------------------------------------------
@given(st.integers(1, LARGEST).flatmap(lambda n: st.binary(min_size=6 * n, max_size=6 * n)))
def test_flat_and_nested_data_are_the_same_images(content):
    wanted = np.frombuffer(content, np.uint8).reshape(-1, 2, 3)
    flat = infer(request(list(content), wanted.shape))
    nested = infer(request(wanted.tolist(), wanted.shape))
    alias = predict(json.dumps({"instances": wanted.tolist()}).encode())
    for found in (flat, nested, alias):
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, wanted)


def test_optional_parts_are_accepted():
    content = json.loads(request(SMALL, parameters={"a": 1}))
    content.update(id="x", parameters={}, outputs=[{"name": "logits", "parameters": {}}])
    assert infer(json.dumps(content).encode()).shape == (1, 2, 3)


# --- what is wrong --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("NaN", "NaN"),
        ("Infinity", "an infinity"),
        ("-Infinity", "an infinity"),
        ("true", "true"),
        ("false", "false"),
        ("null", "null"),
        ('"7"', "'7'"),
        ("7.0", "7.0"),
        ("1e2", "100.0"),
        ("256", "256"),
        ("-1", "-1"),
        ("9" * 400, "an integer of 1329 bits"),
        ("{}", "an object with 0 members"),
    ],
)
@pytest.mark.parametrize("place", [0, 5])
def test_a_value_that_is_no_pixel_is_named_with_its_place(text, shown, place):
    values = ["1"] * 6
    values[place] = text
    content = request([]).replace(b'"data": []', f'"data": [{",".join(values)}]'.encode())
    assert (
        sentence(content)
        == f"Input 'image' holds {shown} at position {place}; every value must be an integer from 0 to 255."
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "recursion limit"),
        (b"[]", "should be an object"),
        (b"{}", "lacks the field 'inputs'"),
        (b'{"inputs": []}', "at least 1 item"),
        (b'{"inputs": [{}]}', "lacks the field 'inputs.0.name'"),
        (b'{"inputs": [], "ouputs": []}', "'inputs'"),
        (request(SMALL, extra=1), "'inputs.0.extra' that is not known"),
        (request(SMALL, name="picture"), "no input 'picture'; its input is 'image'"),
        (request(SMALL, datatype="FP32"), "'FP32'; the model takes UINT8"),
        (request(SMALL, [1, 6]), "shape [1, 6]; the model takes [n, 2, 3]"),
        (request(SMALL, [1, 3, 2]), "shape [1, 3, 2]"),
        (request([], [0, 2, 3]), "shape [0, 2, 3]"),
        (request(SMALL, [-1, 2, 3]), "'inputs.0.shape.0'"),
        (request(SMALL, [1.0, 2, 3]), "'inputs.0.shape.0'"),
        (request(SMALL, [True, 2, 3]), "'inputs.0.shape.0'"),
        (request(SMALL, [2, 2, 3]), "holds 6 values; its shape [2, 2, 3] needs 12"),
        (request(SMALL[:5]), "holds 5 values"),
        (request([*SMALL, 7]), "holds 7 values"),
        (request([]), "holds 0 values"),
        (request([1] * 30, [5, 2, 3]), "holds 5 images; at most 4"),
        (request(SMALL, [10**30, 2, 3]), "holds an integer of 100 bits images"),
        (request([[1, 2, 3], [4, 5, 6]]), "does not fit its shape"),
        (request([[[1, 2, 3], [4, 5]]]), "depth 2"),
        (request([[[1, 2, 3], 4]]), "depth 2"),
        (request([[[1, 2, 3], [4, 5, 6]], 7], [2, 2, 3]), "depth 1"),
        (request([[[1, 2, 3], [4, 5, [6]]]]), "holds [6] at position 5"),
        (request("AQIDBAUG"), "'inputs.0.data'"),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(content, words):
    assert words in sentence(content)


def test_two_inputs_are_one_too_many():
    content = json.loads(request(SMALL))
    content["inputs"] *= 2
    assert "at most 1 item" in sentence(json.dumps(content).encode())


def test_an_unknown_output_is_refused():
    content = {**json.loads(request(SMALL)), "outputs": [{"name": "logits"}, {"name": "softmax"}]}
    assert "no output 'softmax'; its output is 'logits'" in sentence(json.dumps(content).encode())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"instances": []}, "at least 1 item"),
        ({"instances": [1]}, "list of images"),
        ({"instances": [SMALL]}, "list of images"),
        ({"instances": [[[1, 2, 3], [4, 5, 6]]] * 5}, "at most 4"),
        ({"instances": [[[1, 2, 3], [4, 5, 6.5]]]}, "holds 6.5 at position 5"),
        ({"instances": [[[1, 2, 3], [4, 5, True]]]}, "holds true"),
        ({"inputs": [[[1, 2, 3], [4, 5, 6]]]}, "lacks the field 'instances'"),
    ],
)
def test_the_alias_is_as_strict(content, words):
    assert words in sentence(json.dumps(content).encode(), predict)


def test_what_is_shown_of_a_value_is_short_and_can_be_sent():
    for value in (
        "x" * 10_000,
        "\ud800",
        [[1] * 1000] * 8,
        list(range(1000)),
        {"a": 1},
        10**5000,
        -(10**5000),
        "line\nline",
    ):
        text = protocol.show(value)
        assert len(text) < 300
        assert "\n" not in text
        text.encode("utf-8")


# --- anything at all ------------------------------------------------------------------------------------------------
NUMBERS = st.integers() | st.integers(0, 255) | st.floats() | st.booleans()
JSON = st.recursive(
    st.none() | NUMBERS | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=30,
)
FIELDS = st.sampled_from(["name", "shape", "datatype", "data", "parameters", "other"])
CLOSE = st.fixed_dictionaries({
    "inputs": st.lists(st.fixed_dictionaries({
        "name": st.just("image") | JSON,
        "shape": st.just([1, 2, 3]) | st.lists(st.integers(-1, 4), max_size=4) | JSON,
        "datatype": st.just("UINT8") | JSON,
        "data": st.lists(st.integers(-1, 256) | NUMBERS, max_size=13) | JSON,
    }, optional={"other": JSON, "parameters": JSON}), max_size=2) | JSON,
}, optional={"id": JSON, "outputs": JSON, "parameters": JSON})  # fmt: skip


def is_right(found: np.ndarray) -> bool:
    return found.dtype == np.uint8 and found.ndim == 3 and found.shape[1:] == (2, 3) and 1 <= len(found) <= LARGEST


@settings(max_examples=600)
@given(JSON | CLOSE)
def test_any_json_is_images_or_one_sentence(content):
    for parse in (infer, predict):
        try:
            assert is_right(parse(json.dumps(content).encode()))
        except Refusal as refusal:
            assert_refused(refusal)


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.binary(max_size=5).map(lambda part: request(SMALL)[:-20] + part))
def test_any_bytes_are_images_or_one_sentence(content):
    try:
        assert is_right(infer(content))
    except Refusal as refusal:
        assert_refused(refusal)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 255), min_size=6, max_size=6), st.integers(0, 5), NUMBERS)
def test_only_integers_from_0_to_255_are_pixels(values, place, value):
    values[place] = value
    right = type(value) is int and 0 <= value <= 255
    try:
        found = infer(request(values))
    except Refusal:
        assert not right
    else:
        assert right
        assert found.ravel().tolist() == values


def test_the_values_need_not_be_small():
    """A whole batch is checked in a moment; a slow check would be a way to stop the service."""
    content = body(images(32))
    manifest = {**MANIFEST, "input": {**MANIFEST["input"], "shape": [-1, 28, 28]}}
    found = protocol.infer_input(protocol.parse(InferRequest, content), manifest, 32)
    np.testing.assert_array_equal(found, images(32))
    assert math.prod(found.shape) == 25_088
