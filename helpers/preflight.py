"""Look at folders of images before a network does: counts, sizes, damaged files, doubles across the splits."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from helpers import display, folders
from helpers.datasets import DataError

ALIKE = 12.0  # of 255: mean difference of two 16 x 16 miniatures, above which equal hashes are taken for chance
_BLOCK = 2048  # rows of the distance matrix at a time: 2048 x 25,000 x 8 bytes stay below half a gigabyte


@dataclass(frozen=True)
class Double:
    """Two files with the same pixels (``distance`` -1), or with difference hashes ``distance`` bits apart."""

    first: str
    second: str
    distance: int

    @property
    def across_splits(self) -> bool:
        """True if a model would be tested on what it was trained on."""
        return self.first.split("/")[0] != self.second.split("/")[0]


@dataclass(frozen=True)
class Report:
    """What :func:`inspect` found.

    Attributes
    ----------
    counts : dict of str to dict of str to int
        Readable images per split and class.
    sizes : dict of str to tuple
        Per split: smallest and largest (width, height) by area.
    other_modes : dict of str to int
        Images that are not RGB, by mode.
    unreadable, strangers : tuple of str
        Messages about damaged files; paths of files that are neither JPEG nor PNG.
    exact, near : tuple of Double
        Pairs with equal pixels, and pairs that look alike (also mirrored).
    problems : tuple of str
        One sentence each; empty if nothing stands in the way.
    """

    root: str
    counts: dict[str, dict[str, int]]
    sizes: dict[str, tuple[tuple[int, int], tuple[int, int]]]
    other_modes: dict[str, int]
    unreadable: tuple[str, ...]
    strangers: tuple[str, ...]
    exact: tuple[Double, ...]
    near: tuple[Double, ...]
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """True if there is nothing to repair."""
        return not self.problems

    def show(self) -> None:
        """Show the numbers as a table, and the problems as sentences."""
        rows = []
        for split, by_class in self.counts.items():
            small, large = self.sizes[split]
            rows.append({"split": split, **by_class, "smallest": f"{small[0]} x {small[1]}",
                         "largest": f"{large[0]} x {large[1]}"})  # fmt: skip
        display.table(rows, caption="Images per class, and their sizes in pixels")
        print(f"Unreadable: {len(self.unreadable)}. Not RGB: {sum(self.other_modes.values())}. "
              f"Other files: {len(self.strangers)}. Pairs with equal pixels: {len(self.exact)}. "
              f"Pairs that look alike: {len(self.near)}.")  # fmt: skip
        print("\n".join(self.problems) if self.problems else "Nothing stands in the way of training.")


def inspect(root: str | Path, *, near: int = 4) -> Report:
    """Decode every image once, and report what would spoil a training or its evaluation.

    Parameters
    ----------
    root : path
        Folder that holds ``train``, ``validation`` and ``test``.
    near : int
        Two images look alike if at most this many of the 64 bits of their difference hashes differ, and their
        miniatures of 16 x 16 pixels agree. Copies that were scaled, compressed anew or mirrored are found; copies that
        were cropped, rotated or coloured anew are not.

    Raises
    ------
    DataError
        If there is nothing to inspect: no folder, no classes, no images.
    """
    root = Path(root)
    splits = [split for split in folders.SPLITS if (root / split).exists()]
    if "train" not in splits:
        folders.class_folders(root, "train")  # says what is missing
    classes = {split: folders.class_folders(root, split) for split in splits}
    found, unreadable, sizes, modes = _decode_all(root, classes)
    problems = [f"{root / split} is missing." for split in folders.SPLITS if split not in splits]
    problems += [
        f"{root / split} holds the classes {', '.join(classes[split])}, train holds {', '.join(classes['train'])}."
        for split in splits[1:]
        if classes[split] != classes["train"]
    ]
    counts = {s: {c: sum(f.startswith(f"{s}/{c}/") for f in found) for c in classes[s]} for s in splits}
    for split, by_class in counts.items():
        least, most = min(by_class.values()), max(by_class.values())
        if most > 1.5 * least:
            problems.append(f"{root / split} is unbalanced: {most} images of one class and {least} of another.")
    problems += unreadable
    exact, alike = _doubles(found, near)
    for words, pairs in (("the same pixels", exact), ("nearly the same picture", alike)):
        leaks = [pair for pair in pairs if pair.across_splits]
        if leaks:
            problems.append(f"{len(leaks)} pair(s) in different splits show {words}, for example {leaks[0].first} and "
                            f"{leaks[0].second}; remove one of each pair.")  # fmt: skip
    strangers = tuple(
        path.relative_to(root).as_posix()
        for split in splits
        for path in sorted((root / split).rglob("*"))
        if path.is_file() and path.suffix.lower() not in folders.SUFFIXES
    )
    return Report(str(root), counts, sizes, modes, tuple(unreadable), strangers, exact, alike, tuple(problems))


def _decode_all(root: Path, classes: dict[str, tuple[str, ...]]) -> tuple[dict, list[str], dict, dict]:
    """Pixels' digest and difference hashes of every readable file; messages; extreme sizes; other modes."""
    found: dict[str, tuple[str, np.ndarray, np.ndarray, np.ndarray]] = {}
    unreadable, sizes, modes = [], {}, Counter()
    for split, names in classes.items():
        seen = []
        for name in names:
            for path in folders.images_in(root / split / name):
                try:
                    pixels = folders.decode(path)
                except DataError as error:
                    unreadable.append(str(error))
                    continue
                with Image.open(path) as file:
                    if file.mode != "RGB":
                        modes[file.mode] += 1
                seen.append(pixels.shape[1::-1])
                digest = hashlib.sha256(str(pixels.shape).encode() + pixels.tobytes()).hexdigest()
                small = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BOX)
                miniature = np.asarray(small, dtype="int16")
                found[path.relative_to(root).as_posix()] = (digest, *_difference_hash(pixels), miniature)
        area = sorted(seen, key=lambda size: size[0] * size[1])
        sizes[split] = (area[0], area[-1]) if area else ((0, 0), (0, 0))
    return found, unreadable, sizes, dict(modes)


def _difference_hash(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """64 bits each of a picture and of its mirror image: is a pixel of a 9 x 8 miniature brighter than the next one?"""
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((9, 8), Image.Resampling.BOX), dtype="int16")
    bits = small[:, 1:] > small[:, :-1]
    mirrored = small[:, ::-1][:, 1:] > small[:, ::-1][:, :-1]
    return np.packbits(bits).view(">u8")[0], np.packbits(mirrored).view(">u8")[0]


def _doubles(found: dict, near: int) -> tuple[tuple[Double, ...], tuple[Double, ...]]:
    files = list(found)
    digests = [found[file][0] for file in files]
    hashes = np.array([found[file][1] for file in files], dtype="uint64")
    mirrors = np.array([found[file][2] for file in files], dtype="uint64")
    first_with: dict[str, int] = {}
    exact = []
    for i, digest in enumerate(digests):
        if digest in first_with:
            exact.append(Double(files[first_with[digest]], files[i], -1))
        else:
            first_with[digest] = i
    alike = []
    for start in range(0, len(files), _BLOCK):
        rows = hashes[start : start + _BLOCK, None]
        distance = np.minimum(np.bitwise_count(rows ^ hashes), np.bitwise_count(rows ^ mirrors))
        for i, j in np.argwhere(distance <= near):
            a, b = start + int(i), int(j)
            if a < b and digests[a] != digests[b] and _same_miniature(found[files[a]][3], found[files[b]][3]):
                alike.append(Double(files[a], files[b], int(distance[i, j])))
    return tuple(exact), tuple(alike)


def _same_miniature(a: np.ndarray, b: np.ndarray) -> bool:
    return min(np.abs(a - b).mean(), np.abs(a - b[:, ::-1]).mean()) <= ALIKE
