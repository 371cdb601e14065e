"""The index of the search: what each page says, section by section, in one script that a page loads when a reader searches.

The entries are plain text. ``book/theme/assets/search.js`` gives them to MiniSearch in the reader's browser, so the file
holds no tree of words, and works from a plain file as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from bs4 import BeautifulSoup, NavigableString, Tag
from bs4.element import PreformattedString

NOT_SEARCHED = ("search.html",)
LISTS = ("claims.html",)  # what they list is found where it is made; of such a page only its title is an entry
_SKIPPED = ("script", "style", "svg", "form", "thead")
_SKIPPED_CLASSES = {"headerlink", "cell_output", "katex", "run-line", "toctree-wrapper", "term-chapter", "claim-verdict",
                    "erratum-head"}  # fmt: skip
_BLOCKS = {"p", "li", "td", "th", "tr", "dt", "dd", "pre", "div", "section", "br", "figcaption", "summary", "caption"}


@dataclass
class Entry:
    """One place that a reader can be sent to."""

    anchor: str
    kind: str  # page, section, claim, erratum, capability, term
    title: str
    text: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)  # identifiers of its code, or the id of a claim

    def row(self, page: int) -> list:
        text = " ".join("".join(self.text).split())
        names = sorted(name for name in self.names if self.kind == "claim" or name not in text)
        return [page, self.anchor, self.kind, self.title, text, " ".join(names)]


def entries(soup: BeautifulSoup, address: str) -> list[Entry]:
    """The entries of one polished page, in its order; the first stands for the page itself.

    Parameters
    ----------
    address : str
        Address of the page in the site, for instance ``notebooks/05_mnist.html``.
    """
    top = soup.select_one("article section")
    if top is None or address in NOT_SEARCHED:
        return []
    first = Entry("", "page", _plain(top.find("h1")))
    found = [first]
    if address not in LISTS:
        _walk(top, first, found)
    return found


def script(pages: dict[str, list[Entry]]) -> str:
    """The script that holds the entries of all pages, by the address of the page."""
    pages = {address: made for address, made in pages.items() if made}
    data = {
        "pages": [[address, made[0].title] for address, made in pages.items()],
        "entries": [entry.row(number) for number, made in enumerate(pages.values()) for entry in made],
    }
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"window.BOOK_SEARCH={text};\n"


def _walk(element: Tag, entry: Entry, found: list[Entry]) -> None:
    for child in element.children:
        if isinstance(child, PreformattedString):  # comments and the like
            continue
        if isinstance(child, NavigableString):
            entry.text.append(str(child))
            continue
        kinds = set(child.get("class", []))
        if child.name == "pre":
            entry.names.update(_identifiers(child.get_text()))
            continue
        if "cell_output" in kinds:
            for shown in child.select(".claim, .book-figure figcaption"):
                _visit(shown, entry, found)
            continue
        if child.name in _SKIPPED or kinds & _SKIPPED_CLASSES:
            entry.text.append(" … " if "katex" in kinds else " ")
            continue
        _visit(child, entry, found)


def _visit(child: Tag, entry: Entry, found: list[Entry]) -> None:
    own = _own_entry(child)
    if own is None:
        if child.name in ("h1", "h2", "h3", "h4"):
            return
        _walk(child, entry, found)
    else:
        found.append(own)
        _walk(_body(child, own), own, found)
    if child.name in _BLOCKS:
        entry.text.append(" ")


def _own_entry(element: Tag) -> Entry | None:
    """The entry that an element opens, if it is a section, a claim, a row of the errata or the map, or a term."""
    kinds, anchor = set(element.get("class", [])), element.get("id", "")
    if element.name == "section" and anchor and (heading := element.find(["h2", "h3", "h4"], recursive=False)):
        return Entry(anchor, "section", _plain(heading))
    if "claim" in kinds and anchor:
        verdict, name = element.select_one(".claim-verdict"), element.select_one(".claim-detail code")
        statement = _plain(verdict.parent).removeprefix(_plain(verdict)).strip()
        return Entry(anchor, "claim", statement, names={_plain(name)} if name else set())
    if "erratum" in kinds and anchor:
        kind = "capability" if anchor.startswith("capability") else "erratum"
        head = element.select_one(".erratum-head")
        if kind == "erratum":
            return Entry(anchor, kind, " · ".join(_plain(part) for part in head.select("strong, .badge-verdict")))
        return Entry(anchor, kind, _plain(head))
    if "term-entry" in kinds:
        term = element.find("dt")
        return Entry(term["id"], "term", " · ".join(_plain(part) for part in term.find_all(True, recursive=False)))
    return None


def _body(element: Tag, entry: Entry) -> Tag:
    """Where its text stands that the title does not say already."""
    selector = {"claim": ".claim-detail", "term": "dd"}.get(entry.kind)
    return (element.select_one(selector) if selector else None) or element


def _plain(element: Tag | None) -> str:
    """Its text without the link to itself, and with formulas as their source."""
    return " ".join(" ".join(_strings(element)).split()) if element is not None else ""


def _strings(element: Tag) -> Iterator[str]:
    for child in element.children:
        if isinstance(child, PreformattedString):
            continue
        if isinstance(child, NavigableString):
            yield str(child)
        elif "katex" in child.get("class", []):
            source = child.find("annotation")
            yield source.get_text() if source else ""
        elif "headerlink" not in child.get("class", []):
            yield from _strings(child)


def _identifiers(code: str) -> set[str]:
    return set(re.findall(r"[^\W\d]\w{3,}", code))
