"""The benchmark of a card: operations counted as XLA counts them, a budget that is kept, receipts that nobody edits, honest targets."""

import ast
import copy
import json
import subprocess
import threading

import nbformat
import pytest
from bs4 import BeautifulSoup

from book import BookError, backends
from book.__main__ import main
from book.card import flops, models, page, receipt
from book.files import digest
from book.paths import REPOSITORY, Paths
from conftest import Outcome, assert_one_sentence

PATHS = Paths(REPOSITORY)
JAX = backends.BackendPaths(REPOSITORY, "jax").python
needs_jax = pytest.mark.skipif(not JAX.is_file(), reason="needs: python3 -m book setup --engine jax")
CNN, GPT = (30, (8, 16), 24), (50, 32, 48, 2)  # size, widths, dense; vocabulary, context, width, blocks

COUNT = """
import os
os.environ["KERAS_BACKEND"] = "jax"
import json
from book.card import models
import jax, numpy as np
from helpers.language import build_gpt

def counted(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]

def training(model, x):
    values = [v.value for v in model.trainable_variables]
    loss = lambda v: model.stateless_call(v, [w.value for w in model.non_trainable_variables], x, training=True)[0].sum()
    return counted(jax.grad(loss), values)

size, widths, dense = 30, (8, 16), 24
cnn = models.build_cnn(size, widths, dense)
x = np.zeros((4, size, size, 3), "float32")
gpt = build_gpt(50, 32, 48, 4, 2, 0)
t = np.zeros((3, 32), "int32")
article = models.build_cnn(**models.CNN)
print(json.dumps({
    "cnn": [counted(lambda x: cnn(x), x) / 4, training(cnn, x) / 4],
    "gpt": [counted(lambda t: gpt(t), t) / 96, training(gpt, t) / 96],
    "parameters": article.count_params(),
}))
"""


@pytest.fixture(scope="module")
def by_xla():
    if not JAX.is_file():
        pytest.skip("needs: python3 -m book setup --engine jax")
    done = subprocess.run([JAX, "-c", COUNT], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_cnn_is_that_of_the_article(by_xla):
    assert by_xla["parameters"] == 3_453_121


def test_operations_are_those_that_xla_counts(by_xla):
    """XLA also counts what is no product of matrices, a few in a hundred here: norms, activations, pooling, softmax."""
    ours = {
        "cnn": [sum(flops.cnn_layers(*CNN)), flops.cnn_training(*CNN)],
        "gpt": [flops.gpt_forward(*GPT), flops.gpt_training(*GPT)],
    }
    for name, counts in ours.items():
        for one, other in zip(counts, by_xla[name], strict=True):
            assert 1 <= other / one < 1.12, (name, other / one)


def test_operations_by_hand():
    assert flops.cnn_layers(6, (2,), 5) == [2 * 27 * 2 * 16, 2 * (2 * 2 * 2) * 5, 2 * 5]
    assert flops.cnn_training(6, (2,), 5) == 3 * (1728 + 80 + 10) - 1728
    assert flops.gpt_forward(7, 3, 2, 1) == 24 * 4 + 4 * 3 * 2 + 2 * 2 * 7


def test_hidden_pairs_by_hand():
    """Three tokens: of nine pairs three are hidden, in the scores and in the mean of the values."""
    hidden = (
        2 * 2 * 2 * 3 / 3
    )  # of width 2, for one token on average: one pair of three, two products, multiply and add
    assert flops.masked_share(7, 3, 2, 1) == pytest.approx(hidden / flops.gpt_forward(7, 3, 2, 1))


# -- The command ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--backend", "pascal"], "There is no benchmark for the backend 'pascal'; choose from: jax, tensorflow."),
        (["--seconds", "2"], "--seconds 2 is too short to measure anything"),
        (["--seconds", "nan"], "--seconds nan is too short to measure anything"),
    ],
)
def test_a_request_that_cannot_be_carried_out_is_one_sentence(arguments, said, capsys):
    assert_one_sentence(Outcome(main(["card", *arguments]), *capsys.readouterr()[::1]), said)


def test_without_the_backend_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(receipt, "find_spec", lambda name: None)
    with pytest.raises(BookError, match="python3 -m book setup --engine jax"):
        receipt.interpreter(Paths(tmp_path), "jax")


def test_a_program_that_ends_badly_is_one_sentence(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import sys\nprint('{\"card\": false, \"versions\": {}}')\nsys.exit('no device')")
    monkeypatch.setattr(receipt, "PROGRAM", program)
    with pytest.raises(BookError, match=r"ended early \(no device\)"):
        receipt.main(Paths(tmp_path), "tensorflow", 10, keep=False)


def test_a_program_that_complains_at_length_does_not_hang(tmp_path, monkeypatch):
    program = tmp_path / "program.py"
    program.write_text("import sys\nsys.stderr.write('memory: none\\n' * 50_000)\nprint('{\"card\": false, \"versions\": {}}')\n"
                       "sys.exit('no memory left')")  # fmt: skip
    monkeypatch.setattr(receipt, "PROGRAM", program)
    found = []
    worker = threading.Thread(target=lambda: found.append(raised(lambda: receipt.main(Paths(tmp_path), "tensorflow", 10, keep=False))),
                              daemon=True)  # fmt: skip
    worker.start()
    worker.join(20)
    assert found, "the program waits for somebody to read its complaints"
    assert "ended early (no memory left)" in found[0]


def raised(work) -> str:
    """What a call complains about, as a sentence."""
    with pytest.raises(BookError) as caught:
        work()
    return str(caught.value)


@needs_jax
def test_it_measures_within_its_time_and_says_what_it_left_out(tmp_path):
    done = subprocess.run([JAX, receipt.PROGRAM, "jax", "10"], capture_output=True, text=True, timeout=100, check=True)
    first, *results = [json.loads(line) for line in done.stdout.splitlines()]
    assert first["versions"]["jax"]
    assert "tensorflow" not in first["versions"]
    assert {r["matmul"] for r in results if "matmul" in r} >= {"float32", "bfloat16"}
    runs = [r for r in results if "model" in r]
    assert {r["jit"] for r in runs} == {True, False}
    assert len({r["model"] for r in runs}) == 4
    assert all(("per_second" in r) + ("skipped" in r) + ("error" in r) == 1 for r in runs)
    assert all("relative_error" in r for r in results if "matmul" in r)
    assert any("skipped" in r for r in runs), "ten seconds are not enough for a large GPT"
    file = receipt.write(Paths(tmp_path), "jax", 10, [first, *results])
    assert [r["results"] for r in receipt.read_all(Paths(tmp_path))] == [results]
    file.write_text(file.read_text().replace('"seconds": 10', '"seconds": 11'))
    with pytest.raises(BookError, match="was edited or damaged"):
        receipt.read_all(Paths(tmp_path))


# -- Receipts and the page ------------------------------------------------------------------------------------------------


def test_the_receipts_of_the_repository_have_their_form():
    for made in receipt.read_all(PATHS):  # refuses what was edited
        assert made["made_by"] == receipt.MADE_BY.format(made["backend"])
        assert bool(made["driver"]) == made["card"]
        assert all(r["per_second"] > 0 for r in made["results"] if "per_second" in r)
        for run in (r for r in made["results"] if "model" in r and "per_second" in r):
            assert run["teraflops"] > 0
            for part in page.share(made, run):
                assert part is None or 0 < part < 1.5


def made(card: str | None, tokens: float, seconds: float | None) -> dict:
    """A receipt as a machine might have measured it."""
    device = {
        "cpu": "AMD EPYC",
        "cores": 2,
        "memory_gib": 23.5,
        "gpus": [card] if card else [],
        "system": "Linux x86_64",
    }
    one = {"precision": "bfloat16", "jit": True, "compile_seconds": 1.0, "step_seconds": 1.0}
    results = [
        {"matmul": "bfloat16", "n": 4096, "teraflops": 700.0, "relative_error": 3e-3},
        {**one, "model": "GPT of chapter 7", "batch": 8, "per_second": 5e6, "teraflops": 50.0},
        {**one, "model": "GPT, 604 million", "batch": 8, "per_second": tokens / 2, "teraflops": tokens / 2 * 4e-3},
        {**one, "model": "GPT, 604 million", "batch": 16, "per_second": tokens, "teraflops": tokens * 4e-3},
        {**one, "model": "GPT, 604 million", "batch": 32, "error": "RESOURCE_EXHAUSTED: out of memory"},
        {"fit": "bfloat16", "batch": 128, "pictures": 2000, "epochs": 20, "seconds": seconds, "estimated_seconds": 1.0},
        {"pipeline": "mini-batches", "batch": 128, "training_per_second": 2000.0, "per_second": tokens / 20},
        {
            "of": "GPT, 604 million",
            "precision": "bfloat16",
            "batch": 16,
            "part": "norms",
            "times": 25,
            "seconds": 0.25,
            "teraflops": 0.0,
        },
        {
            "of": "GPT, 604 million",
            "precision": "bfloat16",
            "batch": 16,
            "part": "attention",
            "skipped": "would take about 9 s",
        },
    ]
    record = {"what": "", "made_by": "", "date": "2026-01-01", "backend": "jax", "seconds": 300.0, "card": bool(card), "device": device,
              "driver": "570" if card else None, "versions": {"jax": "0.10"}, "results": results}  # fmt: skip
    return {**record, "digest": digest(record)}


def states(*found: dict) -> list[str]:
    return [
        row.find_all("td")[-1].get_text()
        for row in BeautifulSoup(page.targets(list(found)), "html.parser").select("tbody tr")
    ]


H100 = "NVIDIA H100 80GB HBM3, 81559 MiB"


def test_targets_are_met_not_met_or_open():
    assert states() == [page.OPEN] * 2
    assert states(made(None, 1e5, 5.0)) == [page.OPEN] * 2  # a processor
    assert states(made("NVIDIA L4, 23034 MiB", 1e5, 5.0)) == [page.OPEN] * 2  # another class
    assert states(made(H100, 1e5, 12.0)) == ["met", "met"]  # 400 of 989 TFLOP/s
    assert states(made(H100, 9e4, 31.0)) == ["not met", "not met"]
    assert states(made(H100, 1e5, None)) == [page.OPEN, "met"]


def test_a_smaller_model_does_not_meet_the_target_of_the_largest():
    one = made(H100, 1e5, 12.0)
    for run in one["results"]:
        if run.get("model") == models.NAMES[-1]:
            run.pop("per_second", None)
        elif run.get("model"):
            run["teraflops"] = 900.0
    assert states(one) == ["met", page.OPEN]


def test_without_receipts_the_targets_are_shown_as_open(tmp_path):
    shown = BeautifulSoup(page.page(Paths(tmp_path)), "html.parser")
    assert [row.find_all("td")[-1].get_text() for row in shown.select("tbody tr")] == [page.OPEN] * 2


def test_the_best_batch_counts_and_shares_have_two_grounds():
    one = made(H100, 1e5, 12.0)
    run = page.best(one, "GPT, 604 million", "bfloat16", True)
    assert run["batch"] == 16
    sheet, measured = page.share(one, run)
    assert sheet == pytest.approx(400 / 989)
    assert measured == pytest.approx(400 / 700)
    assert page.share(made(None, 1e5, 1.0), run)[0] is None


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H100 NVL", 835.5), ("NVIDIA H200", 989), ("NVIDIA L4", 121),
     ("NVIDIA L40", 181), ("NVIDIA L40S", 362), ("NVIDIA GeForce RTX 4090", 165.2), ("NVIDIA GH200 480GB", None), ("Tesla T4", None)],
)  # fmt: skip
def test_the_peak_is_that_of_this_very_card(name, peak):
    assert page.peak(made(f"{name}, 81559 MiB", 1, 1), "bfloat16") == peak


def full_settings(notebook: str) -> dict:
    """What a chapter sets for the full profile."""
    for cell in nbformat.read(PATHS.notebooks / f"{notebook}.ipynb", as_version=4).cells:
        for node in ast.walk(ast.parse(cell.source)) if cell.cell_type == "code" else ():
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "choose":
                return ast.literal_eval(next(k.value for k in node.keywords if k.arg == "full"))
    raise AssertionError(f"{notebook} has no settings")


def test_the_models_are_those_of_the_chapters_in_the_full_profile():
    for notebook, ours in (("06_augmented_cnn", models.CNN), ("07_attention", models.GPTS["GPT of chapter 7"])):
        theirs = full_settings(notebook)
        assert ours == {name: theirs[name] for name in ours}


def test_the_page_has_every_device_every_batch_and_every_failure(tmp_path):
    paths = Paths(tmp_path)
    receipt.folder(paths).mkdir(parents=True)
    for one in (made(H100, 1e5, 12.0), made(None, 10.0, None)):
        name = f"jax-{receipt.machine.slug(one['device'])}.json"
        (receipt.folder(paths) / name).write_text(json.dumps(one))
    shown = BeautifulSoup(page.page(paths), "html.parser")
    heads = [th.get_text() for th in shown.select("table")[1].select("thead th")]
    assert heads[3:] == ["2 cores of AMD EPYC, jax", "NVIDIA H100 80GB HBM3, jax"]
    assert "RESOURCE_EXHAUSTED" in shown.select("details")[0].get_text()
    assert len(shown.select("details tbody tr")) == 8
    assert "25" in shown.select("table")[-1].get_text()
    assert "would take about 9 s" in shown.select("table")[-1].get_text()


def test_a_pipeline_that_is_slower_than_the_training_is_said_to_be():
    def cells(*found):
        table = BeautifulSoup(page._fed(list(found)), "html.parser")
        return [[td.get_text() for td in row.find_all(["th", "td"])][1:] for row in table.select("tbody tr")]

    assert cells(made(H100, 1e5, 1.0), made(H100, 2e4, 1.0)) == [
        ["5,000", "2,000", "yes"], ["1,000", "2,000", "no: the device waits"]
    ]  # fmt: skip
    without = made(H100, 1e5, 1.0)
    without["results"] = [run for run in without["results"] if "pipeline" not in run]
    assert cells(without) == [[page.OPEN, "", ""]]


def test_an_edited_receipt_is_refused(tmp_path):
    paths = Paths(tmp_path)
    receipt.folder(paths).mkdir(parents=True)
    one = copy.deepcopy(made(H100, 1e5, 12.0))
    one["results"][-1]["seconds"] = 1.0
    (receipt.folder(paths) / "jax-nvidia-h100-80gb-hbm3.json").write_text(json.dumps(one))
    with pytest.raises(BookError, match="was edited or damaged"):
        receipt.read_all(paths)
