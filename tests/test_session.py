"""The start of a notebook: the profile's settings, a light import, tables that read well."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from conftest import REPOSITORY, isolation
from helpers import display
from helpers.session import choose, devices, load_keras, only_on, together

QUICK, FULL = {"epochs": 3, "batch_size": 64}, {"epochs": 30, "batch_size": 256}


@pytest.mark.parametrize(("profile", "settings"), [("quick", QUICK), ("full", FULL)])
def test_a_profile_chooses_its_settings_and_shows_both(profile, settings, capsys):
    chosen = choose(profile, quick=QUICK, full=FULL)
    shown = capsys.readouterr().out
    assert chosen == settings
    assert f"{profile} (in use)" in shown
    for word in ("batch size", "64", "256"):
        assert word in shown


def test_the_settings_are_a_copy():
    choose("quick", quick=QUICK, full=FULL)["epochs"] = 99
    assert QUICK["epochs"] == 3


@pytest.mark.parametrize("profile", ["", "Quick", "fast", None])
def test_another_profile_is_refused(profile):
    with pytest.raises(ValueError, match="quick, full"):
        choose(profile, quick=QUICK, full=FULL)


@pytest.mark.parametrize("full", [{"epochs": 30}, {"epochs": 30, "batch": 256}, {**FULL, "seed": 1}])
def test_both_profiles_must_name_the_same_settings(full):
    with pytest.raises(ValueError, match="different settings"):
        choose("quick", quick=QUICK, full=full)


def test_a_negative_seed_is_refused_before_anything_is_imported():
    with pytest.raises(ValueError, match="seed"):
        load_keras(-1)


@pytest.mark.parametrize(("wanted", "seen"), [(None, "False 0"), ("1", "True 1")])
def test_cards_do_not_round_the_inputs_of_products_unless_asked(tmp_path, wanted, seen):
    program = (
        "import os; from helpers.session import load_keras; load_keras(0); import tensorflow as tf\n"
        "print(tf.config.experimental.tensor_float_32_execution_enabled(), os.environ['NVIDIA_TF32_OVERRIDE'])"
    )
    environment = {k: v for k, v in isolation(tmp_path).items() if k != "NVIDIA_TF32_OVERRIDE"}
    environment |= {"NVIDIA_TF32_OVERRIDE": wanted} if wanted else {}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == seen


@pytest.fixture
def backend(monkeypatch):
    """Choose what Keras says its backend is, without importing it."""

    def choose_it(name):
        fake = SimpleNamespace(
            backend=SimpleNamespace(backend=lambda: name),
            distribution=SimpleNamespace(list_devices=lambda: [f"{name}:0"]),
        )
        monkeypatch.setitem(sys.modules, "keras", fake)

    return choose_it


def test_what_is_left_out_elsewhere_is_said_and_nothing_where_it_runs(backend, capsys):
    backend("jax")
    assert only_on("tensorflow", "it is a part of TensorFlow") is False
    assert capsys.readouterr().out == "Left out on the backend jax: it is a part of TensorFlow.\n"
    backend("tensorflow")
    assert only_on("tensorflow", "it is a part of TensorFlow") is True
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("name", "steps"), [("tensorflow", 500), ("jax", 500), ("torch", 1)])
def test_steps_are_taken_together_where_keras_can(backend, name, steps):
    backend(name)
    assert together(500) == steps


def test_devices_are_those_of_the_backend(backend, monkeypatch):
    backend("jax")
    assert devices() == ["jax:0"]
    backend("torch")
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=SimpleNamespace(device_count=lambda: 2)))
    assert devices() == ["cuda:0", "cuda:1", "cpu:0"]


def test_importing_the_helpers_imports_no_framework(tmp_path):
    program = (
        "import sys, helpers, helpers.claims, helpers.datasets, helpers.evaluation, helpers.session\n"
        "print(*sorted({'tensorflow', 'keras', 'matplotlib', 'IPython', 'sklearn', 'book'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=isolation(tmp_path), cwd=REPOSITORY, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.strip() == ""
    assert done.stderr == ""


def test_a_table_has_headings_caption_and_escaped_cells(monkeypatch):
    shown = {}
    monkeypatch.setattr(display, "show", lambda **parts: shown.update(parts))
    rows = [{"model": "<mlp>", "accuracy": 0.97812}, {"model": "cnn", "accuracy": 0.9921}]
    display.table(rows, caption='Accuracy of "both"', formats={"accuracy": ".3f"}, highlight="accuracy")
    assert shown["text"].splitlines() == [
        'Accuracy of "both"',
        "model  accuracy (in use)",
        "<mlp>  0.978",
        "cnn    0.992",
    ]
    assert "<caption>Accuracy of &quot;both&quot;</caption>" in shown["html"]
    assert '<th scope="row">&lt;mlp&gt;</th><td class="number">0.978</td>' in shown["html"]
    assert '<th scope="col">accuracy (in use)</th>' in shown["html"]


@pytest.mark.parametrize("rows", [[], [{"a": 1}, {"b": 2}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]])
def test_a_table_without_rows_or_with_unlike_rows_is_refused(rows):
    with pytest.raises(ValueError, match="row"):
        display.table(rows, caption="x")
