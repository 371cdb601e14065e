"""Words and commands that several rules of the doctor use, each from the findings.

Sources: CUDA 12 needs a driver of at least 525.60.13 on Linux (528.33 on Windows), CUDA 13 at least 580 (NVIDIA, "CUDA
compatibility" and the release notes of the toolkit). The CUDA packages that TensorFlow asks for, with their ranges, are
read from its own metadata, the CUDA that it was built for from ``tf.sysconfig.get_build_info``. Its shared libraries
have a RUNPATH to those packages, and the loader looks into ``LD_LIBRARY_PATH`` before a RUNPATH.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from book.gpu.ask import ABSENT, NAMES
from book.gpu.findings import Findings

# The oldest driver for each CUDA: on Linux, and on Windows (whose driver WSL2 uses).
OLDEST = {12: ((525, 60, 13), (528, 33)), 13: ((580,), (580,))}


@dataclass(frozen=True)
class Verdict:
    """``status`` is the exit status: 0 if the card is used or there is none, 1 if there is something to do."""

    name: str
    status: int
    sentence: str
    remedies: tuple[str, ...] = ()


def framework_name(f: Findings) -> str:
    return NAMES.get(f.backend, f.backend)


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in re.findall(r"\d+", version))


def capabilities(f: Findings) -> list[int]:
    """The compute capabilities that the framework was built for, times ten: 80 for 8.0. Empty if it does not tell."""
    return [int(n) for text in (f.framework.capabilities if f.framework else ()) for n in re.findall(r"\d+", text)]


def plugin(f: Findings) -> str:
    return next((name for name in f.packages if re.fullmatch(r"jax-cuda\d+-plugin", name)), "")


def cuda(f: Findings) -> int:
    """Major version of CUDA that the framework needs; 12 if nothing says otherwise."""
    said = f.framework.cuda if f.framework and f.framework.cuda else plugin(f)
    major = (numbers(said) or (12,))[0]
    return major if major in OLDEST else 12


def oldest(f: Findings) -> str:
    return ".".join(map(str, OLDEST[cuda(f)][f.wsl > 0]))


def setup(f: Findings) -> str:
    return "python3 -m book setup" + ("" if f.backend == "tensorflow" else f" --engine {f.backend}")


def not_installed(f: Findings) -> tuple[str, ...]:
    """What to do where the framework is not there, card or no card."""
    return () if f.probe != ABSENT else (f"{framework_name(f)} is not installed in this Python: {setup(f)}, then ask again with the Python of that environment.",)  # fmt: skip


def install(f: Findings) -> str:
    if f.backend == "jax":
        version = f"=={f.framework.version}" if f.framework else ""
        return f'{f.python} -m pip install "jax[cuda{cuda(f)}]{version}"'
    if f.backend == "torch":  # it brings the libraries along
        return f"rm -r .venv-torch && {setup(f)}"
    return f"{f.python} -m pip install --no-deps --require-hashes -r requirements-gpu.lock"


def missing_packages(f: Findings) -> list[str]:
    return [name for name in f.wanted if name not in f.packages]


def old_packages(f: Findings) -> list[str]:
    from packaging.specifiers import SpecifierSet  # comes with both frameworks; the rules before need nothing

    return [
        name for name, wanted in f.wanted.items() if name in f.packages and f.packages[name] not in SpecifierSet(wanted)
    ]


def library_remedies(f: Findings) -> tuple[str, ...]:
    return (install(f),) if missing_packages(f) or old_packages(f) else ()


def shadow_remedies(f: Findings) -> tuple[str, ...]:
    """A library path that may lead to another CUDA."""
    suspects = [p for p in f.library_path.split(":") if re.search(r"cuda|cudnn|nvidia", p, re.I)]
    return ("unset LD_LIBRARY_PATH, then ask again; if that helps, remove the line that sets it from your shell's start file.",) if suspects else ()  # fmt: skip
