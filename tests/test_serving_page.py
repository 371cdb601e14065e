"""The page on serving: its commands work as they stand there, its table is that of the command line; its benchmark runs."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from book import BookError, bench_serving
from book.__main__ import main
from book.paths import REPOSITORY, Paths
from helpers import serving
from helpers.serving.__main__ import _parser
from helpers.serving.load import Report

PAGE = (REPOSITORY / "book/pages/serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S)
TOKEN = "a-token-for-this-test"


def shell(block: str, folder: Path, url: str) -> str:
    """Run a block of the page against a service; what it printed."""
    text = block.replace("http://localhost:8080", url).replace(".venv/bin/python", sys.executable)
    text = text.replace("curl ", "curl -sS --fail-with-body --max-time 20 ")
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, capture_output=True, text=True, check=False,
                          timeout=60, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_curl_command_of_the_page_works(engine_models, tmp_path):
    pytest.importorskip("PIL")
    (files,) = (block for block in BLOCKS if "digit.png" in block and "curl" not in block)
    shell(files, tmp_path, "")
    (second,) = (block for block in BLOCKS if "write_version" in block)
    (tmp_path / "_build/artifacts/models/digits").mkdir(parents=True)
    shutil.copytree(
        engine_models / "digits/1", tmp_path / "_build/artifacts/models/digits/1"
    )  # as chapter 11 leaves it
    shell(second, tmp_path, "")
    asking = [block for block in BLOCKS if "curl" in block and "token" not in block]
    releasing = [block for block in BLOCKS if "curl" in block and "token" in block]
    assert (len(asking), len(releasing)) == (4, 3)
    with serving.start(engine_models, engine="onnx") as open_service:
        v2, v1, picture, state = (shell(block, tmp_path, open_service.url) for block in asking)
    assert '"logits"' in v2
    assert '"predictions"' in v1
    assert '"probabilities"' in picture
    assert '"live":true' in state
    assert "serving_requests_total" in state
    (tmp_path / "token.txt").write_text(TOKEN + "\n")
    with serving.start(tmp_path / "my-models", engine="onnx", token_file=tmp_path / "token.txt") as locked:
        index, forward, back = (shell(block, tmp_path, locked.url) for block in releasing)
    assert index.count('"name"') == 2
    assert re.search(r'"version": ?"2".*"shadow": ?"1"', forward)
    assert re.search(r'"version": ?"1".*"shadow": ?null', back)


def test_table_of_limits_is_that_of_the_command_line():
    named = set(re.findall(r"`(--[a-z-]+)`", re.search(r"\| option .*?\n\n", PAGE, re.S)[0]))
    real = {name for action in _parser()._actions for name in action.option_strings if name.startswith("--")}
    assert named == real - {"--help", "--until-stdin-ends"}  # the last is for programs that start the service


def test_files_and_make_targets_that_the_page_names_exist():
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake ([a-z-]+)", PAGE))
    assert targets == {"serve-model", "engines"}
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.M)
    files = set(re.findall(r"engines/[\w/.-]+\.\w+", PAGE))
    assert len(files) >= 6
    for file in files:
        assert (REPOSITORY / file).is_file(), file
    for file in (REPOSITORY / "engines").rglob("*.*"):
        if file.suffix in (".yaml", ".pbtxt", ".config"):
            assert file.name in PAGE


# -- the benchmark; its numbers are read by people, not by tests ---------------------------------------------------------
def test_benchmark_without_models_is_one_sentence(tmp_path, capsys):
    assert main(["--root", str(tmp_path), "bench", "serving"]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "does not exist" in said
    assert said.endswith("Build the book first (make book), or name a folder with --models.")


def test_benchmark_measures_the_named_folder(engine_models, tmp_path):
    assert bench_serving.folder(Paths(tmp_path), engine_models) == engine_models
    with pytest.raises(BookError, match="holds no model"):
        bench_serving.folder(Paths(tmp_path), tmp_path)


def test_benchmark_runs_from_start_to_end_in_small(engine_models, monkeypatch):
    network = re.search(r"^layers = .*?^\]\)\n", bench_serving._NAIVE, re.M | re.S)[0]  # TensorFlow would take its time
    stand_in = "class model:\n    predict = staticmethod(lambda pixels, verbose: np.zeros((len(pixels), 10)))\n"
    naive = bench_serving._NAIVE.replace(network, stand_in).replace("import keras, numpy", "import numpy")
    monkeypatch.setattr(bench_serving, "_NAIVE", naive)
    for name, value in {"ROUNDS": 1, "SECONDS": 0.2, "MANY": 20, "LONG": 0.5}.items():
        monkeypatch.setattr(bench_serving, name, value)
    before = set(psutil.Process().children())
    rows = bench_serving.measure(engine_models)
    assert rows["20 clients, 0.5 s: answers by status"][0].startswith("200: ")
    assert float(rows["20 clients, 0.5 s: largest resident memory"][0].split()[0]) > 10
    assert float(rows["own service / model.predict"][0]) > 0
    assert any("KServe" in name for name in rows)
    assert set(psutil.Process().children()) <= before


def test_rows_compare_medians_with_their_targets():
    median = {"process": 0.2, "own one": 1.0, "own": 900.0, "naive": 30.0, "kserve": 600.0}
    rows = bench_serving._rows(median, "litert")
    assert rows["own service, 1 client, p50"] == ("1.00 ms", "at most 1.50 ms (2.5 x in process + 1 ms)")
    assert rows["own service / model.predict"] == ("30.0", "at least 40")
    assert rows["own service / KServe's server"] == ("1.50", "at least 0.9")
    del median["kserve"]
    assert "not measured" in bench_serving._rows(median, "litert")["KServe's server"][0]


def test_rates_of_errors_are_refused(monkeypatch):
    report = Report(10, 1.0, 9.0, Counter({200: 9, 503: 1}), 1.0, 1.0, 1.0)
    monkeypatch.setattr(bench_serving.load, "measure", lambda *args, **kwargs: report)
    with pytest.raises(BookError, match="503"):
        bench_serving._rate("http://127.0.0.1:1", b"", "/x")


def test_the_naive_network_is_that_of_chapter_5():
    chapter = (REPOSITORY / "notebooks/05_mnist.ipynb").read_text(encoding="utf-8").replace('\\"', '"')
    layers = re.findall(r"layers\.\w+\([^)]*\)", bench_serving._NAIVE)
    built = chapter[chapter.index("def build_cnn") :]
    assert layers == re.findall(r"layers\.\w+\([^)]*\)", built[: built.index('"source"')])
