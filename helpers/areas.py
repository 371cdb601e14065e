"""A small real task for texts: to which area of Python's standard library does a docstring belong?

Every machine that runs the book has the texts. The label is that of the module, and whole modules go to one part, so that
a text is never judged by its neighbours from the same file. The texts differ a little between versions of Python; a module
that a version does not have is passed over.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.corpus import paragraphs, without_repeats

TRAIN = {  # area: modules to learn from
    "network": "http/client http/server http/cookiejar urllib/request urllib/parse ftplib imaplib poplib socketserver smtplib",
    "files": "os shutil tempfile zipfile tarfile posixpath genericpath fileinput gzip glob ntpath bz2",
    "numbers": "_pydecimal fractions random colorsys numbers",
    "tests": "unittest/case unittest/mock unittest/main unittest/runner unittest/suite unittest/loader unittest/result bdb trace",
    "parallel": "threading multiprocessing/context multiprocessing/managers multiprocessing/pool multiprocessing/util "
    "asyncio/base_events asyncio/events asyncio/locks asyncio/streams asyncio/tasks asyncio/queues",
}
TEST = {  # other modules, to test with
    "network": "socket ssl nntplib telnetlib wsgiref/handlers wsgiref/util wsgiref/headers xmlrpc/server http/cookies",
    "files": "pathlib lzma filecmp fnmatch mailbox netrc",
    "numbers": "statistics datetime _pydatetime calendar",
    "tests": "doctest pdb unittest/async_case cProfile profile pstats timeit",
    "parallel": "concurrent/futures/_base concurrent/futures/process concurrent/futures/thread subprocess queue sched "
    "asyncio/futures asyncio/runners multiprocessing/connection multiprocessing/shared_memory",
}


class Part(NamedTuple):
    """Texts, their labels (n,) as numbers of the areas, and the module of each text."""

    texts: list[str]
    labels: np.ndarray
    modules: list[str]


def load_areas(per_area: int, seed: int, folder: str | None = None) -> tuple[Part, Part]:
    """Docstrings to learn from and to test with, equally many of each area, in random order.

    Parameters
    ----------
    per_area : int
        Texts of each area in each part, at least 1.
    seed : int
        Of the choice and the order.
    folder : str, optional
        A standard library; that of the running Python if not given.

    Returns
    -------
    train, test : Part
        No module and no paragraph is in both. Labels count the areas in the order of :data:`TRAIN`.

    Raises
    ------
    ValueError
        If an area has fewer texts than asked for.
    """
    if per_area < 1:
        raise ValueError(f"per_area must be at least 1, got {per_area}")
    place = Path(folder or sysconfig.get_paths()["stdlib"])
    rng, seen = np.random.default_rng(seed), set()
    return _part(place, TRAIN, per_area, rng, seen), _part(place, TEST, per_area, rng, seen)


def _part(place: Path, areas: dict[str, str], per_area: int, rng: np.random.Generator, seen: set) -> Part:
    rows: list[tuple[str, int, str]] = []
    for label, (area, modules) in enumerate(areas.items()):
        found = [
            (text, label, module)
            for module in modules.split()
            for path in (place / f"{module}.py", place / module / "__init__.py")
            if path.is_file()
            for text in without_repeats(paragraphs(path.read_bytes()), seen)
        ]
        if len(found) < per_area:
            raise ValueError(f"'{place}' has {len(found)} docstrings of the area '{area}', {per_area} are asked for")
        rows += [found[k] for k in rng.permutation(len(found))[:per_area]]
    order = rng.permutation(len(rows))
    texts, labels, modules = zip(*(rows[k] for k in order), strict=True)
    return Part(list(texts), np.array(labels, "int32"), list(modules))
