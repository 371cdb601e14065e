"""Receipts of long runs: their form, and the program that writes them."""

import datetime
import json
from pathlib import Path

import pytest

from book import photographs
from helpers import datasets, folders, pictures
from helpers.datasets import DataError

RECEIPTS = sorted((Path(datasets.__file__).parent / "data" / "receipts").glob("*.json"))


@pytest.mark.parametrize("path", RECEIPTS, ids=lambda path: path.stem)
def test_a_receipt_says_what_ran_where_and_when(path):
    receipt = json.loads(path.read_text())
    assert list(receipt) == ["what", "date", "machine", "made_by", "versions", "notes", "runs"]
    assert datetime.date(2026, 1, 1) <= datetime.date.fromisoformat(receipt["date"])
    assert {"python", "keras", "numpy"} <= set(receipt["versions"])
    assert receipt["what"].endswith(".")
    assert receipt["machine"]


def test_the_receipt_of_photographs_is_complete_and_possible():
    receipt = json.loads((Path(datasets.__file__).parent / "data/receipts/photographs.json").read_text())
    assert receipt["made_by"] == f"python -m {photographs.__name__}"
    keys = [(r["recipe"], r["epochs"], r["augmented"], r["seed"]) for r in receipt["runs"]]
    assert sorted(keys) == sorted((*plan, seed) for plan in photographs.PLAN for seed in (1, 2, 3))
    for run in receipt["runs"]:
        assert len(run["logged_accuracy"]) == len(run["validation_accuracy"]) == run["epochs"]
        for split, n in (("train", 2000), ("validation", 500), ("test", 500)):
            assert run[split]["n"] == n
            assert 0 <= run[split]["right"] <= n
            assert run[split]["loss"] > 0
        # the same weights and pictures, evaluated in two ways
        assert run["validation_accuracy"][-1] == pytest.approx(run["validation"]["right"] / 500, abs=1e-5)
        assert run["cpu_seconds_per_epoch"] > 1


@pytest.mark.parametrize("recipe", photographs.RECIPES)
def test_the_network_of_the_runs_is_the_article_s(recipe):
    keras = pytest.importorskip("keras")
    model = photographs.build(keras, recipe, steps=63, epochs=20)
    assert model.count_params() == 3_453_121
    rates = {}
    for step in (0, 126, 20 * 63):
        model.optimizer.iterations.assign(step)
        rates[step] = float(model.optimizer.learning_rate)
    expected = [1e-3] * 3 if recipe == "article" else [5e-6, 5e-4, 0]
    assert list(rates.values()) == pytest.approx(expected, abs=1e-9)


@pytest.fixture
def small_sets(monkeypatch):
    monkeypatch.setattr(photographs, "SIZE", 48)
    sets = {}
    for split, n in (("train", 6), ("validation", 4), ("test", 4)):
        images, labels, _ = pictures.picture_set(n, size=48, split=split)
        sets[split] = folders.ImageSet(images, labels, pictures.CLASSES, tuple(map(str, range(n))))
    return sets


def test_a_run_writes_its_part_and_goes_on_where_it_was(small_sets, tmp_path, monkeypatch):
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow").config.experimental.enable_op_determinism()

    def run(folder, epochs):
        return photographs.train(keras, small_sets, "steady", epochs, True, 1, tmp_path / folder)

    whole = run("whole", 4)
    assert {s: whole[s]["n"] for s in ("train", "validation", "test")} == {"train": 6, "validation": 4, "test": 4}
    assert len(whole["validation_accuracy"]) == 4

    class Power(Exception):
        pass

    original = photographs._Log._end

    def fails(self, epoch, logs):
        if epoch == 2:
            raise Power
        original(self, epoch, logs)

    monkeypatch.setattr(photographs._Log, "_end", fails)
    with pytest.raises(Power):
        run("broken", 4)
    monkeypatch.undo()
    monkeypatch.setattr(photographs, "SIZE", 48)
    again = run("broken", 4)
    assert {k: v for k, v in again.items() if k != "cpu_seconds_per_epoch"} == {
        k: v for k, v in whole.items() if k != "cpu_seconds_per_epoch"
    }


def test_a_wrong_folder_is_one_sentence_on_the_command_line(tmp_path, capsys):
    assert photographs.main([str(tmp_path / "nowhere"), str(tmp_path / "receipt.json")]) == 2
    error = capsys.readouterr().err
    assert "nowhere does not exist" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError):
        folders.load(tmp_path / "nowhere", "train", size=48)
