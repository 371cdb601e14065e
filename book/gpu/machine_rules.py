"""Rules of the doctor about the machine: system, card, driver. Each gives a verdict or None."""

from __future__ import annotations

from book.gpu.ask import ABSENT, SILENT
from book.gpu.findings import Findings
from book.gpu.remedies import OLDEST, Verdict, cuda, framework_name, not_installed, numbers, oldest


def mac(f: Findings) -> Verdict | None:
    if f.system != "Darwin":
        return None
    return Verdict("mac", 0, "No NVIDIA card: CUDA does not exist for macOS. The book runs on the CPU, in the quick profile.", not_installed(f))  # fmt: skip


def windows(f: Findings) -> Verdict | None:
    if f.system != "Windows":
        return None
    if not f.cards:
        return Verdict("no-card", 0, "No NVIDIA card found. The book runs on the CPU.", not_installed(f))
    return Verdict("windows", 1, "There is a card, and TensorFlow has not used cards on Windows itself since version 2.11.",
                   ("Install WSL2 (in PowerShell: wsl --install), and set the book up inside it.",))  # fmt: skip


def wsl(f: Findings) -> Verdict | None:
    if f.wsl == 1:
        return Verdict("wsl1", 1, "This is WSL1, which passes no card through.",
                       ("In PowerShell: wsl --set-version NAME 2, with the name that wsl --list shows.",))  # fmt: skip
    if f.wsl == 2 and not f.wsl_driver and not f.cards:
        return Verdict("wsl-no-driver", 0, "Windows passes no NVIDIA driver through to this WSL2. Without a card the book runs on the CPU.",
                       ("If the machine has an NVIDIA card: install the NVIDIA driver in Windows, not in Linux.",
                        "Then in PowerShell: wsl --update, and wsl --shutdown."))  # fmt: skip
    return None


def no_card(f: Findings) -> Verdict | None:
    if f.cards or f.on_bus or f.driver or f.wsl_driver or f.smi == SILENT or "mismatch" in f.smi:
        return None
    return Verdict(
        "no-card", 0, "There is no NVIDIA card here. The book runs on the CPU, in the quick profile.", not_installed(f)
    )


def driver(f: Findings) -> Verdict | None:
    if f.cards:
        return None
    restart = "Restart the machine." if not f.wsl else "In PowerShell: wsl --update, and wsl --shutdown."
    if f.smi == SILENT:
        return Verdict("driver-hangs", 1, "nvidia-smi does not answer: the driver hangs.",
                       (restart, "If it comes back: sudo dmesg | grep -i nvrm shows what the driver reports; update it."))  # fmt: skip
    if "version mismatch" in f.smi:
        return Verdict("driver-mismatch", 1, "The driver was updated, and the old one is still loaded.", (restart,))
    if f.driver and not f.on_bus and "No devices" in f.smi:
        return Verdict("no-devices", 1, "The driver is loaded and finds no card.",
                       ("See whether the card sits in its slot and has power, or whether this machine was given one.", restart))  # fmt: skip
    if f.driver and not f.wsl and (f.smi == ABSENT or not f.device_file):
        return Verdict("not-passed-through", 1, "The kernel has the driver, but nothing here can reach the card. This is so in a container.",
                       ("Start the container with the card: docker run --gpus all (it needs the NVIDIA Container Toolkit).",
                        "Outside a container: install the nvidia-utils package that belongs to the driver."))  # fmt: skip
    if f.wsl:
        said = "is not there" if f.smi == ABSENT else f"says: {f.smi}"
        return Verdict("wsl-driver", 1, f"WSL2 has the library of the driver, but nvidia-smi {said}.",
                       (restart, "Remove any NVIDIA driver that was installed inside Linux; WSL2 uses that of Windows.",
                        "Update the NVIDIA driver in Windows."))  # fmt: skip
    said = "" if f.smi == ABSENT else f" nvidia-smi says: {f.smi}"
    return Verdict("no-driver", 1, f"There is an NVIDIA card, and no driver that works.{said}",
                   ("Install the driver of your distribution (Ubuntu: sudo ubuntu-drivers install), then restart.",
                    "If it is installed and Secure Boot is on: its module must be signed, or the kernel refuses it.",
                    f"Check: nvidia-smi must list the card, with a driver of at least {oldest(f)}."))  # fmt: skip


def old_driver(f: Findings) -> Verdict | None:
    if f.driver and numbers(f.driver) < OLDEST[cuda(f)][f.wsl > 0]:
        where = " in Windows" if f.wsl else ""
        return Verdict("old-driver", 1, f"The driver {f.driver} is too old: {framework_name(f)} here uses CUDA {cuda(f)}, which needs at least {oldest(f)}.",
                       (f"Update the driver{where} to {oldest(f)} or later, then restart.",))  # fmt: skip
    return None
