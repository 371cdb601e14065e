"""Claims that no notebook can make, because they are about the book's own pages: the builder makes them.

They have the form of a notebook's claims, stand on the page that they are about, and prove rows in the same way.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import nbformat

from book import links, resources
from book.outline import CHAPTERS, chapters_of
from book.paths import Paths
from book.resources import Library
from helpers.claims import Claim

# The link to Theano as the article prints it (section S7.2): its text has a bracket too many.
ARTICLES_LINK = links.Link(
    "article, S7.2", "url", "https://deeplearning.net/software/theano/", "deeplearning.net/software/theano/)"
)


def make(
    paths: Paths,
    notebooks: dict[str, nbformat.NotebookNode],
    library: Library,
    rows: list[dict[str, Any]],
    written: frozenset[str] | None,
) -> dict[str, list[dict[str, Any]]]:
    """Check the pages and record it: page to its claims. A book without a reading list makes none.

    Parameters
    ----------
    notebooks : dict
        The executed notebooks, if all of them are executed; else empty, and what needs them all is not claimed.
    written : set of str, optional
        Chapters and pages of the table of contents. What needs all chapters is claimed when all are there.
    """
    if not library.resources:
        return {}
    made = {"resources": [_form(paths, library), *_citations(library), *_tools(library, notebooks), _stray_bracket()]}
    if written is not None and all(set(chapters_of(row)) <= written for row in rows if row["id"] == "C-STRUCT"):
        made["coverage"] = [_parts(rows, written)]
    return {page: [asdict(claim) for claim in claims if claim is not None] for page, claims in made.items()}


def of_problems(proofs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """One claim per problem set, for the page about them. ``proofs`` come from :mod:`book.course.prove`."""
    made = [
        _equal(
            f"problems.{proof['chapter'].replace('_', '-')}.proven",
            f"{CHAPTERS[proof['chapter']]}: {proof['problems']} stubs fail, {proof['problems']} solutions pass all "
            f"{proof['tests']} tests, and each of {proof['mistakes']} planted mistakes fails the test meant for it.",
            len(proof["faults"]),
            0,
            bound="exactly 0 exceptions",
        )
        for proof in proofs
    ]
    return {"problems": [asdict(claim) for claim in made]} if made else {}


def cards(claims: list[dict[str, Any]]) -> str:
    """The claims of a page, as a notebook shows its own."""
    return "\n".join(Claim(**claim).as_html() for claim in claims) + "\n"


def _equal(id: str, statement: str, value: Any, expected: Any, *, bound: str = "", errata=(), capabilities=()) -> Claim:
    bound = bound or f"exactly {expected}"
    return Claim(id, statement, "equal", value, bound, value == expected, list(errata), list(capabilities), [])


def _form(paths: Paths, library: Library) -> Claim:
    every = links.collect(paths, library.links())
    return _equal(
        "resources.references.form",
        f"Every DOI, arXiv id, ISBN and address of the bibliography and of the pages is well formed ({len(every)} in all).",
        len(links.problems(every)),
        0,
        bound="exactly 0 malformed",
        capabilities=["C-BIB"],
    )


def _citations(library: Library) -> list[Claim]:
    counts = Counter(row["verdict"] for row in library.citations)
    alone = [row["id"] for row in library.citations if not row.get("sources") and "link" not in row]
    return [
        _equal(
            "resources.citations.counted",
            "Of the article's sixteen citations four are right, six are real works with wrong details, four were not found "
            "as cited, and two cannot be verified.",
            [counts[verdict] for verdict in resources.VERDICTS],
            [4, 6, 4, 2],
            bound="exactly (4, 6, 4, 2)",
        ),
        _equal(
            "resources.citations.replaced",
            "Each of the article's citations stands beside an entry of the bibliography, or beside a site that exists.",
            len(alone),
            0,
            bound="exactly 0 alone",
            capabilities=["C-BIB"],
        ),
    ]


def _tools(library: Library, notebooks: dict[str, nbformat.NotebookNode]) -> list[Claim | None]:
    running = resources.uses(library, notebooks)
    used = [name for name, where in running.items() if where]
    installed = {row["id"]: resources.own_words(row["package"]) for row in library.tools if row.get("package")}
    hosts = {row["id"]: row["link"].split("/")[2].removeprefix("www.") for row in library.tools}
    known = [name for name, (_, homes) in installed.items() if homes]
    agree = [name for name in known if hosts[name] in installed[name][1]]
    return [
        _equal(
            "resources.tools.used",
            "Each of the article's tools that this environment installs is imported by an executed notebook, directly or "
            "through a helper.",
            used,
            list(running),
            bound=f"all that are installed: {', '.join(running)}",
            capabilities=["C-TOOL"],
        )
        if notebooks
        else None,
        _equal(
            "resources.tools.own-words",
            "Matplotlib calls itself a plotting package, and scikit-learn calls itself modules for machine learning.",
            ["plotting" in installed["matplotlib"][0], "machine learning" in installed["scikit-learn"][0]],
            [True, True],
            bound="both words in the packages' own summaries",
            errata=["E80"],
        ),
        _equal(
            "resources.tools.homes",
            f"The sites that the article gives for {', '.join(known)} are those that the installed packages name as their home.",
            len(agree),
            len(known),
            bound=f"exactly {len(known)}, as many as are installed and name a home",
            errata=["E81"],
        ),
    ]


def _stray_bracket() -> Claim:
    shown = ARTICLES_LINK.text.removesuffix(")")
    repaired = links.Link(ARTICLES_LINK.where, "url", ARTICLES_LINK.value, shown)
    return _equal(
        "resources.article.stray-bracket",
        "This book's link checker refuses the article's link to Theano, and accepts it without the stray bracket.",
        [len(links.problems([ARTICLES_LINK])), len(links.problems([repaired]))],
        [1, 0],
        bound="exactly (1, 0) problems",
        errata=["E79"],
    )


def _parts(rows: list[dict[str, Any]], written: frozenset[str]) -> Claim:
    from book.rows import PARTS, parts_of

    mapped = [part for part in PARTS if any(part in parts_of(row) and set(chapters_of(row)) & written for row in rows)]
    return _equal(
        "coverage.parts.mapped",
        "Each of the article's ten parts has a chapter or a page in this book.",
        len(mapped),
        len(PARTS),
        bound="exactly 10",
        capabilities=["C-STRUCT"],
    )
