"""What each page of the built site makes a browser load, compressed as a server sends it: counted from the files."""

from __future__ import annotations

import gzip
import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, SoupStrainer

from book.files import write_json
from book.markup import table
from book.paths import Paths

SHOWN = 10  # pages that are shown at once; the rest is folded
LIMIT = 600_000  # bytes of a page with all that it loads by itself
_PACKED = (".woff", ".woff2", ".png", ".webp", ".jpg")  # compressed already
_LOADED = SoupStrainer(["script", "link", "img"])
_RELATIONS = {"stylesheet", "icon", "preload"}
# A page with formulas loads the fonts of the signs that it shows; these are the usual ones.
_KATEX_FONTS = ("Main-Regular", "Math-Italic", "Size1-Regular", "Size2-Regular")


PLACE = '<div class="book-weights"></div>'  # in the page on the execution, filled when all pages are there


def report(paths: Paths, site: Path, seconds: dict[str, float]) -> None:
    """Write the weight of each page and the seconds of each step into ``_build/weights.json`` and the page that shows them.

    Parameters
    ----------
    seconds : dict
        Wall time of each step of the rendering, by its name.
    """
    pages = dict(sorted(transferred(site).items(), key=lambda item: (-item[1], item[0])))
    run = json.loads(paths.report.read_text(encoding="utf-8")) if paths.report.is_file() else {}
    steps = {"execute": run["wall_seconds"]} if "wall_seconds" in run else {}
    steps |= seconds
    steps = {step: round(value, 1) for step, value in steps.items()}
    write_json(paths.build / "weights.json", {"limit_bytes": LIMIT, "pages": pages, "seconds": steps})
    page = site / "execution.html"
    if page.is_file():
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(PLACE, shown(pages, steps, site)), encoding="utf-8")


def shown(pages: dict[str, int], seconds: dict[str, float], site: Path) -> str:
    """The report as HTML: what a reader's browser transfers, and how long this site took."""
    own = {page: compressed(site / page) for page in pages}
    rows = [[f'<a href="{p}">{p}</a>', f"{size / 1e3:.0f}", f"{own[p] / 1e3:.0f}"] for p, size in pages.items()]
    head = ["page", "kB with all it loads", "kB of the page alone"]
    total = sum(file.stat().st_size for file in site.rglob("*") if file.is_file())
    steps = [[step, f"{value:.1f}"] for step, value in seconds.items()]
    return (
        f"<p>Kilobytes that a browser transfers for each page, compressed, with its scripts, style sheets and fonts. At most "
        f"{LIMIT / 1e3:.0f} are allowed. Files that pages share are transferred once; what a reader starts (search, the digit "
        f"demonstration) comes when it is started. The whole site has {total / 1e6:.1f} MB on disk, and all {len(pages)} pages "
        f"without what they share have {sum(own.values()) / 1e6:.1f} MB, compressed.</p>"
        + table("The heaviest pages", head, rows[:SHOWN])
        + f"<details><summary>All {len(pages)} pages</summary>{table('Weight of the pages', head, rows)}</details>"
        + "<p>Seconds of the steps of this build; a step that found its work done took almost none.</p>"
        + table("Build times", ["step", "seconds"], steps)
    )


def transferred(site: Path) -> dict[str, int]:
    """Bytes of each page with its scripts, style sheets and fonts, by the address of the page.

    Not counted is what a page loads only when a reader asks for it: the index of the search, the digit demonstration.
    """
    return {
        page.relative_to(site).as_posix(): sum(compressed(file) for file in files(site, page))
        for page in sorted(site.rglob("*.html"))
        if "_static" not in page.parts
    }


def files(site: Path, page: Path) -> set[Path]:
    """The files that a page loads, itself among them."""
    text = page.read_text(encoding="utf-8")
    found = {page}
    for element in BeautifulSoup(text, "html.parser", parse_only=_LOADED).find_all(True):
        address = element.get("src") or element.get("href") or ""
        wanted = element.name != "link" or _RELATIONS & set(element.get("rel", []))
        if wanted and address and not urlsplit(address).scheme:
            found.add((page.parent / unquote(urlsplit(address).path)).resolve())
    for sheet in [file for file in found if file.suffix == ".css"]:
        found |= _of_sheet(sheet)
    if 'class="katex' in text:
        found |= {site / f"_static/vendor/katex/fonts/KaTeX_{name}.woff2" for name in _KATEX_FONTS}
    return {file for file in found if file.is_file()}


@cache
def _of_sheet(sheet: Path) -> frozenset[Path]:
    """Sheets and icons that a style sheet names; KaTeX has twenty fonts, of which a page loads few."""
    if not sheet.is_file():
        return frozenset()
    names = re.findall(r"url\(['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
    return frozenset(
        (sheet.parent / urlsplit(n).path).resolve() for n in names if not n.startswith("data:") and "KaTeX" not in n
    )


def compressed(file: Path) -> int:
    """Bytes of a file as a server sends it."""
    return _compressed(file, file.stat().st_mtime_ns)


@cache
def _compressed(file: Path, changed: int) -> int:
    content = file.read_bytes()
    return len(content) if file.suffix in _PACKED else len(gzip.compress(content, 6))
