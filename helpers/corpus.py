"""A text that every machine has: the docstrings of Python's standard library, cleaned and split by file.

No download is needed. The text differs a little between versions of Python, so results on it are claimed in bands.

Three rules keep the split honest. A file belongs to one part, by a digest of its name, so a file that a new version adds
moves no other file. A module and its twin in Python (``decimal``, ``_pydecimal``) count as one file. A paragraph that
repeats an earlier one, wholly or for the most part, is dropped; training comes first, so validation and test text keep
only what training has not seen (Kaufman and others 2012 describe what happens otherwise).
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))  # 96 characters: the line feed, and all that ASCII prints
_SHINGLE = 6  # words
_SHORTEST = 40  # characters of a paragraph that is kept
_FEWEST = 100_000  # characters; below, this is not the library that the book expects


class Corpus(NamedTuple):
    """Three texts, one paragraph per line, made of the characters of :data:`ALPHABET` only.

    Attributes
    ----------
    train, validation, test : str
        About 80, 10 and 10 of 100 files; no paragraph of a later text repeats one of an earlier text.
    files : dict of str to tuple of str
        Names of the files of each part.
    """

    train: str
    validation: str
    test: str
    files: dict[str, tuple[str, ...]]


@functools.cache
def load_docstrings(folder: str | None = None) -> Corpus:
    """Read, clean and split the docstrings of the Python files in a folder (not of its subfolders).

    Parameters
    ----------
    folder : str, optional
        The standard library of the running Python if not given.

    Returns
    -------
    Corpus

    Raises
    ------
    FileNotFoundError
        If the folder holds too few docstrings, for instance because Python came without its sources.
    """
    place = Path(folder or sysconfig.get_paths()["stdlib"])
    parts: dict[str, list[Path]] = {"train": [], "validation": [], "test": []}
    for path in sorted(place.glob("*.py")):
        parts[part_of(path.stem)].append(path)
    seen: set[tuple[str, ...]] = set()
    texts = {
        name: "\n".join(without_repeats((p for path in paths for p in paragraphs(path.read_bytes())), seen))
        for name, paths in parts.items()
    }
    total = sum(map(len, texts.values()))
    if total < _FEWEST or not all(texts.values()):
        raise FileNotFoundError(f"'{place}' holds {total:,} characters of docstrings, at least {_FEWEST:,} are needed; "
                                "install Python with the sources of its standard library.")  # fmt: skip
    files = {name: tuple(path.name for path in paths) for name, paths in parts.items()}
    counts = ", ".join(f"{len(text):,} {name}" for name, text in texts.items())
    print(f"Data: docstrings of {'.'.join(map(str, sys.version_info[:3]))}'s standard library; characters: {counts}. "
          "Licence PSF-2.0.")  # fmt: skip
    return Corpus(**texts, files=files)


def part_of(module: str) -> str:
    """``"train"``, ``"validation"`` or ``"test"``: fixed by the name of a module, the same for ``decimal`` and ``_pydecimal``."""
    root = re.sub(r"^_*(py(?=decimal|io|datetime|abc|repl|long))?", "", module)
    digit = int(hashlib.sha256(root.encode()).hexdigest(), 16) % 10
    return {0: "validation", 1: "test"}.get(digit, "train")


def paragraphs(source: bytes) -> Iterator[str]:
    """Paragraphs of prose in the docstrings of a Python file, each on one line.

    Left out: examples (``>>>``), what is not mostly words, what is very short, and what has a character outside of
    :data:`ALPHABET`. A file that this Python cannot parse gives nothing.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for block in re.split(r"\n\s*\n", ast.get_docstring(node) or ""):
            line = " ".join(block.split())
            letters = sum(c.isalpha() or c == " " for c in line)
            if (
                len(line) >= _SHORTEST
                and ">>>" not in line
                and letters >= 0.85 * len(line)
                and set(line) <= set(ALPHABET)
            ):
                yield line


def without_repeats(lines: Iterable[str], seen: set[tuple[str, ...]]) -> Iterator[str]:
    """Drop each line of which half the six-word sequences were seen before; ``seen`` is extended by what is kept.

    Parameters
    ----------
    lines : iterable of str
    seen : set of tuple of str
        Six-word sequences of earlier lines, in lower case and without punctuation.
    """
    for line in lines:
        words = re.findall(r"[a-z0-9]+", line.lower())
        shingles = {tuple(words[k : k + _SHINGLE]) for k in range(max(1, len(words) - _SHINGLE + 1))}
        if 2 * len(shingles & seen) < len(shingles):
            seen |= shingles
            yield line
