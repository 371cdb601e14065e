"""The book as PDF: one document, printed by Chromium with bookmarks, tags and links."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from pypdf import PdfReader

from book import BookError
from book.files import write_atomically
from book.paths import Paths
from book.printing import browser
from book.printing.articles import Article
from book.printing.document import document
from book.printing.fonts import install_fonts, rules

# A formula or a table that is wider than its column is set smaller, down to half; returns what is still too wide.
_FIT = """() => {
  const left = [];
  for (const box of document.querySelectorAll('.katex-display, table')) {
    const room = box.parentElement.clientWidth;
    const width = Math.max(box.scrollWidth, box.offsetWidth);
    if (width <= room + 1) continue;
    box.style.zoom = Math.max(0.5, room / width);
  }
  const page = document.body.clientWidth;
  for (const box of document.querySelectorAll('article pre, article table, article svg, article .katex-display')) {
    const r = box.getBoundingClientRect();
    const right = Math.max(r.right, r.left + (box.scrollWidth ?? 0) * (parseFloat(box.style.zoom) || 1));
    if (right > page + 2) left.push(box.closest('article').id + ': ' + box.tagName + ' ' + (box.className.baseVal ?? box.className)
       + ' ' + Math.round(right - page) + ' px: ' + box.textContent.trim().slice(0, 60));
  }
  return left;
}"""
_NUMBERS = """(numbers) => {
  for (const cell of document.querySelectorAll('[data-page-of]')) cell.textContent = numbers[cell.dataset.pageOf] ?? '';
}"""


def make(paths: Paths, articles: Sequence[Article], output: Path) -> int:
    """Print articles into one PDF.

    Returns
    -------
    int
        Number of pages.

    Raises
    ------
    BookError
        If there is no browser, it fails, or something is wider than the page.
    """
    static = paths.html / "_static"
    styles = [
        file.as_uri()
        for file in (static / "pygments.css", static / "vendor/katex/katex.min.css", paths.theme / "print/pdf.css")
    ]
    source = paths.build / "print" / "book.html"
    write_atomically(source, document(paths, articles, styles, rules(install_fonts(paths))))
    slugs = {article.slug for article in articles}
    with browser.page(source.as_uri()) as page:
        page.set_viewport_size({"width": _WIDTH, "height": 1000})
        wide = page.evaluate(_FIT)
        if wide:
            raise BookError(f"{len(wide)} things are wider than the page: " + " / ".join(wide[:8]))
        numbers = pages_of(page.pdf(prefer_css_page_size=True), slugs)  # without tags: only to count
        page.evaluate(_NUMBERS, numbers)
        content = page.pdf(prefer_css_page_size=True, print_background=True, tagged=True, outline=True)
    write_atomically(output, content)
    return len(PdfReader(io.BytesIO(content)).pages)


_WIDTH = round(170 / 25.4 * 96)  # CSS pixels between the margins of A4


def pages_of(content: bytes, names: set[str]) -> Mapping[str, int]:
    """The page on which each named place of a PDF is, from 1."""
    reader = PdfReader(io.BytesIO(content))
    numbers = {page.indirect_reference.idnum: number for number, page in enumerate(reader.pages, start=1)}
    found = {}
    for name, place in reader.named_destinations.items():
        if name.lstrip("/") in names:
            found[name.lstrip("/")] = numbers[place.page.idnum]
    return found
