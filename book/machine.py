"""What this machine is and which versions are installed: said once per build, beside every result."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("tensorflow", "keras", "numpy", "matplotlib", "scikit-learn", "papermill", "jupyter-book", "sphinx")


@functools.cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


@functools.cache
def gpus() -> tuple[str, ...]:
    """Names of the NVIDIA cards that this process may use; empty where there is no driver, or all are hidden."""
    return _ask_driver("name,memory.total")


@functools.cache
def driver() -> str | None:
    """Version of the NVIDIA driver; None where there is none that answers."""
    return next(iter(_ask_driver("driver_version")), None)


def _ask_driver(what: str) -> tuple[str, ...]:
    """One line for each card that ``CUDA_VISIBLE_DEVICES`` leaves visible."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if shutil.which("nvidia-smi") is None or visible in ("", "-1"):
        return ()
    query = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", *([f"--id={visible}"] if visible else [])]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return tuple(line.strip() for line in answer.stdout.splitlines() if line.strip()) if answer.returncode == 0 else ()


def cuda_libraries() -> dict[str, str]:
    """CUDA packages in this environment that decide how fast and how exact: cuDNN, cuBLAS, the runtime."""
    wanted = re.compile(r"nvidia-(cudnn|cublas|cuda-runtime)(-cu\d+)?")
    return {d.name: d.version for d in importlib.metadata.distributions() if wanted.fullmatch(d.name or "")}


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def device() -> dict[str, Any]:
    return {
        "cpu": _processor(),
        "cores": cores(),
        "memory_gib": _memory_gib(),
        "gpus": list(gpus()),
        "system": f"{platform.system()} {platform.machine()}",
    }


def describe() -> str:
    """One line for a page: ``2 cores of AMD EPYC, 23.5 GiB, no GPU``."""
    d = device()
    cards = ", ".join(d["gpus"]) or "no GPU"
    return f"{d['cores']} cores of {d['cpu']}, {d['memory_gib']} GiB, {cards}"


def slug(device: dict[str, Any]) -> str:
    """A short name of a machine for a file: its cards, or its processor and cores."""
    if device["gpus"]:
        names = [card.partition(",")[0] for card in device["gpus"]]
        text = f"{len(names)}x-{names[0]}" if len(names) > 1 else names[0]
    else:
        text = f"{device['cores']}-cores-{device['cpu']}"
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def title(device: dict[str, Any]) -> str:
    """The machine in a few words for people."""
    cards = ", ".join(card.partition(",")[0] for card in device["gpus"])
    return cards or f"{device['cores']} cores of {device['cpu']}"


def _memory_gib() -> float:
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    import psutil

    return round(psutil.virtual_memory().total / 2**30, 1)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
