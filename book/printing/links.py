"""Ids and links of articles that move together into one book."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from urllib.parse import unquote, urlsplit

from bs4 import Tag

from book.printing.articles import Article

_POINTING = re.compile(r"url\(\s*['\"]?#([^)'\"]+)['\"]?\s*\)")
_ID_LISTS = ("aria-labelledby", "aria-describedby", "headers")

Address = Callable[[Article, str], str]  # (article, id in the book or "") -> what an href says


def relink(articles: Sequence[Article], address: Address, within: Address) -> None:
    """Make ids unique in the whole book, and let links between pages point into the book. In place.

    A link to something that is not in the book (a download, the search) becomes plain text: on paper it leads nowhere.

    Parameters
    ----------
    address : callable
        What a link to an article, or to an id in it, says when it comes from another article.
    within : callable
        The same, when it comes from the article itself.
    """
    known = {article.name: article for article in articles}
    ids = {article.name: {e["id"] for e in article.body.find_all(id=True)} for article in articles}
    for article in articles:
        for link in article.body.find_all("a", href=True):
            target, fragment = _target(article.name, link["href"])
            if target is None:
                continue
            if target not in known or (fragment and fragment not in ids[target]):
                _plain(link)
                continue
            say = within if target == article.name else address
            link["href"] = say(known[target], _in_book(known[target], fragment) if fragment else "")
    for article in articles:
        _prefix(article)


def _in_book(article: Article, name: str) -> str:
    return f"{article.slug}--{name}"


def _target(page: str, href: str) -> tuple[str | None, str]:
    """The page of the site and the id that a link means; no page for an address elsewhere."""
    parts = urlsplit(href)
    if parts.scheme or href.startswith("//"):
        return None, ""
    if not parts.path:
        return page, unquote(parts.fragment)
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), unquote(parts.path)))
    return path.removesuffix(".html"), unquote(parts.fragment)


def _plain(link: Tag) -> None:
    link.name = "span"
    for attribute in ("href", "target", "rel", "title"):
        del link[attribute]


def _prefix(article: Article) -> None:
    """Put the article's slug before its ids and before everything that refers to them inside of drawings."""
    for element in article.body.find_all(True):
        for name, value in list(element.attrs.items()):
            if name == "id":
                element["id"] = _in_book(article, value)
            elif name == "xlink:href" or (name == "href" and element.name == "use"):
                if value.startswith("#"):
                    element[name] = f"#{_in_book(article, value[1:])}"
            elif name in _ID_LISTS:
                element[name] = " ".join(_in_book(article, v) for v in str(value).split())
            elif isinstance(value, str) and "url(" in value:
                element[name] = _POINTING.sub(lambda m: f"url(#{_in_book(article, m.group(1))})", value)
