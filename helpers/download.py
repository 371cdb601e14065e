"""Fetch real photographs, on request only: ``python -m helpers.download oxford_pets``.

Nothing else in the book uses the network. The archive is verified by size and SHA-256 before anything is unpacked, and
the finished folder takes its place in one step.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.datasets import DataError, cache_folder

COUNTS = {"train": 1000, "validation": 250, "test": 250}  # per class
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Archive:
    """One archive of photographs: where it lies, how long it is, what it must contain, and under which terms."""

    title: str
    url: str
    size: int
    sha256: str
    licence: str
    source: str


ARCHIVES = {
    "oxford_pets": Archive(
        title="Oxford-IIIT Pet: photographs of cats and dogs (Parkhi, Vedaldi, Zisserman and Jawahar, 2012)",
        url="https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
        size=791_918_971,
        sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
        licence="CC BY-SA 4.0 (the photographs belong to their authors)",
        source="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    )
}


def fetch(name: str, into: Path | None = None) -> Path:
    """Download an archive, verify it, and arrange 2,000/500/500 photographs into folders that chapter 6 reads.

    Parameters
    ----------
    name : str
        A key of ``ARCHIVES``.
    into : Path, optional
        Folder to make; must not exist. The place in the cache where :func:`helpers.datasets.picture_folder` looks, if
        not given.

    Raises
    ------
    DataError
        With one sentence: unknown name, folder exists, no network, wrong content, no space. Nothing is left behind.
    """
    if name not in ARCHIVES:
        raise DataError(f"there is no archive '{name}'; choose one of {', '.join(ARCHIVES)}.")
    archive, into = ARCHIVES[name], cache_folder() / "cats_and_dogs" if into is None else Path(into)
    if into.exists():
        raise DataError(f"{into} exists already and is not overwritten; remove it, or name another folder with --into.")
    print(f"{archive.title}\n{archive.size / 1e6:.0f} MB from {archive.url}\nLicence {archive.licence}; see {archive.source}\n"
          f"The pictures will lie in {into}.", flush=True)  # fmt: skip
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{into.name}-", dir=into.parent) as work:
            packed = Path(work, "archive.tar.gz")
            _download(archive, packed)
            arranged = Path(work, "arranged")
            _arrange(packed, arranged)
            packed.unlink()
            arranged.rename(into)
    except urllib.error.URLError as error:
        reason = error.reason if isinstance(error.reason, str) else type(error.reason).__name__
        raise DataError(
            f"{archive.url} could not be fetched ({reason}); check the connection and try again."
        ) from error
    except tarfile.TarError as error:
        raise DataError(f"the archive from {archive.url} was not unpacked ({error}).") from error
    except OSError as error:
        raise DataError(f"{into} could not be made ({error.strerror or error}); nothing was left behind.") from error
    return into


def _download(archive: Archive, path: Path) -> None:
    digest, done, shown = hashlib.sha256(), 0, -1
    with urllib.request.urlopen(archive.url, timeout=60) as answer, path.open("wb") as file:
        while block := answer.read(_BLOCK):
            digest.update(block)
            file.write(block)
            done += len(block)
            if done > archive.size:
                break
            if 100 * done // archive.size >= shown + 5:
                shown = 100 * done // archive.size
                print(f"\r{shown:3d} %", end="", flush=True)
    print()
    if done != archive.size or digest.hexdigest() != archive.sha256:
        raise DataError(f"{archive.url} did not deliver the expected file: {done:,} bytes with SHA-256 {digest.hexdigest()}, "
                        f"expected {archive.size:,} bytes with {archive.sha256}; it was removed.")  # fmt: skip


def _arrange(packed: Path, into: Path) -> None:
    """Choose photographs by a fixed seed, in the order of their names. Names of cat breeds begin with a capital letter."""
    with tarfile.open(packed, "r:gz") as tar:
        names = {class_: [] for class_ in ("cat", "dog")}
        for member in _photographs(tar):
            names["cat" if Path(member.name).name[0].isupper() else "dog"].append(member.name)
    place: dict[str, Path] = {}
    for class_, found in names.items():
        if len(found) < sum(COUNTS.values()):
            raise DataError(
                f"the archive holds {len(found)} photographs of class {class_}; {sum(COUNTS.values())} are needed."
            )
        chosen = iter(np.random.default_rng(0).permutation(sorted(found)).tolist())
        for split, count in COUNTS.items():
            for _ in range(count):
                name = next(chosen)
                place[name] = into / split / class_ / Path(name).name
    for path in {path.parent for path in place.values()}:
        path.mkdir(parents=True)
    with tarfile.open(packed, "r:gz") as tar:
        for member in _photographs(tar):
            if member.name in place:
                content = tar.extractfile(member)
                with place[member.name].open(
                    "wb"
                ) as file:  # the path is ours: a name in the archive cannot lead elsewhere
                    shutil.copyfileobj(content, file)


def _photographs(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Regular files whose name is that of a JPEG photograph and not hidden."""
    for member in tar:
        name = Path(member.name).name
        if member.isfile() and name.endswith(".jpg") and name[0].isalpha():
            yield member


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m helpers.download", description=__doc__.splitlines()[0])
    parser.add_argument("name", help=f"what to fetch: {', '.join(ARCHIVES)}")
    parser.add_argument("--into", type=Path, help="folder to make (default: the book's cache)")
    options = parser.parse_args(arguments)
    try:
        print(f"Done: {fetch(options.name, options.into)}")
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; nothing was left behind.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
