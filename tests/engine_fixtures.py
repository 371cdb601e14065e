"""KServe's environment for tests, and a folder of models that all engines can serve."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from litert_file import write_litert
from serving_fixtures import LABELS, linear, write_onnx

from book import environment
from book.paths import REPOSITORY
from helpers.serving import kserve, models


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    """Python of ``.venv-kserve``; made if ``CI`` is set, else the test is skipped where it is absent."""
    if not kserve.available():
        if not os.environ.get("CI"):
            pytest.skip("KServe's environment is absent; make it with: python3 -m book setup --engine kserve")
        environment.ensure(engine="kserve")
    return REPOSITORY / ".venv-kserve" / "bin" / "python"


@pytest.fixture(scope="session")
def engine_models(tmp_path_factory) -> Path:
    """A folder of models: ``digits`` in two versions, for LiteRT and ONNX Runtime; the older version is active."""
    root = tmp_path_factory.mktemp("engines") / "models"
    sources = tmp_path_factory.mktemp("sources")
    for version in (1, 2):
        files = {"litert": write_litert(sources / "m.tflite", *linear(version)),
                 "onnx": write_onnx(sources / "m.onnx", *linear(version))}  # fmt: skip
        models.write_version(root / "digits", version, files, labels=LABELS, statistics={})
    models.activate(root / "digits", 1)
    return root
