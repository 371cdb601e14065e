"""The doctor: a verdict and remedies for every state of a machine, told from faked findings; and looking that never hangs."""

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from book import doctor
from book.gpu import ask, findings, rules
from book.gpu.ask import ABSENT, OK, SILENT, Card, Framework
from book.gpu.findings import Findings
from book.gpu.rules import judge
from conftest import REPOSITORY

WANTED = {"nvidia-cublas-cu12": "<13.0,>=12.5.3.2", "nvidia-cudnn-cu12": "<10.0,>=9.3.0.75"}
THERE = {"nvidia-cublas-cu12": "12.9.1", "nvidia-cudnn-cu12": "9.28.0.42"}
PLAIN = Framework("2.21.0", True, "12.5.1", "9", ("sm_60", "sm_80", "compute_90"))
TORCH = Framework("2.14.1", True, "13.0", "92000", ("sm_75", "sm_90", "sm_120", "compute_120"))
A100, T4 = Card("NVIDIA A100", 81_920, "8.0"), Card("Tesla T4", 15_360, "7.5")
B200, RTX = Card("NVIDIA B200", 183_359, "10.0"), Card("NVIDIA GeForce RTX 5090", 32_607, "12.0")

# A workstation on which everything is right; each case below breaks one thing.
WELL = Findings(
    on_bus=1, driver="570.86.15", device_file=True, smi=OK, cards=(A100,), probe=OK,
    framework=replace(PLAIN, gpus=("NVIDIA A100",)), wanted=WANTED, packages=THERE,
)  # fmt: skip
UNSEEN = replace(WELL, framework=PLAIN)
NO_DRIVER = replace(UNSEEN, driver="", smi=ABSENT, cards=(), device_file=False)
LAPTOP = replace(NO_DRIVER, on_bus=0, packages={})
WSL = replace(LAPTOP, wsl=2)
JAX = replace(UNSEEN, backend="jax", framework=Framework("0.10.2"), wanted={}, packages={})
FAILED = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
MISMATCH = "Failed to initialize NVML: Driver/library version mismatch"

CASES = [  # name of the verdict, exit status, findings, words of the first remedy or of the sentence
    ("used", 0, WELL, "NVIDIA A100"),
    ("used", 0, replace(WELL, cards=(A100, T4), framework=replace(PLAIN, gpus=("NVIDIA A100", "Tesla T4"))), "PCI_BUS_ID"),
    ("used", 0, replace(WELL, cards=(A100, T4), visible="0"), "lists 2 cards and TensorFlow uses 1 (CUDA_VISIBLE_DEVICES"),
    ("used", 0, replace(WELL, packages={}, wanted={}), "NVIDIA A100"),  # CUDA from the system or from conda
    ("used", 0, replace(WELL, backend="jax", framework=Framework("0.10.2", gpus=("NVIDIA A100",))), "JAX ran"),
    ("broken", 1, replace(WELL, framework=replace(WELL.framework, error="DNN library is not found"),
                          packages={**THERE, "nvidia-cudnn-cu12": "9.1.0.70"}), "requirements-gpu.lock"),
    ("broken", 1, replace(WELL, framework=replace(WELL.framework, error="x"), library_path="/usr/local/cuda-11.8/lib64"),
     "unset LD_LIBRARY_PATH"),
    ("broken", 1, replace(WELL, framework=replace(WELL.framework, error="RESOURCE_EXHAUSTED: out of memory")), "Another program"),
    ("mac", 0, replace(LAPTOP, system="Darwin", machine="arm64"), "CPU"),
    ("windows", 1, replace(UNSEEN, system="Windows", machine="AMD64", on_bus=0), "WSL2"),
    ("no-card", 0, replace(LAPTOP, system="Windows", machine="AMD64"), "CPU"),
    ("wsl1", 1, replace(LAPTOP, wsl=1), "--set-version"),
    ("wsl-no-driver", 0, WSL, "in Windows, not in Linux"),
    ("wsl-driver", 1, replace(WSL, wsl_driver=True, smi="GPU access blocked by the operating system"), "wsl --update"),
    ("used", 0, replace(WELL, wsl=2, on_bus=0, device_file=False, wsl_driver=True), "NVIDIA A100"),
    ("plain", 1, replace(UNSEEN, wsl=2, on_bus=0, device_file=False, wsl_driver=True, packages={}), "requirements-gpu.lock"),
    ("no-card", 0, LAPTOP, "CPU"),
    ("no-card", 0, replace(LAPTOP, smi=FAILED), "CPU"),  # the tools without a card
    ("no-card", 0, replace(LAPTOP, probe=ABSENT, framework=None), "book setup"),
    ("no-driver", 1, NO_DRIVER, "Install the driver"),
    ("no-driver", 1, replace(NO_DRIVER, smi=FAILED), "couldn't communicate"),
    ("driver-hangs", 1, replace(NO_DRIVER, smi=SILENT, probe=SILENT, framework=None), "Restart"),
    ("driver-mismatch", 1, replace(NO_DRIVER, driver="550.54.14", smi=MISMATCH), "Restart"),
    ("not-passed-through", 1, replace(NO_DRIVER, driver="550.54.14"), "--gpus all"),
    ("no-devices", 1, replace(NO_DRIVER, on_bus=0, driver="550.54.14", device_file=True, smi="No devices were found"), "power"),
    ("old-driver", 1, replace(UNSEEN, driver="470.256.02"), "525.60.13"),
    ("old-driver", 1, replace(UNSEEN, driver="525.60.12"), "525.60.13"),
    ("old-driver", 1, replace(UNSEEN, driver="470.256.02", probe=SILENT, framework=None), "525.60.13"),  # the cause comes first
    ("old-driver", 1, replace(UNSEEN, wsl=2, driver="526.10"), "in Windows to 528.33"),
    ("old-driver", 1, replace(JAX, driver="575.10", packages={"jax-cuda13-plugin": "0.10.2"}), "580"),
    ("no-framework", 1, replace(UNSEEN, probe=ABSENT, framework=None), "book setup"),
    ("no-framework", 1, replace(JAX, probe=ABSENT, framework=None), "--engine jax"),
    ("silent", 1, replace(UNSEEN, probe=SILENT, framework=None), "nvidia-smi"),
    ("import", 1, replace(UNSEEN, probe="ImportError: libstdc++.so.6", framework=None), "libstdc++"),
    ("hidden", 1, replace(UNSEEN, visible=""), "unset CUDA_VISIBLE_DEVICES"),
    ("hidden", 1, replace(UNSEEN, visible="-1"), "unset CUDA_VISIBLE_DEVICES"),
    ("hidden", 1, replace(UNSEEN, visible="1"), "from 0 to 0"),
    ("plain", 1, replace(UNSEEN, visible="0", packages={}), "requirements-gpu.lock"),
    ("plain", 1, replace(UNSEEN, visible="GPU-8932f937-d72c", packages={}), "requirements-gpu.lock"),
    ("old-card", 1, replace(UNSEEN, cards=(Card("Tesla K80", 11_441, "3.7"),)), "needs 6.0 or more"),
    ("new-card", 1, replace(UNSEEN, cards=(B200,), packages={}), "10.0; this TensorFlow was built for cards up to 9.0"),
    ("new-card", 1, replace(UNSEEN, cards=(RTX,)), "book setup --engine torch, then: .venv/bin/python -m book backend torch"),
    ("new-card", 1, replace(WELL, cards=(RTX,), framework=replace(PLAIN, gpus=("RTX",), error="a product of elements: CUDA_ERROR_INVALID_PTX")),
     "CUDA_VISIBLE_DEVICES= make book"),
    ("new-card", 1, replace(WELL, cards=(RTX, A100), framework=replace(PLAIN, gpus=("RTX", "NVIDIA A100"), error="x")), "CUDA_VISIBLE_DEVICES=1 chooses the NVIDIA A100"),
    ("plain", 1, replace(UNSEEN, cards=(RTX, A100), packages={}), "requirements-gpu.lock"),  # the other one can be used
    ("used", 0, replace(WELL, cards=(RTX,), framework=replace(PLAIN, gpus=("RTX",))), "RTX"),  # a TensorFlow that copes
    ("broken", 1, replace(WELL, cards=(RTX,), framework=replace(PLAIN, gpus=("RTX",), error="RESOURCE_EXHAUSTED")), "Another program"),
    ("plain", 1, replace(UNSEEN, cards=(Card("NVIDIA L4", 23_034, "8.9"),), packages={}), "requirements-gpu.lock"),
    ("used", 0, replace(WELL, backend="torch", driver="580.95.05", cards=(RTX,), framework=replace(TORCH, gpus=("RTX",))), "PyTorch ran"),
    ("old-card", 1, replace(UNSEEN, backend="torch", driver="580.95.05", cards=(Card("Tesla P100", 16_280, "6.0"),), framework=TORCH), "this PyTorch needs 7.5"),
    ("old-driver", 1, replace(UNSEEN, backend="torch", framework=TORCH), "CUDA 13, which needs at least 580"),
    ("cpu-build", 1, replace(UNSEEN, backend="torch", framework=Framework("2.13.0+cpu", False)), "--engine torch"),
    ("no-framework", 1, replace(UNSEEN, backend="torch", probe=ABSENT, framework=None), "--engine torch"),
    ("broken", 1, replace(WELL, backend="torch", driver="580.95.05", framework=replace(TORCH, gpus=("A",), error="x")), "--engine torch"),
    ("plain", 1, replace(UNSEEN, cards=(Card("an old tool", 1, ""),), packages={}), "requirements-gpu.lock"),
    ("cpu-build", 1, replace(UNSEEN, machine="aarch64", framework=Framework("2.21.0", False)), "Linux x86_64"),
    ("cpu-build", 1, JAX, 'pip install "jax[cuda12]==0.10.2"'),
    ("plain", 1, replace(UNSEEN, packages={}), "requirements-gpu.lock"),
    ("cudnn", 1, replace(UNSEEN, packages={k: v for k, v in THERE.items() if "cudnn" not in k}), "requirements-gpu.lock"),
    ("cudnn", 1, replace(UNSEEN, packages={**THERE, "nvidia-cudnn-cu12": "8.9.7.29"}), "too old or too new: 8.9.7.29"),
    ("libraries", 1, replace(UNSEEN, packages={**THERE, "nvidia-cublas-cu12": "12.1.3.1"}), "nvidia-cublas-cu12"),
    ("shadow", 1, replace(UNSEEN, library_path="/opt/x:/usr/local/cuda-11.8/lib64"), "unset LD_LIBRARY_PATH"),
    ("unknown", 1, replace(UNSEEN, library_path="/usr/lib/wsl/lib:/opt/x"), "force-reinstall"),
    ("unknown", 1, UNSEEN, "force-reinstall"),
    ("backend", 1, replace(WELL, backend="openvino"), "'openvino'"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "found", "words"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_every_state_of_a_machine_has_its_verdict(name, status, found, words):
    verdict = judge(found)
    assert (verdict.name, verdict.status) == (name, status), verdict
    assert words in " ".join([verdict.sentence, *verdict.remedies])
    if status:
        assert verdict.remedies, "a fault without a remedy"
    for line in doctor.describe(found):  # nothing of it fails to print
        assert line.strip()


def test_the_cases_meet_every_rule():
    made = {next(rule for rule in rules.RULES if rule(found)) for _, _, found, _ in CASES}
    assert made == set(rules.RULES)


def test_a_case_with_a_card_that_is_not_used_never_ends_with_zero():
    for name, status, found, _ in CASES:
        if (found.cards or found.on_bus) and name != "used":
            assert status == 1, name


# -- Looking -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """A fake root with a card on the bus, and a folder for a fake nvidia-smi."""
    for number, (vendor, kind) in enumerate([("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x8086", "0x030000")]):
        device = tmp_path / f"sys/bus/pci/devices/0000:0{number}:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    (tmp_path / "bin").mkdir()
    return tmp_path


def smi(machine, text: str) -> dict[str, str]:
    program = machine / "bin/nvidia-smi"
    program.write_text("#!/bin/sh\n" + text)
    program.chmod(0o755)
    return {"PATH": f"{machine / 'bin'}:/usr/bin:/bin", "KERAS_BACKEND": "none"}


def test_cards_are_read_from_nvidia_smi_and_the_bus(machine):
    answer = 'case "$*" in *compute_cap*) echo 8.0; echo 7.5;; *) echo "NVIDIA A100, 81920, 570.86.15"; echo "Tesla T4, 15360, 570.86.15";; esac'
    found = findings.gather(smi(machine, answer), machine)
    assert (found.smi, found.driver, found.cards) == (OK, "570.86.15", (A100, T4))
    assert found.on_bus == 1  # neither its sound device nor another maker's card


def test_an_old_nvidia_smi_that_does_not_know_capabilities_is_enough(machine):
    answer = 'case "$*" in *compute_cap*) echo "Field \\"compute_cap\\" is not a valid field to query."; exit 2;; *) echo "Tesla K80, 11441, 418.87.00";; esac'
    found = findings.gather(smi(machine, answer), machine)
    assert found.cards == (Card("Tesla K80", 11_441, ""),)


@pytest.mark.parametrize(("text", "words"), [(f'echo "{MISMATCH}"; exit 18', MISMATCH), ("exit 9", "exit status 9")])
def test_what_a_failing_nvidia_smi_says_is_kept(machine, text, words):
    found = findings.gather(smi(machine, text), machine)
    assert words in found.smi
    assert not found.cards


def test_the_driver_in_the_kernel_is_found_without_nvidia_smi(machine):
    (machine / "proc/driver/nvidia").mkdir(parents=True)
    (machine / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024\n"
    )
    found = findings.gather({"PATH": str(machine / "bin"), "KERAS_BACKEND": "none"}, machine)
    assert (found.smi, found.driver) == (ABSENT, "535.183.01")
    (machine / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
    )
    assert findings.gather({"PATH": str(machine / "bin"), "KERAS_BACKEND": "none"}, machine).driver == "570.86.15"


@pytest.mark.parametrize(
    ("text", "wsl"),
    [
        ("Linux version 5.15.167.4-microsoft-standard-WSL2 (root@f9c826d3017f) (gcc ...)", 2),
        ("Linux version 4.4.0-19041-Microsoft (Microsoft@Microsoft.com) (gcc version 5.4.0)", 1),
        ("Linux version 6.8.0-45-generic (buildd@lcy02-amd64-075)", 0),
    ],
)
def test_wsl_is_known_by_its_kernel_and_its_nvidia_smi_outside_the_path(machine, text, wsl):
    (machine / "proc").mkdir()
    (machine / "proc/version").write_text(text)
    folder = machine / ask.WSL_LIBRARIES
    folder.mkdir(parents=True)
    (folder / "libcuda.so.1").write_text("")
    smi(machine, 'echo "RTX 4070, 12282, 560.94"')
    (machine / "bin/nvidia-smi").rename(folder / "nvidia-smi")
    found = findings.gather({"PATH": "/usr/bin:/bin", "KERAS_BACKEND": "none"}, machine)
    assert (found.wsl, found.driver, found.wsl_driver) == (wsl, "560.94", True)


def test_a_hanging_nvidia_smi_does_not_hang_the_doctor(machine):
    started = time.monotonic()
    found = findings.gather(smi(machine, "trap '' TERM; sleep 60 & wait; sleep 60"), machine, smi_limit=0.5)
    assert found.smi == SILENT
    assert time.monotonic() - started < 10
    assert judge(replace(found, backend="tensorflow")).name == "driver-hangs"


def test_a_hanging_framework_does_not_hang_the_doctor(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("import time\ntime.sleep(60)\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    assert ask.framework("tensorflow", environ, 1.0)[:2] == (SILENT, None)


COMMON = """
import types
from contextlib import nullcontext
class Tensor:
    device, __mul__ = "", (lambda *_: work("product"))
    numpy = cpu = lambda self: self
def work(name):
    if name == NAMED:
        FAIL
    return Tensor()
__version__ = "2.0"
ones = lambda *_, **__: Tensor()
"""
FAKES = {
    "tensorflow": """
gpu = types.SimpleNamespace(name="/physical_device:GPU:0")
sysconfig = types.SimpleNamespace(get_build_info=lambda: {"is_cuda_build": True, "cuda_version": "12.5.1"})
details = types.SimpleNamespace(get_device_details=lambda gpu: {"device_name": "Fake"})
config = types.SimpleNamespace(list_physical_devices=lambda kind: [gpu], experimental=details)
device = lambda name: nullcontext()
nn = types.SimpleNamespace(conv2d=lambda *_, **__: work("convolution"))
function = lambda inner, jit_compile: lambda x: work("compiled")
""",
    "torch": """
version = types.SimpleNamespace(cuda="12.5.1")
backends = types.SimpleNamespace(cudnn=types.SimpleNamespace(version=lambda: 92000))
cuda = types.SimpleNamespace(device_count=lambda: 1, get_arch_list=lambda: ["sm_90"], get_device_name=lambda number: "Fake")
nn = types.SimpleNamespace(functional=types.SimpleNamespace(conv2d=lambda *_, **__: work("convolution")))
""",
}


def fake(backend: str, named: str = "", body: str = "pass") -> str:
    """A framework with one card; when it is asked for the named work, it runs the body first."""
    return (COMMON + FAKES[backend]).replace("NAMED", repr(named)).replace("FAIL", body)


@pytest.mark.parametrize(
    ("backend", "named", "body", "error"),
    [("tensorflow", "", "pass", ""),
     ("tensorflow", "convolution", "raise RuntimeError('DNN library is not\\n found')", "a convolution: DNN library is not found"),
     ("tensorflow", "product", "raise RuntimeError('CUDA_ERROR_INVALID_PTX')", "a product of elements: CUDA_ERROR_INVALID_PTX"),
     ("tensorflow", "compiled", "import os; os.abort()", "a compiled function: the process ended with status -6"),
     ("tensorflow", "convolution", "import time; time.sleep(60)", "a convolution: no answer in time"),
     ("torch", "", "pass", ""),
     ("torch", "product", "import os; os.abort()", "a product of elements: the process ended with status -6")],
)  # fmt: skip
def test_a_card_counts_as_used_only_if_every_kind_of_work_on_it_succeeds(tmp_path, backend, named, body, error):
    (tmp_path / f"{backend}.py").write_text(fake(backend, named, body))
    probe, seen, _ = ask.framework(backend, {**os.environ, "PYTHONPATH": str(tmp_path)}, 2.0)
    assert (probe, seen.gpus, seen.cuda) == (OK, ("Fake",), "12.5.1")
    assert seen.error == error


@pytest.mark.parametrize(
    ("backend", "python", "swap"),
    [("tensorflow", sys.executable, ("GPU", "CPU")), ("jax", REPOSITORY / ".venv-jax/bin/python", ('"gpu"', '"cpu"'))],
)
def test_the_work_is_such_that_the_framework_can_do_it(backend, python, swap):
    """On the processor in place of a card: what fails there would be called a broken card."""
    if not Path(python).is_file():
        pytest.skip(f"there is no {python}: run make engines")
    program = (REPOSITORY / f"book/gpu/probe_{backend}.py").read_text(encoding="utf-8").replace(*swap)
    status, out, err = ask.ask([str(python), "-c", program], os.environ, 300)
    lines = [line for line in out.splitlines() if line.startswith("FOUND ")]
    assert (status, len(lines)) == (0, 4), err  # three kinds of work, and the end
    assert [key in lines[-1] for key in ("error", "work")] == [False, False]


@pytest.mark.parametrize(("text", "probe"), [("raise ModuleNotFoundError(\"No module named 'tensorflow'\")", ABSENT),
                                             ("raise ImportError('libfoo.so.1: cannot open')", "ImportError: libfoo.so.1: cannot open")])  # fmt: skip
def test_a_framework_that_cannot_be_imported_is_told_apart_from_none(tmp_path, text, probe):
    (tmp_path / "tensorflow.py").write_text(text)
    assert ask.framework("tensorflow", {**os.environ, "PYTHONPATH": str(tmp_path)}, 20)[0] == probe


def test_wanted_libraries_are_those_of_the_installed_tensorflow():
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    wanted = findings._wanted("tensorflow")
    assert len(wanted) >= 10
    assert wanted["nvidia-cudnn-cu12"].count(">=") == 1
    assert findings._wanted("none") == {}


# -- The command ---------------------------------------------------------------------------------------------------------


def test_the_doctor_imports_no_framework_and_nothing_that_is_not_in_python():
    program = (
        "import sys, book.doctor, book.__main__\n"
        "loaded = {name for name, module in sys.modules.items() if module}\n"
        "print(*sorted({name.partition('.')[0] for name in loaded} - sys.stdlib_module_names - {'book', '__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_the_command_prints_verdict_remedies_and_the_log_where_it_helps(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "gather", lambda: replace(UNSEEN, log=("Could not load libcudnn.so.9",)))
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert out.index("Verdict: ") < out.index("  1. ") < out.index("libcudnn.so.9")
