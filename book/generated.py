"""Parts of pages that are made from data: a page holds ``<!-- generated: claims -->`` and gets the table there.

Everything here is a pure function of the executed notebooks and the rows of ``book/data``.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nbformat

from book import BookError, cache, ledger, museum
from book.ledger import Ledger
from book.paths import Paths
from helpers import datasets

NOT_EXECUTED = (
    '<p class="run-line run-line-missing">This chapter was not executed in this build, so it shows no results. '
    "Build the whole book to see them.</p>"
)
CHAPTERS = {
    "01_background": "1 Background",
    "02_concepts": "2 Concepts",
    "03_backprop_math": "3 Backpropagation",
    "04_loss_examples": "4 Losses and optimisers",
    "05_mnist": "5 MNIST",
    "06_augmented_cnn": "6 Augmented CNN",
    "07_attention": "7 Attention",
    "08_pretraining_finetuning": "8 Pre-training and fine-tuning",
    "09_compute": "9 Compute",
    "10_optimisation": "10 Optimisation",
    "11_deployment": "11 Deployment",
    "12_continual_learning": "12 Continual learning",
    "13_evaluation_faq": "13 Evaluation",
    "14_privacy": "14 Privacy",
    "15_applications_nlp": "15 Applications: language",
    "15_applications_vision": "15 Applications: vision",
    "15_applications_speech": "15 Applications: speech",
    "15_applications_medicine": "15 Applications: medicine",
    "15_applications_finance": "15 Applications: finance",
    "16_trends": "16 Trends",
    "resources": "Resources",
    "index": "The book as a whole",
}
GROUPS = {
    "foundations": "Foundations",
    "framework-steps": "Framework steps and the project",
    "data-and-resources": "Data and resources",
    "evaluation": "Evaluation and optimisation",
    "applications": "Applications",
    "trends": "Trends, challenges and privacy",
    "promises": "Tools, reader goals and other promises",
}


@dataclass(frozen=True)
class Book:
    """All that the generated parts are made from."""

    notebooks: dict[str, nbformat.NotebookNode]
    errata: list[dict[str, Any]]
    coverage: list[dict[str, Any]]
    ledger: Ledger
    bugs: list[dict[str, Any]] = field(default_factory=list)

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
        return cls(
            notebooks,
            errata,
            coverage,
            ledger.build(claims, errata, coverage, chapters_missing=missing),
            museum.read(paths),
        )


def fill(page: str, book: Book) -> str:
    """Replace each ``<!-- generated: name argument ... -->`` by what the generator of that name makes."""

    def replace(match: re.Match) -> str:
        name, *arguments = match.group(1).split()
        return GENERATORS[name](book, *arguments)

    return re.sub(r"<!-- generated: ([^>]*?) -->", replace, page)


def run_line(name: str, run: dict[str, Any]) -> str:
    versions, device = run["versions"], run["device"]
    where = ", ".join(device["gpus"]) or f"{device['cores']} CPU cores ({device['cpu']})"
    return (
        f'<p class="run-line">Executed on {run["date"]}, profile <strong>{run["profile"]}</strong>, on {html.escape(where)}, '
        f"in {run['seconds']:.0f} s, with TensorFlow {versions['tensorflow']} and Keras {versions['keras']}. "
        f'<a href="../_sources/notebooks/{name}.ipynb" download="{name}.ipynb">Download this notebook</a></p>'
    )


def _claims(book: Book) -> str:
    parts = []
    for name, notebook in book.notebooks.items():
        made = ledger.claims_of(notebook)
        if not made:
            continue
        rows = [
            [
                f'{_text(c["statement"])}<br><a href="notebooks/{name}.html#{_anchor(c["id"])}"><code>{c["id"]}</code></a>',
                _value(c["value"]),
                _text(c["bound"]),
                " ".join([*map(_row_link, c["errata"]), *map(_row_link, c["capabilities"])]),
                _text(", ".join(c["data"])) or "none",
            ]
            for c in made
        ]
        parts += [f"## {CHAPTERS.get(name, name)}\n", _table(
            f"Claims of chapter {CHAPTERS.get(name, name)}", ["claim", "measured", "required", "proves", "data"], rows)]  # fmt: skip
    return "\n".join(parts) if parts else "No chapter has been executed yet."


def _errata(book: Book) -> str:
    statuses = {row["id"]: _status(row, book) for row in book.errata}
    counts = Counter((row["verdict"], statuses[row["id"]]) for row in book.errata)
    kinds = ("proven", "sourced", "open")
    summary = [
        [verdict, *(str(counts[verdict, kind]) for kind in kinds), str(sum(counts[verdict, kind] for kind in kinds))]
        for verdict in ledger.VERDICTS
    ]
    summary.append(
        ["all", *(str(sum(counts[v, kind] for v in ledger.VERDICTS)) for kind in kinds), str(len(book.errata))]
    )
    parts = [
        _table(
            "Errata by verdict and state of proof",
            ["verdict", "proven by a claim", "source cited", "open", "all"],
            summary,
        )
    ]
    chapters = list(dict.fromkeys(row["chapter"] for row in book.errata))
    for chapter in sorted(chapters, key=list(CHAPTERS).index):
        parts.append(f"\n## {CHAPTERS[chapter]}\n")
        parts += [_erratum(row, statuses[row["id"]], book) for row in book.errata if row["chapter"] == chapter]
    return "\n".join(parts)


def _erratum(row: dict[str, Any], status: str, book: Book) -> str:
    proof = " · ".join(_claim_link(claim, book) for claim in book.ledger.proven_by(row) if claim in book.ledger.claims)
    sources = ", ".join(f"{{cite:t}}`{key}`" for key in row.get("sources", []))
    lines = [
        f"(erratum-{row['id'].lower()})=",
        f"::::{{div}} erratum erratum-{row['verdict']}",
        f'<p class="erratum-head"><strong>{row["id"]}</strong> <span class="badge-verdict">{row["verdict"]}</span> '
        f'<span class="badge-status badge-{status}">{status}</span> <span class="erratum-section">section {row["section"]}</span></p>',
        "",
        f"**The article says.** {_line(row['says'])}",
        "",
        f"**In truth.** {_line(row['truth'])}",
        "",
        f"**Instead.** {_line(row['instead'])}",
        "",
    ]
    if proof:
        lines += [f"**Proven by** {proof}", ""]
    if sources:
        lines += [f"**Source.** {sources}", ""]
    return "\n".join([*lines, "::::", ""])


def _coverage(book: Book) -> str:
    proven = [row for row in book.coverage if _proofs(row, book)]
    parts = [f"So far {len(proven)} of {len(book.coverage)} capabilities run in this build and are proven by claims.\n"]
    for group, title in GROUPS.items():
        parts.append(f"\n## {title}\n")
        for row in (r for r in book.coverage if r["group"] == group):
            proofs = _proofs(row, book)
            status = "proven" if proofs else "open"
            where = ", ".join(CHAPTERS.get(c, c) for c in row["chapters"])
            lines = [
                f"({_capability(row['id'])})=",
                f"::::{{div}} erratum coverage-{status}",
                f'<p class="erratum-head"><strong>{row["id"]}</strong> {html.escape(row["title"])} '
                f'<span class="badge-status badge-{status}">{status}</span> '
                f'<span class="erratum-section">article: section {html.escape(str(row["section"]))}; here: {html.escape(where)}</span></p>',
                "",
                f"{_line(row['runs'])} *Checked:* {_line(row['check'])}",
                "",
            ]
            if proofs:
                lines += ["**Proven by** " + " · ".join(_claim_link(c, book) for c in proofs), ""]
            parts.append("\n".join([*lines, "::::", ""]))
    return "\n".join(parts)


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
    table = _table(
        "Executed notebooks", ["notebook", "profile", "seconds", "peak memory in MiB", "claims that hold", "date"], rows
    )
    installed = _table("Versions", ["package", "version"], [[k, v] for k, v in versions.items()])
    where = "\n".join(f"- {machine}" for machine in machines)
    return f"{table}\n\n## Machine\n\n{where}\n\n## Versions\n\n{installed}\n"


def _data(book: Book) -> str:
    def files(d: datasets.DataSet) -> str:
        if d.drawn_by:
            return "drawn by " + ", ".join(f"<code>helpers/{module}</code>" for module in d.drawn_by)
        return "<br>".join(f'{file}<br><code class="digest">{digest}</code>' for file, digest in d.files.items())

    rows = [
        [
            f"<code>{d.name}</code>",
            _text(d.title),
            _text(d.origin),
            f'<a href="{d.licence_url}">{d.licence}</a>',
            files(d),
        ]
        for d in datasets.REGISTRY.values()
    ]
    return _table("Data sets", ["name", "what it is", "made by", "licence", "files and SHA-256 of their content"], rows)


def _numbers(book: Book) -> str:
    """The headline of the front page, counted."""
    claims = len(book.ledger.claims)
    proven = sum(_status(row, book) == "proven" for row in book.errata)
    capabilities = sum(bool(_proofs(row, book)) for row in book.coverage)
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
    return museum.cards(book.bugs, CHAPTERS, lambda claim_id: _claim_link(claim_id, book))


GENERATORS: dict[str, Callable[..., str]] = {
    "claims": _claims,
    "errata": _errata,
    "coverage": _coverage,
    "execution": _execution,
    "data": _data,
    "numbers": _numbers,
    "figure": _figure,
    "museum": _museum,
}


def _status(row: dict[str, Any], book: Book) -> str:
    if _proofs(row, book):
        return "proven"
    return "sourced" if row.get("sources") else "open"


def _proofs(row: dict[str, Any], book: Book) -> list[str]:
    return [c for c in book.ledger.proven_by(row) if c in book.ledger.claims and book.ledger.claims[c]["passed"]]


def _anchor(claim_id: str) -> str:
    return "claim-" + claim_id.replace(".", "-")


def _capability(row_id: str) -> str:
    return "capability-" + row_id.lower()


def _row_link(row_id: str) -> str:
    if row_id.startswith("C-"):
        return f'<a href="coverage.html#{_capability(row_id)}">{row_id}</a>'
    return f'<a href="errata.html#erratum-{row_id.lower()}">{row_id}</a>'


def _claim_link(claim_id: str, book: Book) -> str:
    if claim_id not in book.ledger.claims:  # its chapter was not executed in this build
        return f"<code>{claim_id}</code>"
    return (
        f'<a href="notebooks/{book.ledger.chapter_of[claim_id]}.html#{_anchor(claim_id)}"><code>{claim_id}</code></a>'
    )


def _value(value: Any) -> str:
    if isinstance(value, (bool, str)) or value is None:
        return _text(str(value))
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(f"({_value(v)})" if isinstance(v, list) else _value(v) for v in value)
    return _text(str(value))


def _line(text: str) -> str:
    return " ".join(str(text).split())


def _text(text: str) -> str:
    return html.escape(_line(text), quote=False)


def _table(caption: str, head: list[str], rows: list[list[str]]) -> str:
    """One HTML table in a box of its own that scrolls; cells are HTML."""
    label = html.escape(caption, quote=True)
    columns = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    return (
        f'<div class="book-table book-table-wide" tabindex="0" role="region" aria-label="{label}"><table>'
        f"<caption>{label}</caption><thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )
