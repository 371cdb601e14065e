"""Data sets: one function each, the same call with and without a network.

Every loader looks in the same places, in this order, and says in one line which it used:

1. ``$BOOK_DATA/<name>/``, a directory of your own;
2. the cache, ``$XDG_CACHE_HOME/large-models-in-practice/<name>/`` (``~/.cache/...`` if unset);
3. the copy that ships with this package.

The first place that has a folder for the data set is used. Files there are verified by SHA-256; a file that
is missing, truncated or altered is named in a :class:`DataError`, and nothing is replaced behind your back.

Picture folders are different: the first two places may hold any images of yours, and in the third place the book draws
a set of its own, once, into the cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers import display

MIME = "application/vnd.book.data+json"
_SHIPPED = Path(__file__).parent / "data"
_used: dict[str, str] = {}


class DataError(RuntimeError):
    """A data file is missing or damaged. The message names the file, the digests and the remedy."""


@dataclass(frozen=True)
class DataSet:
    """What the book knows about a data set.

    Attributes
    ----------
    name : str
        Also the name of its folder.
    title, origin, licence : str
        For readers: what it is, who made it, under which terms.
    files : dict of str to str
        SHA-256 of the *uncompressed* content of each file, in hexadecimal. A file may lie there as it is or
        compressed as ``<file>.gz``. Empty for a picture folder.
    drawn_by : tuple of str
        Modules of this package that draw the pictures if no other place has them; empty for shipped files.
    """

    name: str
    title: str
    origin: str
    licence: str
    licence_url: str
    files: dict[str, str]
    drawn_by: tuple[str, ...] = ()


REGISTRY: dict[str, DataSet] = {
    "mnist": DataSet(
        name="mnist",
        title="MNIST handwritten digits: 60,000 training and 10,000 test images, 28 by 28 grey levels",
        origin="Yann LeCun, Corinna Cortes and Christopher J. C. Burges, derived from NIST Special Databases 1 and 3",
        licence="CC BY-SA 3.0",
        licence_url="https://creativecommons.org/licenses/by-sa/3.0/",
        files={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
    ),
    "cats_and_dogs": DataSet(
        name="cats_and_dogs",
        title="Pictures of cats and dogs: your own folders of images, or 3,000 drawn ones of 150 by 150 pixels",
        origin="drawn by this book (the photographs of a folder of yours stay yours)",
        licence="CC BY 4.0",
        licence_url="https://creativecommons.org/licenses/by/4.0/",
        files={},
        drawn_by=("pictures.py", "cartoon.py", "picture_files.py"),
    ),
}


def load_mnist() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Load the whole of MNIST, with the return shape of ``keras.datasets.mnist.load_data()``.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray, dtype uint8
        Shapes (60000, 28, 28), (60000,), (10000, 28, 28), (10000,). Pixels 0 (paper) to 255 (ink), labels 0 to 9.

    Raises
    ------
    DataError
        If a file is missing, truncated or altered.

    Notes
    -----
    The Keras loader needs the network and rejects a file that you build yourself, because it compares the digest
    of one particular archive. This one reads the four original IDX files.
    """
    files, source = _read("mnist")
    parts = []
    for split, count in (("train", 60_000), ("t10k", 10_000)):
        images = _idx(files[f"{split}-images-idx3-ubyte"], (count, 28, 28))
        labels = _idx(files[f"{split}-labels-idx1-ubyte"], (count,))
        parts.append((images, labels))
    _announce("mnist", source, "60,000 + 10,000 digits")
    return parts[0], parts[1]


def picture_folder() -> Path:
    """Folder with ``train``, ``validation`` and ``test``, each with one folder of images per class.

    Yours if ``$BOOK_DATA/cats_and_dogs/`` or the cache has one (any classes); otherwise the drawn cats and dogs.

    Raises
    ------
    DataError
        If ``BOOK_DATA`` names something that is not a folder.
    """
    folder, source = locate("cats_and_dogs")
    if source == "drawn":
        return drawn_pictures()
    where = {"BOOK_DATA": "your BOOK_DATA folder", "cache": "the cache"}[source]
    _used["cats_and_dogs"] = source
    line = f"Data: cats_and_dogs, the images in {where} ({folder}). Their licence is yours to know."
    display.record(MIME, {"name": "cats_and_dogs", "source": source, "licence": "the reader's"}, text=line)
    return folder


def drawn_pictures() -> Path:
    """Folder of the drawn cats and dogs (2,000 + 500 + 500), whose factors are known; drawn now if it is not there.

    Returns
    -------
    Path
        In the cache, or in the folder for temporary files if the cache cannot be written.
    """
    from helpers import picture_files

    name = f"drawn_cats_and_dogs-{_drawing_version('cats_and_dogs')}"
    places = [cache_folder() / name, Path(tempfile.gettempdir()) / "large-models-in-practice" / name]
    expected = sum(picture_files.COUNTS.values())
    start, made = time.perf_counter(), False
    for place in places:
        if place.is_dir() and sum(1 for _ in place.glob("*/*/*.jpg")) == expected:
            break
        try:
            shutil.rmtree(place, ignore_errors=True)  # pictures are missing: someone cleaned up
            picture_files.write(place)
        except OSError as error:
            if place == places[-1]:
                raise DataError(f"the pictures cannot be drawn into '{place}' ({error}); set XDG_CACHE_HOME to a "
                                "folder that can be written.") from error  # fmt: skip
            continue
        made = True
        break
    how = f"drawn now in {time.perf_counter() - start:.0f} s" if made else "drawn earlier"
    _used["cats_and_dogs"] = "drawn"
    licence = REGISTRY["cats_and_dogs"].licence
    line = f"Data: cats_and_dogs, {expected:,} pictures drawn by the book ({how}), in {place}. Licence {licence}."
    display.record(MIME, {"name": "cats_and_dogs", "source": "drawn", "licence": licence}, text=line)
    return place


def cache_folder() -> Path:
    """Where downloaded and drawn data lies: ``$XDG_CACHE_HOME/large-models-in-practice`` (``~/.cache/...`` if unset)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "large-models-in-practice"


@functools.cache
def _drawing_version(name: str) -> str:
    """Changes when the code that draws changes."""
    digest = hashlib.sha256()
    for module in REGISTRY[name].drawn_by:
        digest.update((Path(__file__).parent / module).read_bytes())
    return digest.hexdigest()[:12]


def locate(name: str) -> tuple[Path, str]:
    """Folder that a data set is read from, and what kind of place it is.

    Returns
    -------
    folder : Path
    source : {"BOOK_DATA", "cache", "repository", "drawn"}

    Raises
    ------
    KeyError
        If the registry has no such data set.
    DataError
        If ``BOOK_DATA`` names something that is not a folder.
    """
    REGISTRY[name]
    own = os.environ.get("BOOK_DATA")
    if own:
        if not Path(own).is_dir():
            raise DataError(f"BOOK_DATA is set to '{own}', which is not a folder. Correct it, or unset BOOK_DATA "
                            "to use the copy that comes with the book.")  # fmt: skip
        if (Path(own) / name).is_dir():
            return Path(own) / name, "BOOK_DATA"
    if (cache_folder() / name).is_dir():
        return cache_folder() / name, "cache"
    if REGISTRY[name].drawn_by:
        return cache_folder() / f"drawn_{name}-{_drawing_version(name)}", "drawn"
    return _SHIPPED / name, "repository"


def fingerprint(name: str) -> str:
    """Short text that changes when the files of a data set change: place, sizes and modification times.

    It reads no content, so that asking is cheap. Loading verifies the content.
    """
    folder, source = locate(name)
    if source == "drawn":
        return f"drawn:{_drawing_version(name)}"
    listing = []
    if REGISTRY[name].drawn_by:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        listing = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]
    for file in sorted(REGISTRY[name].files):
        path = _find(folder, file)
        if path is None:
            listing.append(f"{file} missing")
        elif source == "repository":
            listing.append(f"{file} {path.stat().st_size}")
        else:
            listing.append(f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}")
    return f"{source}:" + hashlib.sha256("\n".join(listing).encode()).hexdigest()


def loaded() -> list[str]:
    """Data sets loaded so far in this process, as ``name (source)``, in the order of loading."""
    return [f"{name} ({source})" for name, source in _used.items()]


def _read(name: str) -> tuple[dict[str, bytes], str]:
    folder, source = locate(name)
    return {file: _verified(folder, file, digest) for file, digest in REGISTRY[name].files.items()}, source


def _find(folder: Path, file: str) -> Path | None:
    for candidate in (folder / file, folder / f"{file}.gz"):
        if candidate.is_file():
            return candidate
    return None


def _verified(folder: Path, file: str, digest: str) -> bytes:
    path = _find(folder, file)
    remedy = (
        "Restore it with 'git checkout -- helpers/data', or fetch the repository again."
        if folder.is_relative_to(_SHIPPED)
        else f"Put an intact copy there, or remove the folder '{folder}' to use the copy that comes with the book."
    )
    if path is None:
        raise DataError(f"Data file '{folder / file}' (or '{file}.gz') is missing; the content with SHA-256 {digest} "
                        f"was expected and nothing was found. {remedy}")  # fmt: skip
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise DataError(f"Data file '{path}' cannot be read ({error.strerror}). {remedy}") from error
    content, whole = _gunzip(stored) if path.suffix == ".gz" else (stored, True)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        state = "has been altered" if whole else "is truncated or is not a gzip file"
        raise DataError(f"Data file '{path}' {state}: its content has SHA-256 {found}, expected {digest}. {remedy}")
    return content


def _gunzip(stored: bytes) -> tuple[bytes, bool]:
    """As much as can be unpacked, and whether that was everything (so that a damaged file can be described)."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        return unpacker.decompress(stored) + unpacker.flush(), unpacker.eof
    except zlib.error:
        return b"", False


def _idx(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Parse an IDX file of unsigned bytes: two zero bytes, type 8, rank, big-endian sizes, then the values."""
    rank = len(shape)
    header = np.frombuffer(content, dtype=">i4", count=1 + rank)
    if int(header[0]) != 0x0800 + rank or tuple(int(n) for n in header[1:]) != shape:
        raise DataError(f"IDX header {[int(n) for n in header]} does not describe unsigned bytes of shape {shape}.")
    return np.frombuffer(content, dtype=np.uint8, offset=4 * (1 + rank)).reshape(shape).copy()


def _announce(name: str, source: str, size: str) -> None:
    _used[name] = source
    entry = REGISTRY[name]
    where = {
        "BOOK_DATA": "from your BOOK_DATA folder",
        "cache": "from the cache",
        "repository": "from the copy that comes with the book",
    }[source]
    line = f"Data: {name}, {size}, {where}; every byte verified (SHA-256). Licence {entry.licence}."
    display.record(MIME, {"name": name, "source": source, "licence": entry.licence}, text=line)
