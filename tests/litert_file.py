"""A LiteRT file of the linear model, written through the flatbuffer schema: no converter, no TensorFlow."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema


def write_litert(path: Path, weights: np.ndarray, bias: np.ndarray) -> Path:
    """uint8 (n, 28, 28) -> CAST -> RESHAPE -> FULLY_CONNECTED -> float32 (n, 10)."""
    model = schema.ModelT()
    model.version, model.description = 3, "linear"
    model.buffers = [schema.BufferT()]  # buffer 0 is the empty one
    graph = schema.SubGraphT()
    graph.name, graph.tensors = "main", []

    def tensor(name: str, kind: int, shape: list[int], value: np.ndarray | None = None) -> int:
        made = schema.TensorT()
        made.name, made.type, made.buffer = name, kind, 0
        made.shape = [1 if n == -1 else n for n in shape]
        if -1 in shape:
            made.shapeSignature = shape
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(value).tobytes(), np.uint8)
            made.buffer = len(model.buffers)
            model.buffers.append(buffer)
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    types = schema.TensorType
    image = tensor("image", types.UINT8, [-1, 28, 28])
    floats = tensor("float", types.FLOAT32, [-1, 28, 28])
    shape = tensor("shape", types.INT32, [2], np.array([-1, 784], np.int32))
    flat = tensor("flat", types.FLOAT32, [-1, 784])
    matrix = tensor("weights", types.FLOAT32, [10, 784], weights.T)
    offset = tensor("bias", types.FLOAT32, [10], bias)
    logits = tensor("logits", types.FLOAT32, [-1, 10])
    graph.inputs, graph.outputs, graph.operators, model.operatorCodes = [image], [logits], [], []

    operators = schema.BuiltinOperator
    for code, inputs, output, kind, options in (
        (operators.CAST, [image], floats, schema.BuiltinOptions.CastOptions, schema.CastOptionsT()),
        (operators.RESHAPE, [floats, shape], flat, schema.BuiltinOptions.ReshapeOptions, schema.ReshapeOptionsT()),
        (operators.FULLY_CONNECTED, [flat, matrix, offset], logits, schema.BuiltinOptions.FullyConnectedOptions,
         schema.FullyConnectedOptionsT()),
    ):  # fmt: skip
        named = schema.OperatorCodeT()
        named.builtinCode, named.deprecatedBuiltinCode, named.version = code, code, 1
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(model.operatorCodes), inputs, [output]
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        model.operatorCodes.append(named)
        graph.operators.append(operator)
    graph.operators[0].builtinOptions.inDataType = types.UINT8
    graph.operators[0].builtinOptions.outDataType = types.FLOAT32
    model.subgraphs = [graph]

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path
