"""``python -m book bench``: what the builder costs, as ratios measured in one run. Nothing here is asserted in a test.

1. The executor, one notebook per core, against jupyter-book's own sequential ``execute_notebooks: force``, on the same
   eight small notebooks, four of which import TensorFlow.
2. The cold build of this book against a rebuild with nothing changed.
3. The claims of two cold builds: are the values identical?
4. The import of the helpers without TensorFlow.
5. The reference network of the helpers against ``keras.Model.fit``: one epoch of 784-128-10 with Adam on MNIST.
6. The service of chapter 11 against the call in process, a naive endpoint and KServe's server (``bench_serving.py``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from rich.console import Console
from rich.table import Table

from book import BookError, machine
from book.files import write_json
from book.paths import REPOSITORY, Paths

_WITH_TENSORFLOW = """from helpers.session import load_keras
keras = load_keras(0)
model = keras.Sequential([keras.Input((8,)), keras.layers.Dense({width}, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
import numpy as np
x = np.random.default_rng({width}).normal(size=(256, 8)).astype("float32")
print(model.fit(x, x[:, :1], epochs=3, verbose=0).history["loss"][-1])"""
_WITH_NUMPY = """import numpy as np
rng = np.random.default_rng({width})
print(np.linalg.eigvalsh(np.cov(rng.normal(size=({width}, 200)))).max())"""


_EPOCHS = """import json, time
import numpy as np
from helpers import optimisers
from helpers.datasets import load_mnist
from helpers.network import Network
import keras
(x, y), _ = load_mnist()
x, y = x.reshape(len(x), 784).astype("float32") / 255, y.astype("int64")
def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
result = {}
for batch in (32, 128):
    ours = Network((784, 128, 10), ("relu", "softmax"), "categorical_crossentropy")
    theirs = keras.Sequential([keras.Input((784,)), keras.layers.Dense(128, "relu"), keras.layers.Dense(10)])
    theirs.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    theirs.fit(x[:1024], y[:1024], batch_size=batch, verbose=0)
    rounds = [(seconds(lambda: ours.fit(x, y, optimisers.adam(), epochs=1, batch_size=batch)),
               seconds(lambda: theirs.fit(x, y, batch_size=batch, verbose=0))) for _ in range(3)]
    result[batch] = [float(np.median(r)) for r in zip(*rounds)]
print(json.dumps(result))"""
PARTS = ("executor", "book", "helpers", "network", "serving")


def main(paths: Paths, chosen: list[str] | None = None, models: Path | None = None) -> int:
    from book import bench_serving

    unknown = sorted(set(chosen or ()) - set(PARTS))
    if unknown:
        raise BookError(f"There is no benchmark '{unknown[0]}'; choose from: {', '.join(PARTS)}.")
    console = Console()
    parts = list(chosen or PARTS)
    if "serving" in parts:
        try:
            place = bench_serving.folder(paths, models)
        except BookError as error:  # known before the long parts run
            if chosen:
                raise
            parts.remove("serving")
            console.print(f"Without the part serving. {error}", style="yellow", highlight=False)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    console.print(f"Machine: {machine.describe()}; load before the start {load:.2f}.", highlight=False)
    if load > 0.5:
        console.print(
            "Other work is running on this machine: times are inflated, and the ratios blurred.", style="yellow"
        )
    run = {"executor": _parallel, "book": lambda: _book(paths), "helpers": _imports, "network": _network,
           "serving": lambda: bench_serving.measure(place)}  # fmt: skip
    measured = {}
    for part in parts:
        measured |= run[part]()
    table = Table("measure", "value", "target", title="Benchmarks")
    for name, (value, target) in measured.items():
        table.add_row(name, value, target)
    console.print(table)
    write_json(paths.build / "bench.json", {k: v[0] for k, v in measured.items()})
    return 0


def _parallel() -> dict[str, tuple[str, str]]:
    """Executor against sequential, three rounds in turn; the medians are compared."""
    rounds = {"executor": [], "sequential": [], "rendering": []}
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            _eight_notebooks(root / "notebooks")
            (root / "requirements.lock").write_text("")
            rounds["executor"].append(_timed([sys.executable, "-m", "book", "--root", folder, "execute"]))
            rounds["sequential"].append(_jupyter_book(root, "force"))
            rounds["rendering"].append(_jupyter_book(root, "off"))
    median = {name: sorted(times)[1] for name, times in rounds.items()}
    execution = median["sequential"] - median["rendering"]
    return {
        "executor, 8 notebooks": (f"{median['executor']:.1f} s", ""),
        "jupyter-book, force (executes and renders)": (f"{median['sequential']:.1f} s", ""),
        "jupyter-book, off (renders only)": (f"{median['rendering']:.1f} s", ""),
        "executor / jupyter-book's execution alone": (f"{median['executor'] / execution:.2f}", "at most 0.75"),
        "executor + rendering / jupyter-book force": (
            f"{(median['executor'] + median['rendering']) / median['sequential']:.2f}", ""),
    }  # fmt: skip


def _book(paths: Paths) -> dict[str, tuple[str, str]]:
    """Two cold builds and a warm one of this very book, in a copy."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "book"
        subprocess.run(["git", "clone", "--quiet", str(paths.root), str(root)], check=True)
        build = [sys.executable, "-m", "book", "--root", str(root), "build"]
        first = _timed(build)
        values = _claims(root)
        warm = _timed(build)
        _timed([sys.executable, "-m", "book", "--root", str(root), "execute", "--force"])
        again = _claims(root)
    differing = [name for name in values if values[name] != again.get(name)]
    return {
        "cold build": (f"{first:.1f} s", "at most 900 s"),
        "rebuild, nothing changed": (f"{warm:.1f} s", "at most 20 s"),
        "rebuild / cold": (f"{warm / first:.1%}", "at most 5 %"),
        "claims that differ between two cold executions": (
            f"{len(differing)} of {len(values)} {differing[:5] or ''}",
            "0",
        ),
    }


def _imports() -> dict[str, tuple[str, str]]:
    code = ("import time; t = time.perf_counter(); from helpers import claims, datasets, evaluation, display; "
            "print(time.perf_counter() - t)")  # fmt: skip
    times = sorted(
        float(
            subprocess.run(
                [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
            ).stdout
        )
        for _ in range(5)
    )
    return {"import of helpers": (f"{times[2]:.2f} s", "under 1 s")}


def _network() -> dict[str, tuple[str, str]]:
    """Plain ``fit`` as a reader would call it, on all 60,000 images; the medians of three rounds in turn."""
    done = subprocess.run([sys.executable, "-c", _EPOCHS], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    rows = {}
    for batch, target in ((32, 0.5), (128, 0.6)):
        ours, theirs = json.loads(done.stdout.splitlines()[-1])[str(batch)]
        rows[f"epoch of 784-128-10, batch {batch}"] = (f"NumPy {ours:.2f} s, Keras {theirs:.2f} s", "")
        rows[f"NumPy / Keras, batch {batch}"] = (f"{ours / theirs:.2f}", f"at most {target}")
    return rows


def _eight_notebooks(folder: Path) -> None:
    folder.mkdir(parents=True)
    for number in range(8):
        code = (_WITH_TENSORFLOW if number % 2 else _WITH_NUMPY).format(width=32 + 8 * number)
        notebook = new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
        )
        notebook.cells = [
            new_markdown_cell(f"# Notebook {number}", id="title"),
            new_code_cell('PROFILE = "quick"', id="parameters", metadata={"tags": ["parameters"]}),
            *(new_code_cell(line, id=f"cell-{i}") for i, line in enumerate([code, "print(2 + 2)"])),
        ]
        nbformat.write(notebook, folder / f"n{number}.ipynb")


def _jupyter_book(root: Path, execution: str) -> float:
    names = sorted(p.stem for p in (root / "notebooks").glob("*.ipynb"))
    contents = {
        "format": "jb-book",
        "root": f"notebooks/{names[0]}",
        "chapters": [{"file": f"notebooks/{n}"} for n in names[1:]],
    }
    config = {
        "title": "bench",
        "only_build_toc_files": True,
        "execute": {"execute_notebooks": execution, "timeout": 300},
    }
    (root / "_toc.yml").write_text(yaml.safe_dump(contents, sort_keys=False))
    (root / "_config.yml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(root), "--all",
               "--path-output", str(root / "out")]  # fmt: skip
    return _timed(command)


def _claims(root: Path) -> dict[str, str]:
    report = json.loads(Paths(root).report.read_text())
    return {c["id"]: json.dumps(c["value"]) for n in report["notebooks"] for c in n["claims"]}


def _timed(command: list[str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY,
                          env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started
