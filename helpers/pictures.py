"""Drawn pictures of cats and dogs whose every factor is known: class, cues, pose, light, background, clutter.

They are cartoons, made so that every machine has a picture set without a network. Because the factors are known,
errors can be counted by factor, and a shortcut can be planted. Each picture has its own random stream, addressed by
``(seed, split, class, index)``: neither the order of drawing nor the number of processes changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from helpers import cartoon

CLASSES = ("cat", "dog")
SPLITS = ("train", "validation", "test")
SHORTCUTS = (None, "background", "swapped")
# Probability of each cue for a cat and for a dog. None decides; hardness moves both towards one half.
CUES = {
    "floppy_ears": (0.08, 0.80),
    "long_muzzle": (0.10, 0.85),
    "slit_pupils": (0.75, 0.08),
    "whiskers": (0.82, 0.12),
    "stripes": (0.45, 0.12),
    "eye_patch": (0.12, 0.40),
    "big_nose": (0.10, 0.85),
    "tongue": (0.08, 0.45),
}
# Largest rotation (degrees), shift (fraction of the width), shear (degrees) and zoom (factor) of each kind of pose.
POSES = {"wide": (40.0, 0.20, 11.0, 1.25), "narrow": (6.0, 0.04, 2.0, 1.06)}


@dataclass(frozen=True)
class Factors:
    """What a picture shows. ``label`` is 0 for a cat and 1 for a dog; cues are bool; the rest does not depend on the class.

    ``rotation`` and ``shear`` are in degrees, shifts in fractions of the width, ``zoom`` is a factor; ``brightness`` is
    added (of 255), ``contrast`` multiplies about the middle; ``light`` is the relative change from edge to edge,
    ``blur`` a fraction of the width, ``noise`` a standard deviation (of 255); ``covered`` is the fraction of the head
    behind occluders; ``red``, ``green``, ``blue`` are the background's colour (0 to 255).
    """

    label: int
    floppy_ears: bool
    long_muzzle: bool
    slit_pupils: bool
    whiskers: bool
    stripes: bool
    eye_patch: bool
    big_nose: bool
    tongue: bool
    rotation: float
    shift_x: float
    shift_y: float
    shear: float
    zoom: float
    mirrored: bool
    brightness: float
    contrast: float
    light: float
    light_angle: float
    blur: float
    noise: float
    clutter: int
    occluders: int
    covered: float
    red: int
    green: int
    blue: int
    seed: tuple[int, ...]


def sample(
    label: int, index: int, *, split: str, seed: int = 0, poses: str = "wide", hardness: float = 0.5,
    shortcut: str | None = None,
) -> Factors:  # fmt: skip
    """Draw the factors of one picture.

    Parameters
    ----------
    label : {0, 1}
        Cat or dog.
    index, seed : int
        Not negative. The same address gives the same picture.
    split : {"train", "validation", "test"}
        Pictures of different splits never share a random stream.
    poses : {"wide", "narrow"}
        ``narrow`` is a camera on a tripod: hardly any rotation or shift, and the head is always turned the same way.
    hardness : float
        From 0 to 1: more clutter, occlusion, blur and noise, and cues that tell less.
    shortcut : {None, "background", "swapped"}
        ``background`` puts cats on warm and dogs on cold colours, ``swapped`` the other way round.

    Raises
    ------
    ValueError
        For a value outside the ones listed.
    """
    _check(label, index, split, seed, poses, hardness, shortcut)
    address = (seed, SPLITS.index(split), label, index)
    rng = np.random.default_rng([1, *address])
    weaker = 1 - 0.25 * hardness
    cues = {name: bool(rng.random() < 0.5 + weaker * (odds[label] - 0.5)) for name, odds in CUES.items()}
    turn, shift, shear, zoom = POSES[poses]
    mirrored = rng.random() < 0.5
    pose = {
        "rotation": rng.uniform(-turn, turn),
        "shift_x": rng.uniform(-shift, shift),
        "shift_y": rng.uniform(-shift, shift),
        "shear": rng.uniform(-shear, shear),
        "zoom": zoom ** rng.uniform(-1, 1),
        "mirrored": bool(mirrored and poses == "wide"),
    }
    light = {
        "brightness": rng.uniform(-40, 40) * hardness,
        "contrast": 1 + rng.uniform(-0.5, 0.3) * hardness,
        "light": rng.uniform(0, 0.8) * hardness,
        "light_angle": rng.uniform(0, 360),
        "blur": rng.uniform(0, 0.014) * hardness if rng.random() < 0.4 else 0.0,
        "noise": rng.uniform(0, 16) * hardness,
    }
    clutter = int(rng.integers(1, 3 + round(8 * hardness)))
    occluders = int(rng.random() < 0.6 * hardness) + int(rng.random() < 0.4 * hardness)
    hue = rng.uniform(0, 1)
    if shortcut is not None:
        warm = (label == 0) == (shortcut == "background")
        hue = rng.uniform(0.03, 0.13) if warm else rng.uniform(0.52, 0.64)
    red, green, blue = cartoon.rgb(hue, rng.uniform(0.25, 0.55), rng.uniform(0.45, 0.85))
    return Factors(
        label, **cues, **pose, **light, clutter=clutter, occluders=occluders,
        covered=cartoon.covered(address, occluders), red=red, green=green, blue=blue, seed=address,
    )  # fmt: skip


def _check(label: int, index: int, split: str, seed: int, poses: str, hardness: float, shortcut: str | None) -> None:
    for name, value, allowed in (
        ("label", label, (0, 1)), ("split", split, SPLITS), ("poses", poses, tuple(POSES)),
        ("shortcut", shortcut, SHORTCUTS),
    ):  # fmt: skip
        if value not in allowed:
            raise ValueError(f"unknown {name} {value!r}; choose one of {', '.join(map(str, allowed))}")
    if not 0 <= hardness <= 1:
        raise ValueError(f"hardness must lie between 0 and 1, got {hardness}")
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got {index} and {seed}")


def picture_set(
    count: int, *, size: int, split: str, seed: int = 0, poses: str = "wide", hardness: float = 0.5,
    shortcut: str | None = None,
) -> tuple[np.ndarray, np.ndarray, list[Factors]]:  # fmt: skip
    """Draw ``count`` pictures, cats and dogs in turn.

    Returns
    -------
    images : ndarray of shape (count, size, size, 3), uint8
    labels : ndarray of shape (count,), int64
    factors : list of Factors
    """
    if count < 0:
        raise ValueError(f"count must not be negative, got {count}")
    options = {"split": split, "seed": seed, "poses": poses, "hardness": hardness, "shortcut": shortcut}
    factors = [sample(i % 2, i // 2, **options) for i in range(count)]
    images = np.zeros((count, size, size, 3), "uint8")
    for image, one in zip(images, factors, strict=True):
        image[:] = cartoon.render(one, size)
    return images, np.array([one.label for one in factors], "int64"), factors
