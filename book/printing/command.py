"""The commands ``pdf`` and ``epub``: what they refuse, what they make, and what they say."""

from __future__ import annotations

import fnmatch
import time
from pathlib import Path

import yaml

from book import BookError, render
from book.paths import Paths
from book.printing import articles

NAME = "large-models-in-practice"


def make(kind: str, paths: Paths, output: Path | None, only: list[str]) -> Path:
    """Make the book as one file.

    Parameters
    ----------
    kind : str
        ``pdf`` or ``epub``.
    output : Path, optional
        The file to write; in the build folder if not given.
    only : list of str
        Pages to put in: names, their beginnings, or patterns; all if empty.

    Raises
    ------
    BookError
        If there is no site or an old one, no page fits ``only``, or the file cannot be made.
    """
    target = output if output is not None else paths.build / f"{NAME}.{kind}"
    if target.is_dir():
        raise BookError(f"'{target}' is a folder; name a file with --output.")
    if not render.is_current(paths):
        raise BookError("The site is older than what it is made from; build it again first: make book.")
    return write(kind, paths, target, chosen(paths, only))


def write(kind: str, paths: Paths, target: Path, names: tuple[str, ...]) -> Path:
    """The same, from the site as it is."""
    started = time.monotonic()
    pages = articles.read(paths, names)
    if kind == "pdf":
        from book.printing import pdf

        what = f"{pdf.make(paths, pages, target):,} pages"
    else:
        from book.printing import epub

        what = f"{epub.make(paths, pages, target)} articles"
    size, seconds = target.stat().st_size / 1e6, time.monotonic() - started
    print(f"The book is in {paths.show(target)}: {what}, {size:.1f} MB ({seconds:.1f} s).")
    return target


def chosen(paths: Paths, only: list[str]) -> tuple[str, ...]:
    """Names of the pages that fit; none if all are wanted.

    Raises
    ------
    BookError
        If a wish fits no page.
    """
    contents = yaml.safe_load((paths.stage / "_toc.yml").read_text(encoding="utf-8"))
    names = [name for name, _, _ in articles.entries(contents)]
    found: set[str] = set()
    for wish in only:
        fitting = {n for n in names if n == wish or Path(n).name.startswith(wish) or fnmatch.fnmatch(n, wish)}
        if not fitting:
            raise BookError(
                f"No page of the book is called '{wish}'; the names are those in _toc.yml, as 05_mnist or glossary."
            )
        found |= fitting
    return tuple(name for name in names if name in found)
