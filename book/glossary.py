"""The glossary: one data file makes the page, and links each term where a chapter first uses it.

Linking works on rendered pages (see ``book.polish``), so that notebooks stay as their authors wrote them. It touches
running text only: no code, no maths, no headings, links, tables, figures or outputs.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml
from bs4 import BeautifulSoup, NavigableString, Tag

from book import BookError
from book.markup import filter_form, line
from book.outline import CHAPTERS, address
from book.paths import Paths

PAGE = "glossary.html"
# Where a term is never linked: not prose, or prose that already leads somewhere or must stay calm.
_TAGS = frozenset([
    "a", "button", "caption", "code", "details", "dfn", "dt", "figcaption", "figure", "h1", "h2", "h3", "h4",
    "h5", "h6", "kbd", "label", "math", "nav", "pre", "samp", "script", "select", "style", "summary", "svg",
    "table", "textarea",
])  # fmt: skip
_CLASSES = frozenset([
    "admonition-title", "artifact", "cell_input", "cell_output", "citation", "claim", "digit-demo",
    "expected-error", "headerlink", "katex", "math", "run-line", "toctree-wrapper",
])  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One entry.

    Attributes
    ----------
    term, chinese, definition : str
    chapter : str
        The chapter that teaches it.
    forms : tuple of str
        What is linked: the term and its other forms. Lower case also matches a capital at the start of a sentence.
    unless : tuple of str
        Longer phrases in which the term means something else (``double precision``); they are passed over.
    not_in : tuple of str
        Chapters in which the bare word means something else (the ``token`` of a service); nothing is linked there.
    """

    term: str
    chinese: str
    definition: str
    chapter: str
    forms: tuple[str, ...]
    unless: tuple[str, ...] = ()
    not_in: tuple[str, ...] = ()

    @property
    def anchor(self) -> str:
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.term.lower()).strip("-")


def read(paths: Paths) -> list[Term]:
    """The terms of ``book/data/glossary.yml``, sorted; none without the file.

    Raises
    ------
    BookError
        If the file cannot be read, an entry lacks a field, names an unknown chapter, or two entries share a form.
    """
    file = paths.data / "glossary.yml"
    if not file.is_file():
        return []
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))
        terms = [_term(row) for row in rows]
    except (OSError, yaml.YAMLError, TypeError, KeyError) as error:
        raise BookError(f"'{paths.show(file)}' cannot be read as a list of terms: {line(error)}.") from error
    owner: dict[str, str] = {}
    for term in terms:
        for name in (term.chapter, *term.not_in):
            if name not in CHAPTERS:
                raise BookError(f"glossary.yml: '{term.term}' names the chapter '{name}', which is not in the outline.")
        for form in dict.fromkeys([*term.forms, *term.unless]):
            if owner.setdefault(form, term.term) != term.term:
                raise BookError(f"glossary.yml: '{form}' belongs to '{owner[form]}' and to '{term.term}'; keep one.")
    return sorted(terms, key=lambda term: term.term.lower())


def _term(row: dict) -> Term:
    return Term(
        term=row["term"],
        chinese=row["chinese"],
        definition=line(row["definition"]),
        chapter=row["chapter"],
        forms=tuple(row.get("forms", ())) or (row["term"],),
        unless=tuple(row.get("unless", ())),
        not_in=tuple(row.get("not_in", ())),
    )


def page(terms: list[Term], written: frozenset[str] | None) -> str:
    """The body of the glossary page: a filter, and one list."""
    chapters = [name for name in CHAPTERS if any(term.chapter == name for term in terms)]
    form = filter_form("the glossary", "terms", {"chapter": {name: CHAPTERS[name] for name in chapters}})
    entries = "".join(_entry(term, written) for term in terms)
    return f'{form}\n\n<dl class="glossary-list">{entries}</dl>'


def _entry(term: Term, written: frozenset[str] | None) -> str:
    title = html.escape(CHAPTERS[term.chapter])
    known = written is None or term.chapter in written
    where = f'<a href="{address(term.chapter)}">{title}</a>' if known else f"{title} (planned)"
    return (
        f'<div class="term-entry"><dt id="{term.anchor}" data-chapter="{term.chapter}"><dfn>{html.escape(term.term)}</dfn> '
        f'<span lang="zh-Hans">{html.escape(term.chinese)}</span></dt><dd>{html.escape(term.definition, quote=False)} '
        f'<span class="term-chapter">{where}</span></dd></div>'
    )


class Linker:
    """Links the first use of each term on a page."""

    def __init__(self, terms: list[Term]):
        self._owner = {form: term for term in terms for form in term.forms}
        every = [*self._owner, *(phrase for term in terms for phrase in term.unless)]
        longest_first = sorted(every, key=len, reverse=True)
        self._pattern = (
            re.compile(rf"(?<![\w-])(?:{'|'.join(map(_expression, longest_first))})(?![\w-])") if every else None
        )

    def link(self, soup: BeautifulSoup, chapter: str, root: str) -> int:
        """Link in place, and return how many terms were linked.

        Parameters
        ----------
        chapter : str
            Name of the chapter that the page shows.
        root : str
            Way from the page to the root of the site, such as ``../``.
        """
        article = soup.select_one("article")
        if article is None or self._pattern is None:
            return 0
        foreign = {term.term for term in self._owner.values() if chapter in term.not_in}
        seen = set(foreign)
        for text in list(_prose(article)):
            self._link_in(soup, text, root, seen)
        return len(seen - foreign)

    def _link_in(self, soup: BeautifulSoup, text: NavigableString, root: str, seen: set[str]) -> None:
        parts, done = [], 0
        for match in self._pattern.finditer(text):
            found = " ".join(match.group().split())
            term = self._owner.get(found) or self._owner.get(found[0].lower() + found[1:])
            if term is None or term.term in seen:  # no owner: a phrase that is passed over
                continue
            seen.add(term.term)
            parts += [text[done : match.start()], (term, match.group())]
            done = match.end()
        if not parts:
            return
        for part in [*parts, text[done:]]:
            if isinstance(part, tuple):
                term, words = part
                link = soup.new_tag("a", attrs={"class": "term", "href": f"{root}{PAGE}#{term.anchor}"})
                link.string = words
                text.insert_before(link)
            elif part:
                text.insert_before(NavigableString(part))
        text.extract()


def _expression(form: str) -> str:
    words = r"\s+".join(re.escape(word) for word in form.split())
    return f"(?i:{words[0]}){words[1:]}" if form[0].islower() else words


def _prose(element: Tag) -> Iterator[NavigableString]:
    for child in element.children:
        if isinstance(child, Tag):
            if child.name not in _TAGS and _CLASSES.isdisjoint(child.get("class", ())):
                yield from _prose(child)
        elif type(child) is NavigableString and not child.isspace():  # comments are another type
            yield child
