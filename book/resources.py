"""The reading list, the article's citations and its tools: data, and the parts of the resources page made from it."""

from __future__ import annotations

import ast
import html
import re
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata, util
from typing import Any

import nbformat

from book import BookError, ledger
from book.links import Link
from book.markup import line, table, text
from book.outline import CHAPTERS, address
from book.paths import REPOSITORY, Paths

GOALS = {
    "start": "To learn the basics",
    "prove": "To see every gradient",
    "language": "To understand language models",
    "practice": "To train, tune and shrink models",
    "serve": "To run models for others",
    "judge": "To judge a model",
    "privacy": "To protect people",
    "data": "To find data",
    "documentation": "To look something up",
}
KINDS = ("book", "paper", "course", "code", "documentation", "site", "standard")
VERDICTS = {
    "right": "right",
    "wrong-details": "real, with wrong details",
    "not-found": "not found as cited",
    "unverifiable": "cannot be verified",
}


@dataclass(frozen=True)
class Library:
    """Rows of ``resources.yml``, ``citations.yml`` and ``tools.yml``."""

    resources: list[dict[str, Any]] = field(default_factory=list)
    citations: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)

    def links(self) -> list[Link]:
        """Every address of the rows."""
        found = [Link(row["id"], "url", row["link"]) for row in self.resources if "link" in row]
        found += [Link(row["id"], "isbn", str(row["isbn"])) for row in self.resources if "isbn" in row]
        found += [Link(row["id"], "url", row["link"]) for row in self.citations if "link" in row]
        return found + [Link(row["id"], "url", row["link"]) for row in self.tools]


def read(paths: Paths) -> Library:
    """All rows; empty lists where a file is missing.

    Raises
    ------
    BookError
        If a row lacks a field or has a value that is not foreseen.
    """
    resources = ledger.read_rows(paths, "resources")
    for row in resources:
        _demand("resources.yml", row, ("title", "kind", "goal", "good_for", "whom"))
        if row["kind"] not in KINDS or row["goal"] not in GOALS:
            raise BookError(f"resources.yml: '{row['id']}' has an unknown kind or goal ({row['kind']}, {row['goal']}).")
        if "bib" not in row:
            _demand("resources.yml", row, ("authors", "link"))
    citations = ledger.read_rows(paths, "citations")
    for row in citations:
        _demand("citations.yml", row, ("section", "cited", "verdict", "really"))
        if row["verdict"] not in VERDICTS:
            raise BookError(f"citations.yml: '{row['id']}' has the verdict '{row['verdict']}', which is none.")
    tools = ledger.read_rows(paths, "tools")
    for row in tools:
        _demand("tools.yml", row, ("title", "link", "article", "really"))
    return Library(resources, citations, tools)


def _demand(file: str, row: dict[str, Any], fields: tuple[str, ...]) -> None:
    missing = [name for name in fields if not str(row.get(name, "")).strip()]
    if missing:
        raise BookError(f"{file}: '{row['id']}' lacks {', '.join(missing)}; add it.")


def reading_list(library: Library) -> str:
    """One section for each thing that a reader may want."""
    parts = []
    for goal, title in GOALS.items():
        rows = [row for row in library.resources if row["goal"] == goal]
        if rows:
            parts += [f"\n### {title}\n", *map(_resource, rows)]
    return "\n".join(parts) + "\n"


def _resource(row: dict[str, Any]) -> str:
    if "bib" in row:
        title, who = f"**{line(row['title'])}**", f"{row['kind']}, {{cite:t}}`{row['bib']}`"
    else:
        title = f"**[{line(row['title'])}]({row['link']})**"
        who = ", ".join(str(x) for x in (row["kind"], row["authors"], row.get("year")) if x)
    if "bib" in row and "link" in row:
        who += f", [{_host(row['link'])}]({row['link']})"
    return f"- {title} ({who}). {line(row['good_for'])} *For* {line(row['whom'])}"


def _host(link: str) -> str:
    return re.sub(r"^https?://(www\.)?", "", link).rstrip("/")


def citations(library: Library) -> str:
    """The article's citations, each beside what it really is."""
    counts = Counter(row["verdict"] for row in library.citations)
    parts = ["In short: " + "; ".join(f"{words}: {counts[verdict]}" for verdict, words in VERDICTS.items()) + ".\n"]
    for row in library.citations:
        sources = ", ".join(f"{{cite:t}}`{key}`" for key in row.get("sources", []))
        lines = [
            f"(citation-{row['id'].lower()})=",
            f"::::{{div}} erratum citation-{row['verdict']}",
            f'<p class="erratum-head"><strong>{row["id"]}</strong> <span class="badge-verdict">{VERDICTS[row["verdict"]]}</span> '
            f'<span class="erratum-section">section {row["section"]}</span></p>',
            "",
            f"**The article cites** {line(row['cited'])}",
            "",
            f"**Really.** {line(row['really'])}",
            "",
        ]
        if "link" in row:
            lines += [f"**Address.** [{_host(row['link'])}]({row['link']})", ""]
        if sources:
            lines += [f"**Read instead** {sources}" if row["verdict"] != "right" else f"**Entry** {sources}", ""]
        parts.append("\n".join([*lines, "::::", ""]))
    return "\n".join(parts)


# --- tools -----------------------------------------------------------------------------------------------------------


def uses(library: Library, notebooks: dict[str, nbformat.NotebookNode]) -> dict[str, list[str]]:
    """For each tool that can be imported here, the executed notebooks that import it, directly or through a helper."""
    imported = {name: _imports(notebook) for name, notebook in notebooks.items()}
    return {
        row["id"]: [name for name, modules in imported.items() if row["module"] in modules]
        for row in library.tools
        if row.get("module") and util.find_spec(row["module"]) is not None
    }


def tools(library: Library, notebooks: dict[str, nbformat.NotebookNode]) -> str:
    """A table: what the article calls each tool, what it is, and where this book runs it."""
    running = uses(library, notebooks)

    def where(row: dict[str, Any]) -> str:
        if row["id"] not in running:
            return text(row.get("absent", "not installed"))
        return (
            ", ".join(f'<a href="{address(n)}">{CHAPTERS[n].split()[0]}</a>' for n in running[row["id"]])
            or "nowhere yet"
        )

    rows = [
        [
            f'<a href="{html.escape(row["link"])}">{text(row["title"])}</a>',
            text(row["article"]),
            text(row["really"]),
            where(row),
        ]
        for row in library.tools
    ]
    return table(
        "The tools that the article recommends",
        ["tool", "the article says", "what it is", "chapters that run it"],
        rows,
    )


def _imports(notebook: nbformat.NotebookNode) -> set[str]:
    """Packages that the code cells import, and those that the helpers they import import in turn."""
    found = set().union(*(_imported(cell.source) for cell in notebook.cells if cell.cell_type == "code"))
    for name in [one for one in found if one.startswith("helpers")]:
        file = (REPOSITORY / name.replace(".", "/")).with_suffix(".py")
        if file.is_file():
            found |= _imported(file.read_text(encoding="utf-8"))
    return {name.split(".")[0] for name in found}


def _imported(source: str) -> set[str]:
    """Modules of the import statements; for ``from helpers import figures`` also ``helpers.figures``."""
    source = "\n".join("" if row.lstrip().startswith(("%", "!")) else row for row in source.splitlines())
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return set()
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_words(package: str) -> tuple[str, list[str]]:
    """What an installed package says about itself: its summary, and the hosts that it calls its home; ('', []) if absent."""
    try:
        about = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return "", []
    homes = list(about.get_all("Home-page") or [])
    for entry in about.get_all("Project-URL") or []:
        label, _, link = entry.partition(",")
        if label.strip().lower() in ("home", "homepage"):
            homes.append(link.strip())
    return str(about["Summary"] or ""), [_host(home).split("/")[0] for home in homes]
