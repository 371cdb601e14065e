"""The cards of the front page: one per chapter, with its level, the minutes it takes, and its claims."""

from __future__ import annotations

import html
from typing import Any

import nbformat
import yaml

from book import BookError
from book.course import timing
from book.outline import CHAPTERS
from book.paths import Paths

LEVELS = ("beginner", "intermediate", "advanced")


def read(paths: Paths) -> dict[str, dict[str, str]]:
    """Level and line of each chapter; empty if there is no such file.

    Raises
    ------
    BookError
        If a chapter of the table of contents has no card, or a card has an unknown level.
    """
    file = paths.data / "chapters.yml"
    if not file.is_file():
        return {}
    cards = yaml.safe_load(file.read_text(encoding="utf-8"))
    for name, card in cards.items():
        if name not in CHAPTERS or card.get("level") not in LEVELS or not str(card.get("line", "")).strip():
            raise BookError(
                f"chapters.yml: '{name}' needs the name of a chapter, a level ({', '.join(LEVELS)}) and a line."
            )
    return cards


def page(paths: Paths, claims: dict[str, list[Any]], executed: dict[str, nbformat.NotebookNode]) -> str:
    """The cards in the order and under the parts of the table of contents."""
    cards = read(paths)
    contents = yaml.safe_load((paths.root / "_toc.yml").read_text(encoding="utf-8"))
    parts = []
    for part in contents["parts"]:
        names = [
            entry["file"].removeprefix("notebooks/")
            for entry in part["chapters"]
            if entry["file"].startswith("notebooks/")
        ]
        titles = {e["file"].removeprefix("notebooks/"): e.get("title", "") for e in part["chapters"]}
        missing = [name for name in names if name not in cards]
        if missing:
            raise BookError(f"chapters.yml has no card for {', '.join(missing)}; add level and line.")
        if names:
            items = "".join(_card(paths, name, titles[name], cards[name], claims, executed) for name in names)
            parts.append(
                f'<h3 class="book-cards-part">{html.escape(part["caption"])}</h3><ul class="book-cards">{items}</ul>'
            )
    return "\n".join(parts)


def _card(paths: Paths, name: str, title: str, card: dict[str, str], claims: dict, executed: dict) -> str:
    notebook = nbformat.read(paths.notebooks / f"{name}.ipynb", as_version=4)
    facts = [card["level"], f"{timing.rounded(sum(s.minutes for s in timing.sections(notebook)))} minutes to read"]
    run = executed[name].metadata.get("book", {}).get("run") if name in executed else None
    if run:
        facts.append(f"runs in {run['seconds']:.0f} s")
    if name in claims:
        facts.append(f"{len(claims[name])} claims")
    return (
        f'<li><a href="notebooks/{name}.html"><strong>{html.escape(title or CHAPTERS[name])}</strong>'
        f"<span>{html.escape(card['line'])}</span><small>{' · '.join(f'<em>{fact}</em>' for fact in facts)}</small></a></li>"
    )
