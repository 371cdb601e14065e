"""``python -m book doctor``: is there a graphics card, is it used, and if not, what to do about it.

Needs nothing but Python's standard library. Exit status: 0 if the card is used or there is none, 1 if there is something
to do. :mod:`book.gpu.findings` looks, :mod:`book.gpu.rules` judges.
"""

from __future__ import annotations

from book.gpu.ask import ABSENT, OK, SILENT
from book.gpu.findings import Findings, gather
from book.gpu.remedies import capabilities, framework_name
from book.gpu.rules import judge


def main() -> int:
    """Gather, print the findings, the verdict and the remedies in order; the exit status is the verdict's."""
    found = gather()
    verdict = judge(found)
    print("\n".join([*describe(found), "", f"Verdict: {verdict.sentence}"]))
    for number, remedy in enumerate(verdict.remedies, 1):
        print(f"  {number}. {remedy}")
    if verdict.name in ("unknown", "broken", "new-card") and found.log:
        print("", f"What {framework_name(found)} wrote while it looked for cards:", *found.log, sep="\n  ")
    return verdict.status


def describe(found: Findings) -> list[str]:
    """The findings, one line each."""
    framework, libraries = found.framework, [f"{k} {v}" for k, v in sorted(found.packages.items())]
    system = f"{found.system} {found.machine}" + (f", WSL{found.wsl}" if found.wsl else "")
    cards = [
        f"{c.name}, {c.memory_mib:,} MiB" + (f", capability {c.capability}" if c.capability else "")
        for c in found.cards
    ]
    built = f", built for CUDA {framework.cuda} and cuDNN {framework.cudnn}" if framework and framework.cuda else ""
    built += f", cards from {min(known) / 10:.1f} to {max(known) / 10:.1f}" if (known := capabilities(found)) else ""
    lines = {
        "system": system,
        "driver": found.driver or "none found",
        "nvidia-smi": {OK: "answers", ABSENT: "not there", SILENT: "does not answer"}.get(found.smi, found.smi),
        "cards": "; ".join(cards) or (f"{found.on_bus} on the PCI bus, known to no driver" if found.on_bus else "none found"),
        framework_name(found): f"{framework.version}{built}" if framework else {ABSENT: "not installed"}.get(found.probe, found.probe),
        "sees": "; ".join(framework.gpus) if framework and framework.gpus else "no card",
        "libraries": ", ".join(libraries) or "no CUDA packages in this Python",
    }  # fmt: skip
    settings = {"CUDA_VISIBLE_DEVICES": found.visible, "LD_LIBRARY_PATH": found.library_path or None}
    lines |= {variable: repr(value) for variable, value in settings.items() if value is not None}
    return [f"{what:<12} {value}" for what, value in lines.items()]
