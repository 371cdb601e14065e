"""The page for GPU workstations: every command on it is run here, or understood by its program, or listed with a reason."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest

from book import __main__ as command_line
from book.gpu import remedies
from book.paths import REPOSITORY
from conftest import Project

TEXT = (REPOSITORY / "book/pages/gpu.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^ *```(bash|powershell)\n(.*?)^ *```", TEXT, flags=re.M | re.S)
LINES = [line.strip() for _, block in BLOCKS for line in block.splitlines() if line.strip()]

# Run below, in this order, on a small project with notebooks of the same names. Building is run as executing: rendering
# is another page's business.
RUN = (
    "nohup .venv/bin/python -m book build --profile full --jobs 1 > full.log 2>&1 &",
    "tail full.log",
    "CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=1 .venv/bin/python -m book execute --profile full --only 05_mnist",
    "CUDA_VISIBLE_DEVICES= .venv/bin/python -m book execute --only 05_mnist",
    ".venv/bin/python -m papermill notebooks/04_loss_examples.ipynb /tmp/04_full.ipynb -p PROFILE full --cwd notebooks --log-output",
    ".venv/bin/python -m book receipts --show",
    "export TF_FORCE_GPU_ALLOW_GROWTH=true",  # last: the builder sets it without our help
)
APART = (
    ".venv/bin/python -m book doctor",
    "KERAS_BACKEND=jax .venv-jax/bin/python -m book doctor",
    "KERAS_BACKEND=torch .venv-torch/bin/python -m book doctor",
)  # tests of their own
ELSEWHERE = {  # what a test cannot run, and why; those of the book are still parsed
    "nvidia-smi": "needs a driver",
    "python3 -m book setup": "makes the environment that runs this test; see test_environment.py",
    ".venv/bin/python -m pip install --no-deps --require-hashes -r requirements-gpu.lock": "gigabytes; see test_environment.py",
    '.venv/bin/python -m pip install "tensorflow[and-cuda]==2.21.0"': "gigabytes; see test_environment.py",
    "conda env create -f environment.yml": "needs conda; see test_environment.py",
    "conda activate large-models": "needs conda",
    "python -m pip install --no-deps --require-hashes -r requirements-gpu.lock": "needs conda; see test_environment.py",
    "python -m book doctor": "needs conda; the same command as in the book's environment",
    ".venv/bin/python -m book build --profile full --jobs 2": "renders; executing is run above",
    "tmux new -s book": "needs a terminal",
    ".venv/bin/python -m book build --profile full --jobs 1": "renders; the same with nohup is run above",
    "ssh -L 8000:localhost:8000 workstation": "needs another machine",
    ".venv/bin/python -m book serve": "does not end; see test_site.py",
    ".venv/bin/python -m book receipts --measure --profile full": "see test_book_receipts.py",
    "wsl --install": "needs Windows",
    "wsl --update": "needs Windows",
    "python3 -m book setup --engine jax": "makes an environment; see test_environment.py",
    '.venv-jax/bin/python -m pip install "jax[cuda12]==0.10.2"': "gigabytes; see test_environment.py",
    "python3 -m book setup --engine torch": "gigabytes; an environment like those of test_environment.py",
    ".venv/bin/python -m book backend jax": "see test_backends.py",
    ".venv/bin/python -m book backend torch": "the same command on a backend that takes gigabytes",
    ".venv/bin/python -m book backend jax --only 07_attention --profile full": "see test_backends.py",
    ".venv/bin/python -m book card --backend tensorflow": "see test_card.py",
    ".venv-jax/bin/python -m book card --backend jax --seconds 600 --keep": "see test_card.py",
}  # fmt: skip


def test_every_command_of_the_page_is_run_or_listed_with_a_reason():
    assert sorted(set(LINES)) == sorted({*RUN, *APART, *ELSEWHERE})
    assert all(ELSEWHERE.values())


@pytest.mark.parametrize("line", [line for line in LINES if "-m book " in line])
def test_the_command_line_understands_every_command_of_the_book(line):
    arguments = re.sub(r" (>|2>|&).*", "", line).partition("-m book ")[2].split()
    options = command_line._parser().parse_args(arguments)
    assert options.command == arguments[0]
    for name in getattr(options, "only", []):
        assert (REPOSITORY / f"notebooks/{name}.ipynb").is_file()
    if getattr(options, "engine", None):
        assert (REPOSITORY / f"engines/{options.engine}/requirements.lock").is_file()
    assert getattr(options, "profile", "quick") in ("quick", "full")


@pytest.fixture(scope="module")
def run(new_project):
    """Run all of RUN in one shell; returns the project and what the shell printed."""
    project: Project = new_project("workstation")
    project.write(
        "05_mnist",
        "import os\nprint(PROFILE, os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])",
    )
    project.write("04_loss_examples", "import os\nprint(PROFILE, os.path.basename(os.getcwd()))")
    script = "\n".join(RUN)
    script = script.replace("full.log 2>&1 &", "full.log 2>&1 & wait").replace(" build ", " execute ")
    script = script.replace("/tmp/04_full.ipynb", str(project.scratch / "04_full.ipynb"))
    root = f" --root '{project.root}'"
    python = re.compile(r"\.venv/bin/python( -m book)?")
    script = python.sub(lambda m: f"'{sys.executable}'" + (m[1] + root if m[1] else ""), script)
    environment = {
        k: v for k, v in project.environment().items() if k not in ("CUDA_VISIBLE_DEVICES", "TF_FORCE_GPU_ALLOW_GROWTH")
    }
    done = subprocess.run(["bash", "-e", "-c", script], cwd=project.root, env=environment, capture_output=True, text=True,
                          timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return project, done


def printed(notebook) -> str:
    return "".join(o.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for o in cell.outputs)


def test_the_commands_do_what_the_page_says(run):
    project, done = run
    assert "2 of 2 notebooks good (2 executed now)" in done.stdout  # in the log that tail shows
    assert "profile full" in (project.root / "full.log").read_text()
    assert printed(project.executed("05_mnist")) == "quick  true\n"  # the last run: quick, with an empty list of cards
    assert "There is no receipt yet." in done.stdout


def test_papermill_alone_runs_a_notebook_in_the_full_profile(run):
    import nbformat

    project, done = run
    assert printed(nbformat.read(project.scratch / "04_full.ipynb", as_version=4)) == "full notebooks\n"
    assert "full notebooks" in done.stderr  # --log-output


def test_the_doctor_gives_a_verdict_on_this_machine():
    done = subprocess.run(
        [sys.executable, "-m", "book", "doctor"], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode in (0, 1)
    built = re.search(
        rf"^TensorFlow +{re.escape(version('tensorflow'))}, built for .*, cards from ([\d.]+) to ([\d.]+)$",
        done.stdout,
        flags=re.M,
    )
    assert f"was built for cards up to compute capability {built.group(2)} (Hopper)" in TEXT
    assert "Verdict: " in done.stdout


@pytest.mark.parametrize(("engine", "line"), [("jax", r"^JAX +0\."), ("torch", r"^PyTorch +2\.")])
def test_the_doctor_gives_a_verdict_on_another_framework(engine, line):
    python = REPOSITORY / f".venv-{engine}/bin/python"
    if not python.is_file():
        pytest.skip(f"no .venv-{engine}: run python3 -m book setup --engine {engine}")
    done = subprocess.run([python, "-m", "book", "doctor"], cwd=REPOSITORY, env={**os.environ, "KERAS_BACKEND": engine},
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert re.search(line, done.stdout, flags=re.M)


def test_the_drivers_on_the_page_are_those_that_the_doctor_asks_for():
    linux, windows = (".".join(map(str, numbers)) for numbers in remedies.OLDEST[12])
    assert f"a driver of {linux} or later on Linux, and {windows} or" in " ".join(TEXT.split())
