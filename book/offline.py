"""Reading without a network: the site as one ZIP, and a service worker that keeps what was visited."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from book import BookError
from book.files import sha256
from book.paths import Paths

NAME = "large-models-in-practice"
WORKER = "service_worker.js"
# Kept at the first visit: enough to open the book, and to search it.
SHELL = ("index.html", "search.html", "search_index.js", "_static/vendor/minisearch/index.js")
_DAY = (2026, 1, 1, 0, 0, 0)  # every file of the archive, so that the same site is the same bytes
_MODE = 0o100644 << 16


def write_worker(site: Path, template: Path) -> str:
    """Write the service worker of a site; its version changes exactly when a file of the site does.

    Returns
    -------
    str
        The version: a digest of all other files of the site.
    """
    target = site / WORKER
    target.unlink(missing_ok=True)
    seen = [[f.relative_to(site).as_posix(), sha256(f.read_bytes())] for f in _files(site)]
    version = sha256(json.dumps(seen))[:16]
    text = template.read_text(encoding="utf-8")
    target.write_text(text.replace("VERSION", version).replace('["SHELL"]', json.dumps(SHELL)), encoding="utf-8")
    return version


def archive(paths: Paths) -> Path:
    """The built site as a ZIP that is the same, byte for byte, for the same site.

    Raises
    ------
    BookError
        If there is no site yet.
    """
    if not (paths.html / "index.html").is_file():
        raise BookError("There is no site yet to put into a ZIP; build it first: make book")
    target = paths.build / f"{NAME}.zip"
    new = target.with_suffix(".zip.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for file in _files(paths.html):
            info = zipfile.ZipInfo(f"{NAME}/{file.relative_to(paths.html).as_posix()}", _DAY)
            info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
            out.writestr(info, file.read_bytes())
    new.replace(target)
    return target


def _files(site: Path) -> list[Path]:
    return sorted(file for file in site.rglob("*") if file.is_file())
