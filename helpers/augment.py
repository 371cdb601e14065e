"""Random affine augmentation of images by one composed warp, with randomness addressed by position.

A chain of augmentation layers (flip, rotate, shift, shear, zoom) resamples every picture once per layer. The product
of their matrices is one matrix, so one resampling is enough: cheaper, and less blurred.

The random numbers of a picture depend on ``(seed, epoch, batch)`` and on nothing else. A training that is
interrupted in epoch 7 therefore sees in epoch 7 what it would have seen.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Ranges:
    """How far each transform may go; every value is drawn uniformly, independently for each picture.

    The names and units are those of ``ImageDataGenerator`` in Keras, so that its settings can be taken over.

    Attributes
    ----------
    rotation : float
        Degrees; drawn from ``[-rotation, rotation]``.
    width_shift, height_shift : float
        Fraction of the width or height; drawn from ``[-shift, shift]``.
    shear : float
        **Degrees**, drawn from ``[-shear, shear]``. ``0.2`` does next to nothing.
    zoom : float
        Below 1; the factors for x and y are drawn *separately* from ``[1 - zoom, 1 + zoom]``.
    horizontal_flip : bool
        Mirror half of the pictures.
    """

    rotation: float = 0.0
    width_shift: float = 0.0
    height_shift: float = 0.0
    shear: float = 0.0
    zoom: float = 0.0
    horizontal_flip: bool = False

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "horizontal_flip" and not 0 <= value < np.inf:
                raise ValueError(f"{field.name} must be zero or a positive number, got {value}")
        if self.zoom >= 1:
            raise ValueError(f"zoom must be below 1 (a factor of 1 - zoom is drawn), got {self.zoom}")
        if self.shear >= 90:
            raise ValueError(f"shear must be below 90 degrees, got {self.shear}")


ARTICLE = Ranges(rotation=40, width_shift=0.2, height_shift=0.2, shear=0.2, zoom=0.2, horizontal_flip=True)


def draw(ranges: Ranges, count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Draw the parameters of ``count`` transforms.

    Returns
    -------
    dict of ndarray, each of shape (count,)
        Keyword arguments of :func:`matrices`: ``rotation`` and ``shear`` in degrees, ``shift_x`` and ``shift_y`` as
        fractions, ``zoom_x`` and ``zoom_y`` as factors, ``flip`` as bool.

    Notes
    -----
    All numbers are always drawn, used or not: two settings with the same generator rotate alike if both rotate.
    """

    def symmetric(limit: float) -> np.ndarray:
        return rng.uniform(-1, 1, count) * limit

    return {
        "rotation": symmetric(ranges.rotation),
        "shift_x": symmetric(ranges.width_shift),
        "shift_y": symmetric(ranges.height_shift),
        "shear": symmetric(ranges.shear),
        "zoom_x": 1 + symmetric(ranges.zoom),
        "zoom_y": 1 + symmetric(ranges.zoom),
        "flip": (rng.uniform(0, 1, count) < 0.5) & ranges.horizontal_flip,
    }


def matrices(
    height: int,
    width: int,
    *,
    rotation: np.ndarray | float = 0.0,
    shift_x: np.ndarray | float = 0.0,
    shift_y: np.ndarray | float = 0.0,
    shear: np.ndarray | float = 0.0,
    zoom_x: np.ndarray | float = 1.0,
    zoom_y: np.ndarray | float = 1.0,
    flip: np.ndarray | bool = False,
) -> np.ndarray:
    """Compose the transforms into one matrix per picture, about the centre of the picture.

    A matrix says where an output pixel comes from: ``(x_in, y_in, 1) = M (x_out, y_out, 1)``, with
    ``M = rotation . shift . shear . zoom . flip``. This is the order of ``ImageDataGenerator``. Because M goes from
    output to input, a zoom factor above 1 shows *more* of the scene, smaller.

    Parameters
    ----------
    height, width : int
        Size of the pictures in pixels.
    rotation, shear : float or ndarray of shape (n,)
        Degrees.
    shift_x, shift_y : float or ndarray of shape (n,)
        Fraction of width and height.
    zoom_x, zoom_y : float or ndarray of shape (n,)
        Factors, positive.
    flip : bool or ndarray of shape (n,)
        Mirror left and right.

    Returns
    -------
    ndarray of shape (n, 8), float32
        Rows ``(a0, a1, a2, b0, b1, b2, 0, 0)``: the form that ``keras.ops.image.affine_transform`` takes.
    """
    parameters = (rotation, shift_x, shift_y, shear, zoom_x, zoom_y, flip)
    rotation, shift_x, shift_y, shear, zoom_x, zoom_y, flip = np.broadcast_arrays(*map(np.atleast_1d, parameters))
    zero, one = np.zeros(len(rotation)), np.ones(len(rotation))
    cos, sin = np.cos(np.deg2rad(rotation)), np.sin(np.deg2rad(rotation))
    lean_x, lean_y = np.sin(np.deg2rad(shear)), np.cos(np.deg2rad(shear))
    centre_x, centre_y = (width - 1) / 2 * one, (height - 1) / 2 * one
    product = (
        _affine(one, zero, centre_x, zero, one, centre_y)
        @ _affine(cos, -sin, zero, sin, cos, zero)
        @ _affine(one, zero, shift_x * width, zero, one, shift_y * height)
        @ _affine(one, -lean_x, zero, zero, lean_y, zero)
        @ _affine(np.where(flip, -zoom_x, zoom_x), zero, zero, zero, zoom_y, zero)
        @ _affine(one, zero, -centre_x, zero, one, -centre_y)
    )
    return np.concatenate([product[:, :2].reshape(-1, 6), np.zeros((len(product), 2))], axis=1).astype("float32")


def warp(images: Any, transforms: Any) -> Any:
    """Resample each picture once, bilinearly; what lies outside takes the value of the nearest edge pixel.

    Parameters
    ----------
    images : tensor or ndarray of shape (n, height, width, channels)
        Any real dtype.
    transforms : tensor or ndarray of shape (n, 8)
        From :func:`matrices`.

    Returns
    -------
    tensor of shape (n, height, width, channels), float32
        On whatever backend Keras uses. It also works inside a ``tf.data`` pipeline (TensorFlow backend).
    """
    from keras import ops

    images = ops.cast(images, "float32")
    return ops.image.affine_transform(images, transforms, interpolation="bilinear", fill_mode="nearest")


def _affine(a0: np.ndarray, a1: np.ndarray, a2: np.ndarray, b0: np.ndarray, b1: np.ndarray, b2: np.ndarray) -> Any:
    """Matrices (n, 3, 3) from their first two rows, each entry of shape (n,)."""
    zero, one = np.zeros(len(a0)), np.ones(len(a0))
    return np.stack([a0, a1, a2, b0, b1, b2, zero, zero, one], axis=1).reshape(-1, 3, 3)
