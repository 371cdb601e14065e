"""Last touches to the rendered pages that the theme's templates do not reach.

Each is small and named; the site's tests say why it is needed (weight, accessibility, silence of the console).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bs4 import BeautifulSoup

from book import lean, search, sheets, strict
from book.glossary import Linker, Term


def polish(site: Path, terms: Sequence[Term], modules: Path, purge: Path) -> None:
    """Rework every page of the site in place, and remove files that no page uses.

    Parameters
    ----------
    terms : sequence of Term
        Entries of the glossary, linked where a chapter first uses them.
    modules : Path
        Where the browser assets are installed, PurgeCSS among them.
    purge : Path
        The script that runs it.
    """
    linker = Linker(list(terms))
    inline, icons, found, used, order = strict.Sheet(), set(), {}, set(), []
    pages = [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]
    for page in pages:
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        order = order or sheets.of_page(soup, page.parent)
        lean.plain_buttons(soup)
        lean.smaller_pictures(soup)
        lean.describe(soup)
        _name_controls(soup)
        _landmarks(soup)
        _plain_bibliography(soup)
        _scrollable_by_keyboard(soup)
        _filters_keep_their_place(soup)
        _unique_ids(soup)
        _no_empty_heads(soup)
        root = "../" * len(page.relative_to(site).parent.parts)
        _script_for(soup, ".digit-demo", f"{root}_static/digit_demo.js")
        _script_for(soup, ".book-filter", f"{root}_static/filter.js")
        _script_for(soup, ".book-quiz", f"{root}_static/quiz.js")
        if page.parent.name == "notebooks":
            linker.link(soup, page.stem, root)
        address = page.relative_to(site).as_posix()
        _script_for(soup, "form.bd-search", f"{root}_static/search.js")
        _script_for(soup, "body", f"{root}_static/offline.js")
        lean.load_only_what_is_used(soup)
        strict.strict(soup, inline, root, address)
        sheets.link_one(soup, root)
        used |= sheets.words(soup)
        icons |= lean.icons(soup)
        found[address] = search.entries(soup, address)
        page.write_text(str(soup), encoding="utf-8")
    (site / "search_index.js").write_text(search.script(found), encoding="utf-8")
    (site / "searchindex.js").unlink(missing_ok=True)
    lean.own_icons(site, icons)
    static = site / "_static"
    (static / "inline.css").write_text(inline.css(), encoding="utf-8")
    lean.no_source_maps(static)
    scripts = [*static.glob("*.js"), *static.glob("scripts/*theme.js")]
    css = sheets.join(static, [*order, static / "inline.css"])
    sheets.write(static, sheets.purge(css, used, scripts, modules, purge), pages)
    for pattern in lean.UNUSED_FILES:
        for file in (site / "_static").rglob(pattern):
            shutil.rmtree(file) if file.is_dir() else file.unlink()


def _name_controls(soup: BeautifulSoup) -> None:
    """A control with visible text is named by that text (WCAG 2.5.3), not by a label that says something else."""
    for button in soup.select("button[aria-label], label[aria-label], summary[aria-label]"):
        visible = " ".join(button.get_text(" ").split())
        if visible and visible.lower() not in button["aria-label"].lower():
            del button["aria-label"]
    for summary in soup.select(".bd-sidenav summary:not([aria-label])"):
        chapter = summary.parent.parent.find("a").get_text(" ", strip=True)
        summary["aria-label"] = f"Pages that belong to {chapter}"
    for button in soup.select("button.search-button-field"):
        for hint in button.select(".search-button__kbd-shortcut"):
            hint["aria-hidden"] = "true"


def _landmarks(soup: BeautifulSoup) -> None:
    """The book's name in the sidebar belongs to a landmark, so that screen readers can jump to it."""
    for logo in soup.select(".sidebar-primary-item > a.navbar-brand"):
        logo.parent["role"] = "navigation"
        logo.parent["aria-label"] = "Home"


def _plain_bibliography(soup: BeautifulSoup) -> None:
    """docutils gives citations roles that ARIA has withdrawn; plain text reads better than a broken list."""
    for element in soup.select("[role=doc-biblioentry], .citation-list[role=list]"):
        del element["role"]


def _filters_keep_their_place(soup: BeautifulSoup) -> None:
    """A filter needs its script; where scripts run it is there from the start, so that the page does not jump."""
    for form in soup.select("form.book-filter[hidden]"):
        del form["hidden"]
        form["class"] = [*form["class"], "pst-js-only"]


def _scrollable_by_keyboard(soup: BeautifulSoup) -> None:
    """Boxes that may scroll sideways can take the focus, so that the arrow keys move them."""
    for box in soup.select("div.highlight > pre, .cell_output pre, table.table, div.math > .katex-display"):
        box["tabindex"] = "0"


def _unique_ids(soup: BeautifulSoup) -> None:
    """sphinx-exercise gives the body of every exercise the same id, which nothing refers to."""
    for body in soup.select("#exercise-content, #solution-content"):
        del body["id"]


def _no_empty_heads(soup: BeautifulSoup) -> None:
    """Markdown cannot write a table without a heading row; one that says nothing is left out."""
    for head in soup.select("thead"):
        if not head.get_text(strip=True):
            head.decompose()
            continue
        for cell in head.select("th"):
            if not cell.get_text(strip=True):
                cell.name = "td"  # a heading that says nothing is none


def _script_for(soup: BeautifulSoup, selector: str, source: str) -> None:
    """A script on the pages that have something for it to do, and on no other."""
    if soup.select_one(selector):
        soup.head.append(soup.new_tag("script", src=source, defer="defer"))
