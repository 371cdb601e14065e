"""References that a reader can follow: the form of every identifier, checked offline, and whether addresses answer.

The form is checked in every build. Whether an address is alive is asked only on request (``python -m book links
--live``): a build must not fail because somebody else's server is down.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from pybtex.database import parse_file
from pybtex.exceptions import PybtexError

from book import BookError
from book.paths import Paths

# A site that serves no https; nothing else may be cited by http.
HTTP_ONLY = frozenset({"www.npc.gov.cn"})
RESOLVERS = {"doi": "https://doi.org/", "arxiv": "https://arxiv.org/abs/"}
SECONDS = 15.0
AT_A_TIME = 8
_MARKDOWN_LINK = re.compile(r"\[([^\]\n]*)\]\((https?://[^)\s]+)\)")
_AGENT = "large-models-in-practice link check"


@dataclass(frozen=True)
class Link:
    """One identifier and where it stands. ``kind`` is ``doi``, ``arxiv``, ``isbn`` or ``url``; ``text`` what is linked."""

    where: str
    kind: str
    value: str
    text: str = ""


def collect(paths: Paths, others: Iterable[Link] = ()) -> list[Link]:
    """Every identifier of ``references.bib``, of the pages and of ``others``.

    Raises
    ------
    BookError
        If the bibliography cannot be read.
    """
    found = [*references(paths), *others]
    for page in sorted(paths.pages.glob("*.md")):
        found += in_markdown(page.name, page.read_text(encoding="utf-8"))
    return found


def references(paths: Paths) -> list[Link]:
    file = paths.data / "references.bib"
    if not file.is_file():
        return []
    try:
        entries = parse_file(str(file), bib_format="bibtex").entries
    except (PybtexError, OSError) as error:
        raise BookError(f"'{paths.show(file)}' cannot be read: {' '.join(str(error).split())}.") from error
    fields = {"doi": "doi", "eprint": "arxiv", "isbn": "isbn", "url": "url"}
    return [
        Link(key, kind, entry.fields[name].strip())
        for key, entry in entries.items()
        for name, kind in fields.items()
        if entry.fields.get(name)
    ]


def in_markdown(where: str, markdown: str) -> list[Link]:
    """Links of the form ``[text](https://...)``."""
    return [Link(where, "url", target, text) for text, target in _MARKDOWN_LINK.findall(markdown)]


# --- form ------------------------------------------------------------------------------------------------------------


def problems(links: Iterable[Link]) -> list[str]:
    """What is malformed, one sentence each."""
    return [f"{link.where}: {fault}" for link in links for fault in _faults(link)]


def _faults(link: Link) -> Iterator[str]:
    value = link.value
    if link.kind == "doi" and not re.fullmatch(r"10\.\d{4,9}/\S+", value):
        yield f"'{value}' is not a DOI; write it as 10.<number>/<name>, without an address in front"
    elif link.kind == "arxiv" and not re.fullmatch(
        r"\d\d(0[1-9]|1[0-2])\.\d{4,5}(v\d+)?|[a-z-]+(\.[A-Z]{2})?/\d{7}", value
    ):
        yield f"'{value}' is not an arXiv id; write it as 1706.03762"
    elif link.kind == "isbn" and not isbn_is_valid(value):
        yield f"'{value}' is not an ISBN: its check digit does not fit, or digits are missing"
    elif link.kind == "url":
        yield from _address_faults(value)
        shown = link.text.strip()
        if re.fullmatch(r"(https?://)?[\w-]+(\.[\w-]+)+(/\S*)?", shown) and _bare(shown) != _bare(value):
            yield f"the link shows '{shown}' but leads to '{value}'"


def _address_faults(value: str) -> Iterator[str]:
    try:
        parts = urlsplit(value)
        host = parts.hostname or ""
    except ValueError:
        parts, host = None, ""
    if parts is None or parts.scheme not in ("http", "https") or "." not in host or re.search(r"[\s<>\"]", value):
        yield f"'{value}' is not a web address; write it as https://host/path"
    elif parts.scheme == "http" and host not in HTTP_ONLY:
        yield f"'{value}' is not protected; write https"


def _bare(address: str) -> str:
    """What a reader compares: the address without scheme, ``www.`` and the last slash."""
    return re.sub(r"^(https?://)?(www\.)?", "", address.lower()).rstrip("/")


def isbn_is_valid(text: str) -> bool:
    """ISBN-10 or ISBN-13, with or without hyphens: the last digit must fit the others (ISO 2108)."""
    digits = re.sub(r"[ -]", "", text)
    if re.fullmatch(r"97[89]\d{10}", digits):
        return sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10 == 0
    if re.fullmatch(r"\d{9}[\dXx]", digits):
        values = [10 if d in "Xx" else int(d) for d in digits]
        return sum(value * weight for value, weight in zip(values, range(10, 0, -1), strict=True)) % 11 == 0
    return False


# --- liveness --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answer:
    """How one address answered. ``status`` is that of HTTP, or None if no server answered; then ``why`` says why."""

    link: Link
    address: str
    status: int | None
    why: str = ""

    @property
    def dead(self) -> bool:
        """Gone for good, or broken. A server that refuses a program (401, 403, 429) may well serve a reader."""
        return self.status is not None and (self.status in (404, 410) or self.status >= 500)


def ask(links: Iterable[Link], *, resolvers: dict[str, str] = RESOLVERS, seconds: float = SECONDS) -> list[Answer]:
    """Ask every address once, a few at a time; ISBNs cannot be asked.

    Parameters
    ----------
    resolvers : dict of kind to address
        What DOIs and arXiv ids are appended to.
    seconds : float
        Patience with one server.
    """
    wanted = {}
    for link in links:
        if link.kind == "url":
            wanted.setdefault(link.value, link)
        elif link.kind in resolvers:
            wanted.setdefault(resolvers[link.kind] + quote(link.value, safe="/.;()-_"), link)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda item: _ask(item[1], item[0], seconds), wanted.items()))


def _ask(link: Link, address: str, seconds: float) -> Answer:
    # A DOI that exists is answered with the way to its publisher; whether that one lets a program in is another matter.
    handlers = [_Stay()] if link.kind == "doi" else []
    opener = urllib.request.build_opener(*handlers)
    for method in ("HEAD", "GET"):
        request = urllib.request.Request(address, method=method, headers={"User-Agent": _AGENT})
        try:
            with opener.open(request, timeout=seconds) as response:
                return Answer(link, address, response.status)
        except urllib.error.HTTPError as error:
            error.close()
            if method == "GET" or error.code < 400:
                return Answer(link, address, error.code)
        except (OSError, ValueError) as error:  # no such host, refused, time-out, a broken certificate
            reason = getattr(error, "reason", error)
            return Answer(link, address, None, str(reason) or type(reason).__name__)
        except Exception as error:  # a server that does not speak HTTP
            return Answer(link, address, None, f"{type(error).__name__}: {error}")
    raise AssertionError("unreachable")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def verdict(answers: list[Answer]) -> tuple[list[str], bool]:
    """Problems, one line each, and whether a network was there at all.

    If no server answered, the network is missing, and that is no fault of a link.
    """
    if answers and all(answer.status is None for answer in answers):
        return [], False
    found = []
    for answer in answers:
        if answer.status is None:
            found.append(f"{answer.link.where}: {answer.address} does not answer ({answer.why})")
        elif answer.dead:
            found.append(f"{answer.link.where}: {answer.address} answers {answer.status}")
    return found, True
