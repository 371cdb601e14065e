"""Rules of the doctor about what is installed: framework, settings, CUDA libraries. Each gives a verdict or None."""

from __future__ import annotations

import re

from book.gpu.ask import ABSENT, NAMES, OK, SILENT
from book.gpu.findings import Findings
from book.gpu.remedies import (
    Verdict,
    capabilities,
    framework_name,
    install,
    library_remedies,
    missing_packages,
    not_installed,
    numbers,
    old_packages,
    oldest,
    plugin,
    setup,
    shadow_remedies,
)


def other_backend(f: Findings) -> Verdict | None:
    if f.backend not in NAMES:
        return Verdict("backend", 1, f"KERAS_BACKEND is '{f.backend}'; the doctor knows {', '.join(NAMES)}.",
                       (f"Set KERAS_BACKEND to one of {', '.join(NAMES)}, or unset it.",))  # fmt: skip
    return None


def in_use(f: Findings) -> Verdict | None:
    if not (f.framework and f.framework.gpus) or f.framework.error:
        return None
    seen, there = len(f.framework.gpus), len(f.cards)
    which = f.framework.gpus[0] if seen == 1 else f"{seen} cards ({', '.join(f.framework.gpus)})"
    remedies = []
    if max(seen, there) > 1:
        remedies.append("To choose one card: CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES=0, with the number that "
                        "nvidia-smi shows.")  # fmt: skip
    if seen < there:
        why = " (CUDA_VISIBLE_DEVICES is set)" if f.visible is not None else ""
        remedies.append(f"nvidia-smi lists {there} cards and {framework_name(f)} uses {seen}{why}.")
    return Verdict("used", 0, f"The GPU is used: {framework_name(f)} ran a convolution on {which}.", tuple(remedies))


def broken(f: Findings) -> Verdict | None:
    """The card is listed, and the first real work on it fails."""
    if not (f.framework and f.framework.gpus):
        return None
    remedies = []
    if re.search(r"out of memory|OOM|RESOURCE_EXHAUSTED", f.framework.error):
        remedies.append(
            "Another program holds the memory of the card: nvidia-smi shows which; end it, or choose another card."
        )
    elif too_new := new_card(f):
        return too_new
    remedies += [*library_remedies(f), *shadow_remedies(f)] or [
        f"Update the driver to at least {oldest(f)}, then reinstall the libraries: {install(f)}"
    ]
    return Verdict("broken", 1, f"{framework_name(f)} sees the card, but work on it fails: {f.framework.error}", tuple(remedies))  # fmt: skip


def no_framework(f: Findings) -> Verdict | None:
    if f.probe == OK:
        return None
    if f.probe == ABSENT:
        return Verdict(
            "no-framework",
            1,
            f"There is a card, and {framework_name(f)} is not installed in this Python.",
            not_installed(f),
        )
    if f.probe == SILENT:
        return Verdict("silent", 1, f"{framework_name(f)} does not come back from looking for cards.",
                       ("See whether the card answers: nvidia-smi. If another program keeps it busy, end that program.",
                        "Restart the machine; update the driver if it happens again."))  # fmt: skip
    return Verdict("import", 1, f"{framework_name(f)} cannot be imported: {f.probe}",
                   (f"Set the environment up anew: remove its folder, then: {setup(f)}",))  # fmt: skip


def hidden(f: Findings) -> Verdict | None:
    if f.visible is None:
        return None
    first = f.visible.split(",")[0].strip()
    if (first.isdigit() and int(first) < len(f.cards)) or first.startswith(("GPU-", "MIG-")):
        return None
    return Verdict("hidden", 1, f"CUDA_VISIBLE_DEVICES is '{f.visible}', which hides every card.",
                   ("unset CUDA_VISIBLE_DEVICES", f"Or name a card by its number from 0 to {len(f.cards) - 1}."))  # fmt: skip


def old_card(f: Findings) -> Verdict | None:
    built = capabilities(f)
    if not built or not all(c.capability for c in f.cards):
        return None
    newest = max(f.cards, key=lambda c: numbers(c.capability))
    if int(newest.capability.replace(".", "")) >= min(built):
        return None
    return Verdict("old-card", 1, f"The card {newest.name} has compute capability {newest.capability}; this {framework_name(f)} needs {min(built) / 10:.1f} or more.",
                   ("Use the CPU (nothing to do), or another card.",))  # fmt: skip


def new_card(f: Findings) -> Verdict | None:
    """A card of a generation that came after the framework was built, and that has not done its work.

    The driver can translate kernels for it from PTX, an intermediate code. TensorFlow 2.21 asks for a version of PTX that
    does not know cards from 10.0 on: its users report that it stops (its issues 89272, 97387 and 111958).
    """
    built, number = capabilities(f), {c: numbers(c.capability) for c in f.cards}
    later = [c for c in f.cards if number[c] and built and number[c][0] > max(built) // 10]
    if not later or (len(later) < len(f.cards) and not f.framework.gpus):
        return None
    others = [f"CUDA_DEVICE_ORDER=PCI_BUS_ID CUDA_VISIBLE_DEVICES={i} chooses the {c.name}." for i, c in enumerate(f.cards) if c not in later]  # fmt: skip
    elsewhere = [f"Chapters that are pure Keras run on another framework: python3 -m book setup --engine {engine}, then: "
                 f"{f.python} -m book backend {engine}" for engine in ("torch", "jax") if f.backend == "tensorflow"]  # fmt: skip
    return Verdict("new-card", 1, f"The card {later[0].name} has compute capability {later[0].capability}; this {framework_name(f)} was built for cards up to {max(built) / 10:.1f}.",
                   (*others[:1], "The whole book runs on the CPU if the card is hidden: CUDA_VISIBLE_DEVICES= make book", *elsewhere,
                    f"A {framework_name(f)} that was built for this card makes this Python use it."))  # fmt: skip


def cpu_build(f: Findings) -> Verdict | None:
    if f.framework.cuda_build and (f.backend != "jax" or plugin(f)):
        return None
    if f.backend == "jax":
        return Verdict("cpu-build", 1, "There is a card, and this JAX has no CUDA plugin.", (install(f),))
    name = framework_name(f)
    return Verdict("cpu-build", 1, f"There is a card, and this {name} was built without CUDA ({f.system} {f.machine}).",
                   (f"{name}'s packages use cards on Linux x86_64 and in WSL2; use such a machine, or the CPU.",
                    f"If the package is one for the CPU: set the environment up anew, {setup(f)}"))  # fmt: skip


def libraries(f: Findings) -> Verdict | None:
    missing, old = missing_packages(f), old_packages(f)
    cudnn = [name for name in [*missing, *old] if "cudnn" in name]
    if not (missing or old):
        return None
    if len(missing) == len(f.wanted):
        return Verdict("plain", 1, f"Card and driver are there, and {framework_name(f)} is installed without the CUDA libraries.", (install(f),))  # fmt: skip
    if cudnn:
        what = (
            "missing"
            if cudnn[0] in missing
            else f"too old or too new: {f.packages[cudnn[0]]}, wanted {f.wanted[cudnn[0]]}"
        )
        return Verdict("cudnn", 1, f"cuDNN ({cudnn[0]}) is {what}.", (install(f),))
    return Verdict(
        "libraries", 1, f"CUDA libraries are missing or do not fit: {', '.join([*missing, *old])}.", (install(f),)
    )


def shadow(f: Findings) -> Verdict | None:
    if not (remedies := shadow_remedies(f)):
        return None
    return Verdict("shadow", 1, f"Everything is there, but LD_LIBRARY_PATH ({f.library_path}) puts other CUDA libraries before ours.", remedies)  # fmt: skip


def unknown(f: Findings) -> Verdict:
    return Verdict("unknown", 1, f"Card, driver and libraries are there, and {framework_name(f)} does not see the card.",
                   ("Read the lines of the log below: they name the library that could not be loaded.",
                    f"Reinstall the libraries: {install(f)} --force-reinstall", "Update the driver, then restart."))  # fmt: skip
