"""One HTML document of all articles, as Chromium prints it: title page, contents, parts, chapters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import yaml
from bs4 import Tag

from book.paths import Paths
from book.printing.articles import Article, heading_text
from book.printing.links import relink

_MOST = 6  # levels of headings in HTML


def document(paths: Paths, articles: Sequence[Article], styles: Sequence[str], fonts: str) -> str:
    """The document to print.

    Parameters
    ----------
    styles : sequence of str
        Addresses of style sheets, seen from where the document will lie.
    fonts : str
        Rules for the fonts.
    """
    relink(articles, lambda article, name: f"#{name or article.slug}", lambda article, name: f"#{name or article.slug}")
    facts = citation(paths)
    links = "".join(f'<link rel="stylesheet" href="{escape(style)}">' for style in styles)
    return "".join([
        '<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">',
        f"<title>{escape(facts['title'])}</title>",
        f'<meta name="author" content="{escape(facts["authors"])}">',
        links,
        f"<style>{fonts}\n{_running_heads(articles)}</style></head><body>",
        _title_page(facts, executed(paths)),
        _contents(articles),
        *_bodies(articles),
        "</body></html>",
    ])  # fmt: skip


def citation(paths: Paths) -> dict[str, str]:
    """What ``CITATION.cff`` says: title and subtitle, authors, version, date, licence."""
    data = yaml.safe_load((paths.root / "CITATION.cff").read_text(encoding="utf-8"))
    title, _, subtitle = data["title"].partition(":")
    people = [
        a.get("name") or f"{a.get('given-names', '')} {a.get('family-names', '')}".strip() for a in data["authors"]
    ]
    return {
        "title": title.strip(),
        "subtitle": subtitle.strip(),
        "authors": ", ".join(people),
        "version": str(data["version"]),
        "date": str(data["date-released"]),
        "subjects": ", ".join(data.get("keywords", [])),
    }


def executed(paths: Paths) -> str:
    """One sentence on what stands behind the numbers, from the report of the execution; empty if there is none."""
    if not paths.report.is_file():
        return ""
    report = json.loads(paths.report.read_text(encoding="utf-8"))
    notebooks = [n for n in report["notebooks"] if n["status"] in ("ok", "cached")]
    claims = sum(len(n["claims"]) for n in notebooks)
    profiles = ", ".join(sorted({n["profile"] for n in notebooks}))
    return f"{len(notebooks)} notebooks executed with profile {profiles}; {claims:,} claims hold."


def _title_page(facts: dict[str, str], run: str) -> str:
    lines = [facts["authors"], f"Version {facts['version']}, {facts['date']}", run,
             "Text and figures: CC BY 4.0. Code: MIT. Data: each set under its own licence."]  # fmt: skip
    return (
        f'<section class="title-page"><p class="book-title">{escape(facts["title"])}</p>'
        f'<p class="book-subtitle">{escape(facts["subtitle"][:1].upper() + facts["subtitle"][1:])}</p>'
        + "".join(f"<p>{escape(line)}</p>" for line in lines if line)
        + "</section>"
    )


def _contents(articles: Sequence[Article]) -> str:
    """The table of contents; its page numbers are filled in when the pages are known."""
    rows, part = [], ""
    for article in articles:
        if article.part != part:
            part = article.part
            rows.append(f'<li class="contents-part"><a href="#{_part_id(part)}">{escape(part)}</a></li>')
        rows.append(
            f'<li class="contents-{article.level}"><a href="#{article.slug}"><span>{escape(article.title)}</span>'
            f'<span class="contents-page" data-page-of="{article.slug}"></span></a></li>'
        )
    return f'<nav class="contents"><h1>Contents</h1><ol>{"".join(rows)}</ol></nav>'


def _bodies(articles: Sequence[Article]) -> list[str]:
    bodies, part = [], ""
    for article in articles:
        if article.part != part:
            part = article.part
            bodies.append(f'<h1 class="part" id="{_part_id(part)}">{escape(part)}</h1>')
        _lower_headings(article.body, article.level)
        _formulas(article.body)
        _fewer_spans(article.body)
        article.body.name = "article"
        article.body["id"] = article.slug
        article.body["class"] = ["bd-article", f"page-{article.slug}"]
        bodies.append(str(article.body))
    return bodies


def _part_id(part: str) -> str:
    return "part-" + "-".join("".join(c if c.isalnum() else " " for c in part).lower().split())


def _lower_headings(body: Tag, levels: int) -> None:
    """Chapters stand below parts, and problems below chapters; so do their bookmarks."""
    for heading in body.find_all([f"h{n}" for n in range(1, _MOST + 1)]):
        heading["class"] = [*heading.get("class", []), f"was-{heading.name}"]
        heading.name = f"h{min(_MOST, int(heading.name[1]) + levels)}"


def _formulas(body: Tag) -> None:
    """A formula is drawn once, and read aloud as its source."""
    for formula in body.select(".katex"):
        source = formula.find("annotation")
        for hidden in formula.select(".katex-mathml"):
            hidden.decompose()
        if source is not None:
            formula["role"], formula["aria-label"] = "img", " ".join(source.get_text().split())
    for drawn in body.select(".katex-html"):
        del drawn["aria-hidden"]


def _fewer_spans(body: Tag) -> None:
    """Names, dots and blanks in code have the colour of text; each span of theirs would be an object in the PDF."""
    for span in body.select(".highlight span.n, .highlight span.p, .highlight span.w"):
        span.unwrap()
    for span in body.select(".highlight pre > span:empty"):
        span.decompose()


def _running_heads(articles: Sequence[Article]) -> str:
    """Each article prints on pages of its own name, which carry its title."""
    rules = []
    for article in articles:
        title = heading_text(article.body.find("h1"))
        quoted = title.replace("\\", "\\\\").replace('"', '\\"')
        name = f"p-{article.slug}"
        rules.append(f'@page {name} {{ @top-left {{ content: "{quoted}" }} }} .page-{article.slug} {{ page: {name} }}')
    return "\n".join(rules).replace("<", "\\3c ")
