"""LiteRT and ONNX Runtime behind one call: ``engine(images) -> logits``.

What goes in and what comes out stands in the manifest of the version (see :mod:`helpers.serving.models`); the engine
refuses a file that does not fit its manifest.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np

from helpers.serving.models import ModelError, read_engine
from helpers.session import silent_stderr

DATATYPES = {"UINT8": np.uint8, "INT8": np.int8, "INT32": np.int32, "INT64": np.int64, "FP32": np.float32}
LARGEST = 256  # images in one invocation; a longer batch is cut


def load(folder: str | Path, version: int | str, engine: str = "litert", threads: int = 1) -> Engine:
    """Load one version of the model in ``folder``.

    Parameters
    ----------
    engine : {"litert", "litert-float", "onnx"}
    threads : int
        Threads that one call may use.

    Returns
    -------
    Engine
        Call it with a batch of the manifest's input, for digits uint8 (n, 28, 28); it gives float32 (n, 10).

    Raises
    ------
    ModelError
        If the version is missing, damaged, has no file for this engine, or the file does not fit the manifest.
    """
    manifest, content = read_engine(folder, version, engine)
    kind = OnnxEngine if engine == "onnx" else LiteRTEngine
    try:
        made = kind(manifest, content, threads)
        made.warm(1)
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        if isinstance(error, ModelError):
            raise
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise ModelError(f"The file '{Path(folder) / str(version) / manifest['engines'][engine]}' cannot be used by "
                         f"{engine}: {first}") from error  # fmt: skip
    return made


class Engine:
    """A loaded model. Use one engine from one thread at a time.

    Attributes
    ----------
    manifest : dict
        As read from ``model.json``.
    """

    def __init__(self, manifest: dict[str, Any], content: bytes, threads: int):
        self.manifest = manifest
        self._shape = tuple(manifest["input"]["shape"][1:])
        self._output = tuple(manifest["output"]["shape"][1:])
        self._dtype = np.dtype(DATATYPES[manifest["input"]["datatype"]])
        self._load(content, threads)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Outputs of a batch, in the same order.

        Raises
        ------
        ValueError
            If the batch is not of the manifest's shape and datatype.
        """
        batch = np.asarray(batch)
        if batch.dtype != self._dtype or batch.shape[1:] != self._shape or batch.ndim == 0:
            wanted = f"{self._dtype} (n, {', '.join(map(str, self._shape))})"
            raise ValueError(f"the engine takes {wanted}, got {batch.dtype} {batch.shape}")
        if 0 < len(batch) <= LARGEST:
            return self._run(batch)
        parts = [self._run(batch[i : i + LARGEST]) for i in range(0, len(batch), LARGEST)]
        return np.concatenate(parts) if parts else np.zeros((0, *self._output), np.float32)

    def warm(self, largest: int) -> None:
        """Compute blank batches of every size that will occur, so that no request pays for the first time."""
        size = 1
        while size < 2 * min(largest, LARGEST):
            found = self(np.zeros((size, *self._shape), self._dtype))
            if found.shape != (size, *self._output) or found.dtype != np.float32:
                raise ModelError(f"Version {self.manifest['version']} of {self.manifest['name']} answers {found.dtype} "
                                 f"{found.shape[1:]}, its manifest says FP32 {self._output}.")  # fmt: skip
            size *= 2

    def _load(self, content: bytes, threads: int) -> None:
        raise NotImplementedError

    def _run(self, batch: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class LiteRTEngine(Engine):
    """One interpreter for each batch size 1, 2, 4, ...: changing the size of one plans its memory anew each time."""

    _greeted = False

    def _load(self, content: bytes, threads: int) -> None:
        self._content, self._threads = content, threads
        self._interpreters: dict[int, tuple] = {}

    def _run(self, batch: np.ndarray) -> np.ndarray:
        n = len(batch)
        size = 1 << (n - 1).bit_length()
        interpreter, before, after = self._interpreters.get(size) or self._make(size)
        if size != n:
            batch = np.concatenate([batch, np.zeros((size - n, *self._shape), self._dtype)])
        interpreter.set_tensor(before, batch)
        interpreter.invoke()
        return interpreter.get_tensor(after)[:n]

    def _make(self, size: int) -> tuple:
        from ai_edge_litert.interpreter import Interpreter

        # LiteRT greets once per process, in C; no setting turns that off. Only then: a service writes its log there.
        quiet = contextlib.nullcontext() if LiteRTEngine._greeted else silent_stderr()
        LiteRTEngine._greeted = True
        with quiet:
            interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
            inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
            if len(inputs) != 1 or len(outputs) != 1:
                raise ModelError(
                    f"The file has {len(inputs)} inputs and {len(outputs)} outputs; one of each is needed."
                )
            before, after = inputs[0]["index"], outputs[0]["index"]
            interpreter.resize_tensor_input(before, (size, *self._shape))
            interpreter.allocate_tensors()
        self._interpreters[size] = interpreter, before, after
        return self._interpreters[size]


class OnnxEngine(Engine):
    """ONNX Runtime takes any batch size."""

    def _load(self, content: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4  # what goes wrong is raised, too
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes derive from Exception directly
            raise ValueError(str(error)) from error
        self._names = [self.manifest["output"]["name"]], self.manifest["input"]["name"]

    def _run(self, batch: np.ndarray) -> np.ndarray:
        try:
            return self._session.run(self._names[0], {self._names[1]: batch})[0]
        except Exception as error:
            raise ValueError(str(error)) from error
