"""From the stage to the site: third-party browser assets, jupyter-book, and the last touches."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import nbformat

from book import BookError, glossary, launch, offline, polish, stage, vendor, weights
from book.course import slides
from book.files import sha256, write_atomically, write_if_changed, write_notebook
from book.paths import Paths

# On a busy machine the extension may call its KaTeX server a moment before it listens, and gives up at once.
_KATEX_NOT_UP = re.compile(r"katex\.py\", line \d+, in start_server_process")
_KATEX_STARTS = 3


def render(paths: Paths) -> Path:
    """Render the site into ``_build/html`` and return that folder.

    Nothing is rendered again if nothing changed. The old site stays until the new one is whole.

    Raises
    ------
    BookError
        If npm cannot deliver the assets, or jupyter-book reports an error or a warning.
    """
    seconds: dict[str, float] = {}
    with _timed(seconds, "assets"):
        modules = vendor.assets(paths)
    with _timed(seconds, "stage"):
        missing = stage.stage(paths, vendor.files(modules))
    if missing:
        print(f"Without results, because not executed since the last change: {', '.join(missing)}.")
    if is_current(paths):
        print("The site is up to date.")
        return paths.html
    digest = _digest(paths)
    stamp = paths.build / "html.stamp"
    stamp.unlink(missing_ok=True)
    with _timed(seconds, "jupyter-book"):
        site = _jupyter_book(paths)
    _finish(paths, site, modules, seconds)
    write_atomically(stamp, digest + "\n")
    return paths.html


def is_current(paths: Paths) -> bool:
    """Whether the site is there and was made from the sources, the stage and the builder as they are now."""
    stamp = paths.build / "html.stamp"
    whole = (paths.html / "index.html").is_file() and stamp.is_file()
    return whole and stamp.read_text().strip() == _digest(paths)


def _jupyter_book(paths: Paths) -> Path:
    output = paths.build / "site"
    # Sphinx copies assets, and writes their digests into the pages, only when it writes pages: so write them all.
    assets = sha256("".join(sha256(f.read_bytes()) for f in sorted((paths.stage / "assets").rglob("*")) if f.is_file()))
    seen = output / ".assets"
    if not (seen.is_file() and seen.read_text() == assets):
        shutil.rmtree(output, ignore_errors=True)
    command = [
        sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(paths.stage), "--path-output", str(output),
        "--warningiserror", "--nitpick", "--keep-going",
    ]  # fmt: skip
    print("Rendering the site ...", flush=True)
    log = paths.logs / "render.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(_KATEX_STARTS):
        with log.open("w", encoding="utf-8") as file:
            status = _run_alone(command, file, paths.root)
        text = log.read_text(encoding="utf-8", errors="replace")
        if status == 0 or not _KATEX_NOT_UP.search(text):
            break
    if status != 0:
        shutil.rmtree(output, ignore_errors=True)  # or the next, incremental run would not see the warnings again
        complaints = [line for line in text.splitlines() if "WARNING" in line or "ERROR" in line or "rror:" in line]
        shown = "\n  ".join((complaints or text.splitlines())[-12:])
        raise RenderFailed(
            f"The site was not rendered; jupyter-book complains (all of it: {paths.show(log)}):\n  {shown}"
        )
    write_if_changed(seen, assets)
    return output / "_build" / "html"


def _run_alone(command: list[str], log, folder: Path) -> int:
    """Run a command to its end and leave none of its helpers behind (the KaTeX server outlives a failed build)."""
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
                               env=vendor.environment(), start_new_session=True)  # fmt: skip
    try:
        return process.wait()
    finally:
        if hasattr(os, "killpg"):
            try:
                os.killpg(process.pid, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):
                pass
        process.wait()


class RenderFailed(BookError):
    """jupyter-book stopped, or warned; warnings are errors here."""

    status = 1


@contextmanager
def _timed(seconds: dict[str, float], step: str):
    started = time.monotonic()
    yield
    seconds[step] = time.monotonic() - started


def _finish(paths: Paths, site: Path, modules: Path, seconds: dict[str, float]) -> None:
    """Copy the site, put the clean notebooks behind the download links, and swap it in."""
    elsewhere = launch.read(paths)
    new = paths.build / "html.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(site, new)
    for source in paths.notebooks.glob("*.ipynb"):
        target = new / "_sources" / "notebooks" / source.name
        if target.is_file():
            write_notebook(target, elsewhere.with_note(nbformat.read(source, as_version=4)))
    with _timed(seconds, "polish"):
        polish.polish(new, glossary.read(paths), modules, paths.theme / "purge.js")
    with _timed(seconds, "slides"):
        slides.write(new)
    for leftover in [new / ".buildinfo", new / "objects.inv"]:
        leftover.unlink(missing_ok=True)
    weights.report(paths, new, seconds)
    offline.write_worker(new, paths.theme / offline.WORKER)
    old = paths.build / "html.old"
    shutil.rmtree(old, ignore_errors=True)
    if paths.html.exists():
        os.replace(paths.html, old)
    os.replace(new, paths.html)
    shutil.rmtree(old, ignore_errors=True)


def _digest(paths: Paths) -> str:
    """Changes when anything that the site is made from changes. What tools leave there (caches, checkpoints) does not count."""
    parts = []
    for folder in (paths.stage, paths.root / "book", paths.notebooks):
        for file in sorted(folder.rglob("*")):
            within = file.relative_to(folder).parts
            if file.is_file() and file.suffix != ".pyc" and not any(part.startswith(".") for part in within):
                parts.append([str(file.relative_to(paths.root)), sha256(file.read_bytes())])
    parts.append(["lock", sha256(paths.lock.read_bytes()) if paths.lock.is_file() else ""])
    return sha256(json.dumps(parts))
