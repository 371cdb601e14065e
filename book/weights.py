"""What each page of the built site makes a browser load, compressed as a server sends it: counted from the files."""

from __future__ import annotations

import gzip
import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, SoupStrainer

LIMIT = 600_000  # bytes of a page with all that it loads by itself
_PACKED = (".woff", ".woff2", ".png", ".webp", ".jpg")  # compressed already
_LOADED = SoupStrainer(["script", "link", "img"])
_RELATIONS = {"stylesheet", "icon", "preload"}
# A page with formulas loads the fonts of the signs that it shows; these are the usual ones.
_KATEX_FONTS = ("Main-Regular", "Math-Italic", "Size1-Regular", "Size2-Regular")


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
    if not sheet.is_file() or "katex" in sheet.name:
        return frozenset()
    names = re.findall(r"url\(['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8"))
    return frozenset((sheet.parent / urlsplit(n).path).resolve() for n in names if not n.startswith("data:"))


def compressed(file: Path) -> int:
    """Bytes of a file as a server sends it."""
    return _compressed(file, file.stat().st_mtime_ns)


@cache
def _compressed(file: Path, changed: int) -> int:
    content = file.read_bytes()
    return len(content) if file.suffix in _PACKED else len(gzip.compress(content, 6))
