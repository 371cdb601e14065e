"""What a machine says about its NVIDIA cards, gathered so that neither a hanging driver nor a broken import stops us.

Needs nothing but Python's standard library, so it runs before the set-up and in the environments of the engines.
:func:`gather` looks; :mod:`book.gpu.rules` judges.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from book.gpu.ask import ABSENT, WSL_LIBRARIES, Card, Framework, framework, nvidia_smi


@dataclass(frozen=True)
class Findings:
    """All that the verdict depends on.

    Attributes
    ----------
    wsl : {0, 1, 2}
        The Windows Subsystem for Linux that this is; 0 if none.
    on_bus : int
        NVIDIA display controllers on the PCI bus: cards that are there even if no driver knows them.
    driver : str
        Version of the driver, "" if there is none. In WSL2 it is the version of the Windows driver.
    device_file, wsl_driver : bool
        Whether ``/dev/nvidiactl`` is there, and in WSL2 the library that Windows passes through.
    smi, probe : str
        How nvidia-smi and the import of the framework ended: "ok", "absent", "silent", or the message.
    visible : str or None
        ``CUDA_VISIBLE_DEVICES``.
    wanted, packages : dict of str
        CUDA packages that the framework asks for, with their ranges, and those that are installed, with versions.
    log : tuple of str
        What the framework wrote while it looked for cards.
    """

    system: str = "Linux"
    machine: str = "x86_64"
    wsl: int = 0
    on_bus: int = 0
    driver: str = ""
    device_file: bool = False
    wsl_driver: bool = False
    smi: str = ABSENT
    cards: tuple[Card, ...] = ()
    visible: str | None = None
    library_path: str = ""
    backend: str = "tensorflow"
    probe: str = ABSENT
    framework: Framework | None = None
    wanted: dict[str, str] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    python: str = ".venv/bin/python"


def gather(
    environ: Mapping[str, str] = os.environ, root: Path = Path("/"), *, smi_limit: float = 20, probe_limit: float = 180
) -> Findings:
    """Look at this machine. Limits are seconds until a program that does not answer is left alone."""
    backend = environ.get("KERAS_BACKEND") or "tensorflow"
    smi, driver, cards = nvidia_smi(environ, root, smi_limit)
    probe, seen, log = framework(backend, environ, probe_limit)
    version = _text(root / "proc/version")
    module = re.search(r"(?:Kernel Module|Module for \S+)\s+([\d.]+)", _text(root / "proc/driver/nvidia/version"))
    return Findings(
        system=platform.system(),
        machine=platform.machine(),
        wsl=0 if "microsoft" not in version.lower() else 2 if re.search("wsl2|-microsoft-", version, re.I) else 1,
        on_bus=sum(_is_card(device) for device in (root / "sys/bus/pci/devices").glob("*")),
        driver=driver or (module.group(1) if module else ""),
        device_file=(root / "dev/nvidiactl").exists(),
        wsl_driver=(root / WSL_LIBRARIES / "libcuda.so.1").exists(),
        smi=smi,
        cards=cards,
        visible=environ.get("CUDA_VISIBLE_DEVICES"),
        library_path=environ.get("LD_LIBRARY_PATH", ""),
        backend=backend,
        probe=probe,
        framework=seen,
        wanted=_wanted(backend),
        packages={d.name: d.version for d in importlib.metadata.distributions() if re.match("nvidia-|jax-cuda", d.name or "")},
        log=log,
        python=python_as_typed(),
    )  # fmt: skip


def _wanted(backend: str) -> dict[str, str]:
    """CUDA packages that the framework's own metadata names, with the ranges."""
    for package, extra in {"tensorflow": [("tensorflow", "and-cuda")],
                           "jax": [("jax-cuda12-plugin", "with-cuda"), ("jax-cuda13-plugin", "with-cuda")]}.get(backend, []):  # fmt: skip
        try:
            lines = importlib.metadata.requires(package) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        mine = [line.partition(";")[0].strip() for line in lines if re.search(rf"extra\s*==\s*['\"]{extra}['\"]", line)]
        pairs = [re.match(r"([\w.-]+)(?:\[[^]]*\])?\s*(.*)", line).groups() for line in mine]
        return {name: range_.strip("() ") for name, range_ in pairs if name.startswith("nvidia-")}
    return {}


def _is_card(device: Path) -> bool:
    """Vendor NVIDIA, class display controller: not the sound device of the same card."""
    return _text(device / "vendor").strip() == "0x10de" and _text(device / "class").startswith("0x03")


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def python_as_typed() -> str:
    """This Python as a user would type it from here: "python" where that is what the shell finds."""
    if (found := shutil.which("python")) and Path(found).absolute() == Path(sys.executable).absolute():
        return "python"
    with suppress(ValueError):
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return sys.executable
