"""Measurements kept as data in the repository: each carries a digest of its own content, and one that was edited is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from book import BookError
from book.files import digest
from book.paths import Paths

Record = dict[str, Any]


def read(
    paths: Paths, folder: Path, fields: tuple[str, ...], stem: Callable[[Record], str], again: str
) -> list[Record]:
    """The records of a folder, by the names of their files.

    Parameters
    ----------
    fields : tuple of str
        What a record has, in this order.
    stem : callable
        The name of the file that a record belongs into, without ``.json``.
    again : str
        The command that makes one anew.

    Raises
    ------
    BookError
        If one is damaged, was edited, or lies under a name that is not its own.
    """
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            intact = tuple(record) == fields and record["digest"] == digest(record)
        except (OSError, ValueError):
            intact = False
        if not intact:
            raise BookError(
                f"The receipt '{paths.show(file)}' was edited or damaged; remove it, or make it anew on its machine: {again}."
            )
        if file.stem != stem(record):
            raise BookError(
                f"The receipt '{paths.show(file)}' is of another machine or profile than its name says; remove it."
            )
        found.append(record)
    return found
