"""Parts of pages that are made from data: a page holds ``<!-- generated: claims -->`` and gets the table there.

Everything here is a pure function of the executed notebooks and the rows of ``book/data``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nbformat

from book import (
    BookError,
    backends_page,
    cache,
    cards,
    glossary,
    ledger,
    museum,
    outline,
    page_claims,
    receipts,
    receipts_page,
    resources,
    rows,
    weights,
)
from book.card import page as card_page
from book.course import guide, problems, prove, quiz
from book.course import pages as course_pages
from book.ledger import Ledger
from book.markup import claim_anchor, claim_link, row_link, table, text
from book.outline import CHAPTERS, address
from book.paths import Paths
from helpers import datasets

NOT_EXECUTED = (
    '<p class="run-line run-line-missing">This chapter was not executed in this build, so it shows no results. '
    "Build the whole book to see them.</p>"
)


@dataclass(frozen=True)
class Book:
    """All that the generated parts are made from."""

    notebooks: dict[str, nbformat.NotebookNode]
    errata: list[dict[str, Any]]
    coverage: list[dict[str, Any]]
    ledger: Ledger
    bugs: list[dict[str, Any]] = field(default_factory=list)
    written: frozenset[str] | None = None
    library: resources.Library = field(default_factory=resources.Library)
    terms: list[glossary.Term] = field(default_factory=list)
    problem_sets: dict[str, problems.ProblemSet] = field(default_factory=dict)
    quizzes: dict[str, list[quiz.Question]] = field(default_factory=dict)
    proofs: list[dict[str, Any]] = field(default_factory=list)
    paths: Paths | None = None

    @classmethod
    def collect(cls, paths: Paths) -> Book:
        """Read what is executed. A copy of code that has changed since counts as not executed."""
        notebooks = {}
        for file in sorted(paths.notebooks.glob("*.ipynb")):
            if (paths.executed / file.name).is_file():
                executed = nbformat.read(paths.executed / file.name, as_version=4)
                if cache.is_current(paths, nbformat.read(file, as_version=4), executed):
                    notebooks[file.stem] = executed
        missing = frozenset(p.stem for p in paths.notebooks.glob("*.ipynb")) - notebooks.keys()
        errata, coverage = ledger.read_rows(paths, "errata"), ledger.read_rows(paths, "coverage")
        claims = {name: ledger.claims_of(notebook) for name, notebook in notebooks.items()}
        written, library = outline.written(paths), resources.read(paths)
        sets = {file.stem: problems.read(file) for file in problems.find(paths)}
        proofs = prove.records(paths)
        claims |= page_claims.make(paths, {} if missing else notebooks, library, [*errata, *coverage], written)
        claims |= page_claims.of_problems(proofs)
        return cls(
            notebooks,
            errata,
            coverage,
            ledger.build(claims, errata, coverage, chapters_missing=missing),
            museum.read(paths),
            written,
            library,
            glossary.read(paths),
            sets,
            quiz.read(paths),
            proofs,
            paths,
        )

    def claims(self) -> dict[str, list[dict[str, Any]]]:
        """The claims of each chapter, and of each page that makes some, in the order in which they were made."""
        found: dict[str, list[dict[str, Any]]] = {}
        for claim_id, claim in self.ledger.claims.items():
            found.setdefault(self.ledger.chapter_of[claim_id], []).append(claim)
        return found


def fill(page: str, book: Book) -> str:
    """Replace each ``<!-- generated: name argument ... -->`` by what the generator of that name makes."""

    def replace(match: re.Match) -> str:
        name, *arguments = match.group(1).split()
        return GENERATORS[name](book, *arguments)

    return re.sub(r"<!-- generated: ([^>]*?) -->", replace, page)


def run_line(name: str, run: dict[str, Any], elsewhere: str = "") -> str:
    versions, device = run["versions"], run["device"]
    where = ", ".join(device["gpus"]) or f"{device['cores']} CPU cores ({device['cpu']})"
    return (
        f'<p class="run-line">Executed on {run["date"]}, profile <strong>{run["profile"]}</strong>, on {html.escape(where)}, '
        f"in {run['seconds']:.0f} s, with TensorFlow {versions['tensorflow']} and Keras {versions['keras']}. "
        f'<a href="../_sources/notebooks/{name}.ipynb" download="{name}.ipynb">Download this notebook</a>. '
        f'<a href="../slides/{name}.html">Slides</a>.{elsewhere}</p>'
    )


def _claims(book: Book) -> str:
    parts = []
    for name, made in book.claims().items():
        rows = [
            [
                f'{text(c["statement"])}<br><a href="{address(name)}#{claim_anchor(c["id"])}"><code>{c["id"]}</code></a>',
                _value(c["value"]),
                text(c["bound"]),
                " ".join([*map(row_link, c["errata"]), *map(row_link, c["capabilities"])]),
                text(", ".join(c["data"])) or "none",
            ]
            for c in made
        ]
        parts += [f"## {CHAPTERS.get(name, name)}\n", table(
            f"Claims of {CHAPTERS.get(name, name)}", ["claim", "measured", "required", "proves", "data"], rows)]  # fmt: skip
    return "\n".join(parts) if parts else "No chapter has been executed yet."


def _execution(book: Book) -> str:
    if not book.notebooks:
        return "No chapter has been executed yet."
    rows, machines, versions = [], {}, {}
    for name, notebook in book.notebooks.items():
        run = notebook.metadata["book"]["run"]
        claims = ledger.claims_of(notebook)
        device = run["device"]
        machine = f"{device['cores']} cores of {device['cpu']}, {device['memory_gib']} GiB, {', '.join(device['gpus']) or 'no GPU'}"
        machines[machine] = None
        versions.update(run["versions"])
        rows.append([
            f'<a href="notebooks/{name}.html">{CHAPTERS.get(name, name)}</a>', run["profile"], f"{run['seconds']:.1f}",
            f"{run['peak_memory_mib']:,.0f}", str(len(claims)), run["date"],
        ])  # fmt: skip
    executed = table(
        "Executed notebooks", ["notebook", "profile", "seconds", "peak memory in MiB", "claims that hold", "date"], rows
    )
    installed = table("Versions", ["package", "version"], [[k, v] for k, v in versions.items()])
    where = "\n".join(f"- {machine}" for machine in machines)
    return f"{executed}\n\n## Machine\n\n{where}\n\n## Versions\n\n{installed}\n\n## Weight of the pages\n\n{weights.PLACE}\n"


def _receipts(book: Book) -> str:
    """Machines side by side, what they are, and where their claims differ."""
    found = receipts.read_all(book.paths)
    names = [file.stem for file in sorted(book.paths.notebooks.glob("*.ipynb"))]
    parts = [receipts_page.side_by_side(found, names), receipts_page.machines(found)]
    return "\n\n".join([*parts, "### Claims that differ", receipts_page.differences(found, book.ledger)])


def _data(book: Book) -> str:
    def files(d: datasets.DataSet) -> str:
        if d.drawn_by:
            return "drawn by " + ", ".join(f"<code>helpers/{module}</code>" for module in d.drawn_by)
        return "<br>".join(f'{file}<br><code class="digest">{digest}</code>' for file, digest in d.files.items())

    rows = [
        [
            f"<code>{d.name}</code>",
            text(d.title),
            text(d.origin),
            f'<a href="{d.licence_url}">{d.licence}</a>',
            files(d),
        ]
        for d in datasets.REGISTRY.values()
    ]
    return table("Data sets", ["name", "what it is", "made by", "licence", "files and SHA-256 of their content"], rows)


def _numbers(book: Book) -> str:
    """The headline of the front page, counted."""
    claims = len(book.ledger.claims)
    proven = sum(rows.state(row, book) == "proven" for row in book.errata)
    capabilities = sum(bool(rows.proofs(row, book)) for row in book.coverage)
    cells = sum(c.cell_type == "code" for n in book.notebooks.values() for c in n.cells)
    items = [
        (f"{claims}", "claims checked while this site was built", "claims.html"),
        (f"{cells}", "code cells executed", "execution.html"),
        (f"{proven} of {len(book.errata)}", "errata of the article proven so far", "errata.html"),
        (f"{capabilities} of {len(book.coverage)}", "capabilities that run so far", "coverage.html"),
    ]
    body = "".join(
        f'<li><a href="{href}"><strong>{number}</strong> <span>{text}</span></a></li>' for number, text, href in items
    )
    return f'<ul class="book-numbers">{body}</ul>'


def _figure(book: Book, chapter: str, cell: str) -> str:
    """A figure that a chapter made, by the id of its cell.

    Raises
    ------
    BookError
        If the chapter is executed and has no such figure.
    """
    notebook = book.notebooks.get(chapter)
    if notebook is None:
        return f'<p class="run-line run-line-missing">The figure appears here when chapter {html.escape(chapter)} is executed.</p>'
    for candidate in notebook.cells:
        if candidate.get("id") == cell:
            for output in candidate.outputs:
                text = output.get("data", {}).get("text/html", "")
                if "book-figure" in text:
                    return text.replace("\n", " ")
    raise BookError(
        f"A page wants the figure of cell '{cell}' of {chapter}, which has no such figure; correct the page."
    )


def _museum(book: Book) -> str:
    return museum.cards(book.bugs, CHAPTERS, lambda claim_id: claim_link(claim_id, book.ledger))


GENERATORS: dict[str, Callable[..., str]] = {
    "claims": _claims,
    "errata": rows.errata_page,
    "coverage": rows.coverage_page,
    "parts": rows.parts_table,
    "execution": _execution,
    "receipts": _receipts,
    "card": lambda book: card_page.page(book.paths),
    "backends": lambda book: backends_page.page(book.paths, book.ledger),
    "graphics-cards": lambda book: receipts_page.cards(receipts.read_all(book.paths)),
    "data": _data,
    "numbers": _numbers,
    "figure": _figure,
    "museum": _museum,
    "resources": lambda book: resources.reading_list(book.library),
    "citations": lambda book: resources.citations(book.library),
    "tools": lambda book: resources.tools(book.library, book.notebooks),
    "page-claims": lambda book, page: page_claims.cards(book.claims().get(page, [])),
    "glossary": lambda book: glossary.page(book.terms, book.written),
    "cards": lambda book: cards.page(book.paths, book.claims(), book.notebooks),
    "syllabi": lambda book: guide.syllabi_page(book.paths, book.problem_sets),
    "objectives": lambda book: guide.objectives_page(book.paths, book.problem_sets),
    "timing": lambda book: guide.timing_page(book.paths),
    "mistakes": lambda book: guide.mistakes_page(book.problem_sets),
    "problems": lambda book: course_pages.overview(list(book.problem_sets.values())),
}


def _value(value: Any) -> str:
    if isinstance(value, (bool, str)) or value is None:
        return text(str(value))
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(f"({_value(v)})" if isinstance(v, list) else _value(v) for v in value)
    return text(str(value))
