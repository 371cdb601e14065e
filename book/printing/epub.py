"""The book as EPUB 3: one XHTML file per article, a navigation document, one style sheet, no scripts."""

from __future__ import annotations

import re
import uuid
import zipfile
from collections.abc import Sequence
from html import escape
from io import BytesIO
from itertools import groupby
from pathlib import Path

from bs4 import Tag

from book.files import write_atomically
from book.paths import Paths
from book.printing import xhtml
from book.printing.articles import Article, heading_text
from book.printing.document import citation, executed
from book.printing.links import relink

_PACKAGE = "EPUB"
_CONTAINER = """<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""
_PAGE = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops" lang="en" xml:lang="en">
<head><title>{title}</title><link rel="stylesheet" href="book.css" type="text/css"/></head>
<body>{body}</body>
</html>
"""


def make(paths: Paths, articles: Sequence[Article], output: Path) -> int:
    """Write articles as one EPUB.

    Returns
    -------
    int
        Number of articles.
    """
    relink(
        articles,
        lambda article, name: f"{article.slug}.xhtml" + (f"#{name}" if name else ""),
        lambda article, name: f"#{name}" if name else f"{article.slug}.xhtml",
    )
    facts = citation(paths)
    files = {"book.css": style(paths), "title.xhtml": _title(facts, executed(paths))}
    features = {}
    for article in articles:
        xhtml.prepare(article.body)
        features[article.slug] = xhtml.features(article.body)
        files[f"{article.slug}.xhtml"] = _page(article.title, xhtml.serialise(article.body))
    files["nav.xhtml"] = _page("Contents", _navigation(articles))
    files["package.opf"] = _package(facts, articles, features)
    write_atomically(output, _zip(files))
    return len(articles)


def style(paths: Paths) -> str:
    """The style sheet: ours, and the colours of code as on the site's light theme."""
    colours = (paths.html / "_static" / "pygments.css").read_text(encoding="utf-8")
    light = re.findall(r'html\[data-theme="light"\] (\.highlight [^\n]*color:[^\n]*\})', colours)
    return (paths.theme / "print" / "epub.css").read_text(encoding="utf-8") + "\n".join(light) + "\n"


def _page(title: str, body: str) -> str:
    return _PAGE.format(title=escape(title), body=body)


def _title(facts: dict[str, str], run: str) -> str:
    lines = [facts["authors"], f"Version {facts['version']}, {facts['date']}", run,
             "Text and figures: CC BY 4.0. Code: MIT. Data: each set under its own licence."]  # fmt: skip
    head = f'<h1>{escape(facts["title"])}</h1><p class="subtitle">{escape(facts["subtitle"])}</p>'
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return _page(facts["title"], f'<section epub:type="titlepage" class="title-page">{head}{paragraphs}</section>')


def _navigation(articles: Sequence[Article]) -> str:
    """Parts, chapters, their sections, and the pages below them."""
    rows = []
    for part, members in groupby(articles, key=lambda a: a.part):
        entries = [_entry(article) for article in members]
        if part:
            rows.append(f"<li><span>{escape(part)}</span><ol>{''.join(entries)}</ol></li>")
        else:
            rows += entries
    return (
        f'<nav epub:type="toc" id="toc" role="doc-toc"><h1>Contents</h1><ol><li><a href="title.xhtml">Title page</a></li>{"".join(rows)}</ol></nav>'
        '<nav epub:type="landmarks" id="landmarks" hidden="hidden"><h2>Landmarks</h2><ol>'
        f'<li><a epub:type="bodymatter" href="{articles[0].slug}.xhtml">Start of the book</a></li></ol></nav>'
    )


def _entry(article: Article) -> str:
    sections = "".join(
        f'<li><a href="{article.slug}.xhtml#{name}">{escape(heading_text(heading))}</a></li>'
        for heading in article.body.find_all("h2")
        if (name := _anchor(heading))
    )
    below = f"<ol>{sections}</ol>" if sections else ""
    return f'<li><a href="{article.slug}.xhtml">{escape(article.title)}</a>{below}</li>'


def _anchor(heading: Tag) -> str | None:
    """The id of a heading, or of the section that it opens."""
    return heading.get("id") or (heading.parent.get("id") if heading.parent is not None else None)


def _package(facts: dict[str, str], articles: Sequence[Article], features: dict[str, str]) -> str:
    book_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{facts['title']} {facts['version']}")
    meta = "".join(
        f'<meta property="{name}">{value}</meta>'
        for name, value in [
            ("dcterms:modified", f"{facts['date']}T00:00:00Z"),
            ("schema:accessMode", "textual"), ("schema:accessMode", "visual"), ("schema:accessModeSufficient", "textual"),
            ("schema:accessibilityFeature", "alternativeText"), ("schema:accessibilityFeature", "MathML"),
            ("schema:accessibilityFeature", "structuralNavigation"), ("schema:accessibilityFeature", "tableOfContents"),
            ("schema:accessibilityHazard", "none"),
            ("schema:accessibilitySummary", "Every figure has a text that states its finding; formulas are MathML."),
        ]
    )  # fmt: skip
    subjects = "".join(f"<dc:subject>{escape(s)}</dc:subject>" for s in facts["subjects"].split(", ") if s)
    items = '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
    items += '<item id="style" href="book.css" media-type="text/css"/>'
    items += '<item id="title" href="title.xhtml" media-type="application/xhtml+xml"/>'
    for article in articles:
        properties = f' properties="{features[article.slug]}"' if features[article.slug] else ""
        items += (
            f'<item id="{article.slug}" href="{article.slug}.xhtml" media-type="application/xhtml+xml"{properties}/>'
        )
    order = "".join(f'<itemref idref="{name}"/>' for name in ["title", "nav", *(a.slug for a in articles)])
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<package xmlns="http://www.idpf.org/2007/opf" version="3.0" '
        'unique-identifier="book-id" xml:lang="en"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="book-id">urn:uuid:{book_id}</dc:identifier><dc:title>{escape(facts["title"])}: {escape(facts["subtitle"])}</dc:title>'
        f"<dc:language>en</dc:language><dc:creator>{escape(facts['authors'])}</dc:creator><dc:date>{facts['date']}</dc:date>"
        f"<dc:rights>Text and figures CC BY 4.0, code MIT</dc:rights>{subjects}{meta}</metadata>"
        f"<manifest>{items}</manifest><spine>{order}</spine></package>\n"
    )


def _zip(files: dict[str, str]) -> bytes:
    """The container: the media type first and not compressed; times fixed, so that equal books are equal bytes."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        everything = {"mimetype": "application/epub+zip", "META-INF/container.xml": _CONTAINER}
        everything |= {f"{_PACKAGE}/{name}": content for name, content in files.items()}
        for name, content in everything.items():
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_STORED if name == "mimetype" else zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()
