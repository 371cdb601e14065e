"""Folders of images, ``root/train|validation|test/<class>/*.jpg|jpeg|png``, read in a fixed order and checked before use.

The class is the name of the folder. Nothing is shuffled here, so labels, files and predictions stay side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from helpers.datasets import DataError

SPLITS = ("train", "validation", "test")
SUFFIXES = (".jpg", ".jpeg", ".png")
CONVERTIBLE = ("L", "LA", "P", "PA", "RGBA", "1", "CMYK")  # 8 bits per channel: conversion to RGB loses no brightness


@dataclass(frozen=True)
class ImageSet:
    """Decoded images of one split.

    Attributes
    ----------
    images : ndarray of shape (n, size, size, 3), uint8
        Red, green, blue.
    labels : ndarray of shape (n,), int64
        Positions in ``classes``.
    classes : tuple of str
        Names of the class folders, sorted.
    files : tuple of str
        Paths relative to the root, sorted by class, then by name; the same order as ``images``.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    files: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.files)


def load(
    root: str | Path, split: str, *, size: int, classes: tuple[str, ...] | None = None, binary: bool = False,
    channels: str = "convert", skip_unreadable: bool = True,
) -> ImageSet:  # fmt: skip
    """Read one split as squares of ``size`` pixels.

    Images are turned upright by their EXIF tag and reduced with an antialiasing (bilinear) filter. The aspect ratio is
    not kept: a wide photograph becomes narrower, as with ``image_dataset_from_directory``.

    Parameters
    ----------
    root : path
        Folder that holds the splits.
    split : str
        ``train``, ``validation`` or ``test``.
    size : int
        At least 8.
    classes : tuple of str, optional
        The class folders that must be there; those of the training set, when another split is read.
    binary : bool
        Insist on exactly two classes.
    channels : {"convert", "refuse"}
        What to do with grey, transparent and palette images. Images of more than 8 bits are always refused.
    skip_unreadable : bool
        Skip damaged files, and name them; otherwise the first one is an error.

    Raises
    ------
    DataError
        With one sentence that names the path and what to do.
    """
    if size < 8:
        raise DataError(f"size must be at least 8 pixels, got {size}.")
    if channels not in ("convert", "refuse"):
        raise DataError(f"channels must be 'convert' or 'refuse', got '{channels}'.")
    root = Path(root)
    found = class_folders(root, split)
    if classes is not None and found != tuple(classes):
        raise DataError(f"{root / split} holds the classes {', '.join(found)}, but {', '.join(classes)} were expected; "
                        "use the same class folders in every split.")  # fmt: skip
    if binary and len(found) != 2:
        raise DataError(f"{root / split} holds {len(found)} classes ({', '.join(found)}), and a binary classifier needs "
                        "exactly two; remove a folder, or use one output per class.")  # fmt: skip
    images, labels, files, unreadable = [], [], [], []
    for label, path in _files(root / split, found):
        try:
            images.append(decode(path, size=size, channels=channels))
        except DataError as error:
            if not (skip_unreadable and isinstance(error, Unreadable)):
                raise
            unreadable.append(path.relative_to(root).as_posix())
            continue
        labels.append(label)
        files.append(path.relative_to(root).as_posix())
    if unreadable:
        more = f" and {len(unreadable) - 5} more" if len(unreadable) > 5 else ""
        print(f"Skipped {len(unreadable)} unreadable image(s) in {root / split}: {', '.join(unreadable[:5])}{more}.")
    missing = [name for k, name in enumerate(found) if k not in labels]
    if missing:
        raise DataError(f"{root / split / missing[0]} holds no readable image; add JPEG or PNG files to it.")
    return ImageSet(np.stack(images), np.array(labels, "int64"), found, tuple(files))


class Unreadable(DataError):
    """A file that cannot be decoded."""


def decode(path: Path, *, size: int | None = None, channels: str = "convert") -> np.ndarray:
    """Decode one file to RGB.

    Returns
    -------
    ndarray of shape (size, size, 3) or, without a size, (height, width, 3), uint8

    Raises
    ------
    Unreadable
        If the file is damaged, is no image, or is so large that decoding it is refused (Pillow's limit).
    DataError
        If its channels are not allowed.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as file:
            mode = file.mode
            if mode != "RGB" and (channels == "refuse" or mode not in CONVERTIBLE):
                wanted = "8 bits per channel" if mode not in CONVERTIBLE else "three channels"
                raise DataError(f"{path} has the mode {mode}, not RGB with {wanted}; convert the file first"
                                + (", or load with channels='convert'." if mode in CONVERTIBLE else "."))  # fmt: skip
            if size is not None:
                file.draft("RGB", (size, size))  # a JPEG decoder can reduce by 2, 4, 8 while it decodes
            image = ImageOps.exif_transpose(file).convert("RGB")
    except DataError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0].replace(str(path), "the file") if str(error) else type(error).__name__
        raise Unreadable(f"{path} cannot be read as JPEG or PNG ({reason}); replace or remove it.") from error
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def class_folders(root: Path, split: str) -> tuple[str, ...]:
    """Sorted names of the class folders of a split, with an error for every way in which they can be missing."""
    root, folder = Path(root), Path(root, split)
    for place in (root, folder):
        if not place.exists():
            raise DataError(f"{place} does not exist; make the folders {root / split}/<class>/ with JPEG or PNG files.")
        if not place.is_dir():
            raise DataError(f"{place} is a file, not a folder; give the folder that holds train, validation and test.")
    names = tuple(sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")))
    loose = [p.name for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file()]
    if loose and not names:
        raise DataError(f"{folder} holds {len(loose)} images but no class folders; move each image into a folder named "
                        f"after its class, for example {folder / 'cat' / loose[0]}.")  # fmt: skip
    if not names or not any(images_in(folder / name) for name in names):
        raise DataError(f"{folder} holds no images; put JPEG or PNG files into one folder per class.")
    if len(names) == 1:
        raise DataError(f"{folder} holds one class only ({names[0]}); a classifier needs at least two class folders.")
    return names


def images_in(folder: Path) -> list[Path]:
    """JPEG and PNG files that lie directly in a folder, sorted by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _files(folder: Path, classes: tuple[str, ...]) -> Iterator[tuple[int, Path]]:
    for label, name in enumerate(classes):
        for path in images_in(folder / name):
            yield label, path
