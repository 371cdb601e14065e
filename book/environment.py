"""Set-up on a fresh clone: ``.venv`` from the hash-locked file. Needs nothing but Python itself.

``python3 -m book setup`` does nothing, quickly, when the environment is already the one that the lock file describes.
``--engine NAME`` does the same for a heavy or quarrelsome engine that some chapter can use: ``.venv-NAME`` from
``engines/NAME/requirements.lock``; ``--engine all`` for each of them.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

from book import BookError
from book.paths import REPOSITORY

SUPPORTED = ((3, 11), (3, 13))
LARGE = ("torch",)  # several gigabytes: made when it is named, not with all


def engines(root: Path = REPOSITORY) -> list[str]:
    """Names of the engines that have a lock file: the folders of ``engines/`` with a ``requirements.lock``."""
    return sorted(lock.parent.name for lock in (root / "engines").glob("*/requirements.lock"))


def ensure(root: Path = REPOSITORY, engine: str | None = None) -> Path:
    """Create or renew an environment so that it holds exactly what its lock file says.

    Parameters
    ----------
    engine : str, optional
        None for ``.venv``, the book's own; one of :func:`engines` for the environment of that engine.

    Returns
    -------
    Path
        The environment's Python.

    Raises
    ------
    BookError
        If this Python is not supported, there is no such engine, or the packages cannot be installed.
    """
    if engine is not None and engine not in engines(root):
        raise BookError(f"There is no engine '{engine}' to set up; choose from: {', '.join([*engines(root), 'all'])}.")
    version = sys.version_info[:2]
    if not SUPPORTED[0] <= version <= SUPPORTED[1]:
        raise BookError(f"This is Python {version[0]}.{version[1]}; the book needs 3.11, 3.12 or 3.13. Name another one, "
                        "for instance: make book PYTHON=python3.12")  # fmt: skip
    name = f".venv-{engine}" if engine else ".venv"
    lock_name = f"engines/{engine}/requirements.lock" if engine else "requirements.lock"
    folder, lock = root / name, root / lock_name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "book-lock.sha256"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest() + f" {version[0]}.{version[1]}"
    if python.exists() and stamp.is_file() and stamp.read_text().strip() == wanted:
        return python
    print(f"Setting up {name} from {lock_name} (once; a few minutes with a cold package cache) ...", flush=True)
    stamp.unlink(missing_ok=True)
    try:
        venv.create(folder, with_pip=True, clear=folder.exists())
        command = [str(python), "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "-r", str(lock)]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    except (OSError, subprocess.CalledProcessError) as error:
        raise BookError(
            f"The environment '{folder}' cannot be created ({error}); is the disk full or read-only?"
        ) from error
    if done.returncode != 0:
        last = [line for line in done.stderr.splitlines() if not line.startswith("WARNING")][-5:]
        raise BookError("The packages could not be installed. pip says:\n  " + "\n  ".join(last)
                        + "\nCheck the connection to your package index, then run the command again.")  # fmt: skip
    packages = subprocess.run(
        [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    (Path(packages) / "book_root.pth").write_text(f"{root}\n", encoding="utf-8")  # helpers importable everywhere
    stamp.write_text(wanted + "\n", encoding="utf-8")
    return python
