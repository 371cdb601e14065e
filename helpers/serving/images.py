"""A PNG from anywhere becomes a digit as the training data has them.

A file from the network is looked at before it is unpacked: its size stands in the first bytes, and a picture of a few
kilobytes may unpack to gigabytes (a decompression bomb).
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

SIDE = 28  # pixels of a digit's picture
BOX = 20  # pixels of the longer side of the digit itself
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PALE = 0.2  # fraction of the darkest ink below which a pixel is paper
_MAX_TEXT = 100_000  # bytes of chunks that are not pixels


class ImageError(ValueError):
    """A picture that cannot be used, and why."""


def decode_png(body: bytes, *, max_pixels: int = 4_000_000) -> np.ndarray:
    """Decode a PNG and make a digit of it.

    Parameters
    ----------
    body : bytes
        A PNG of any colour type and size; what is transparent is laid on white.
    max_pixels : int
        Width times height.

    Returns
    -------
    ndarray, uint8 (28, 28)
        As :func:`to_digit` makes it.

    Raises
    ------
    ImageError
        If it is not a PNG, truncated, damaged, animated, too large or blank.
    """
    _inspect(body, max_pixels)
    try:
        with Image.open(io.BytesIO(body), formats=["PNG"]) as picture:
            picture.load()
            grey = _grey(picture)
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        raise ImageError("The PNG is damaged: its pixels cannot be decoded.") from error
    return to_digit(grey)


def to_digit(grey: np.ndarray) -> np.ndarray:
    """Do what was done to the digits of MNIST.

    Ink becomes bright on dark, the picture is cropped to the ink, its longer side scaled to 20 pixels, and its centre of
    mass put into the middle of 28 by 28 pixels. A picture of 28 by 28 pixels with a dark border is taken for such a digit
    and goes through unchanged.

    Parameters
    ----------
    grey : ndarray, uint8 (height, width)
        Dark ink on a light ground or the reverse; the border tells which.

    Returns
    -------
    ndarray, uint8 (28, 28)

    Raises
    ------
    ImageError
        If the picture is blank.

    Notes
    -----
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner, Gradient-based learning applied to document recognition (1998), section
    III.A.
    """
    grey = np.asarray(grey)
    if grey.dtype != np.uint8 or grey.ndim != 2 or grey.size == 0:
        raise ImageError(f"A picture is uint8 (height, width), got {grey.dtype} {grey.shape}.")
    ground = int(np.median(_border(grey)))
    if grey.shape == (SIDE, SIDE) and ground == 0 and grey.any():
        return grey.copy()
    ink = np.abs(grey.astype(np.int16) - ground) if ground in (0, 255) else _ink(grey, ground)
    if ink.max() < 16:  # of 255: noise of a scanner, not a stroke
        raise ImageError("The picture is blank: nothing differs from its background.")
    ink = np.where(ink < _PALE * ink.max(), 0, ink) * (255 / ink.max())
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cropped = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.uint8)
    scale = BOX / max(cropped.shape)
    height, width = (max(1, round(n * scale)) for n in cropped.shape)
    small = np.asarray(Image.fromarray(cropped).resize((width, height), Image.Resampling.BILINEAR))
    return _centred(small)


def _inspect(body: bytes, max_pixels: int) -> None:
    """Walk through the chunks of a PNG without unpacking anything (PNG specification, section 5)."""
    if not body.startswith(_SIGNATURE):
        raise ImageError("The body is not a PNG: its first bytes are others.")
    place, first, other = len(_SIGNATURE), True, 0
    while place + 12 <= len(body):
        length, kind = struct.unpack_from(">I4s", body, place)
        if first:
            if kind != b"IHDR" or length != 13 or place + 25 > len(body):
                raise ImageError("The PNG is damaged: it does not begin with its header.")
            width, height = struct.unpack_from(">II", body, place + 8)
            if width * height > max_pixels or width == 0 or height == 0:
                raise ImageError(
                    f"The PNG has {width:,} x {height:,} pixels; between 1 and {max_pixels:,} are allowed."
                )
        if kind == b"acTL":
            raise ImageError("The PNG is animated; send a single picture.")
        if kind not in (b"IDAT", b"PLTE", b"IEND"):
            other += length
        if other > _MAX_TEXT:
            raise ImageError(f"The PNG carries more than {_MAX_TEXT:,} bytes that are not pixels.")
        place, first = place + 12 + length, False
        if kind == b"IEND" and place <= len(body):
            return
    raise ImageError("The PNG is truncated: its end is missing.")


def _grey(picture: Image.Image) -> np.ndarray:
    """Grey levels, uint8 (height, width), of a decoded picture; transparent parts are white."""
    if picture.mode.startswith("I"):  # 16 bits; Pillow would cut instead of scale
        return (np.clip(np.asarray(picture, np.int64), 0, 65535) >> 8).astype(np.uint8)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return np.asarray(picture.convert("L"))


def _border(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _ink(grey: np.ndarray, ground: int) -> np.ndarray:
    """Difference from a grey ground, on the side where it is larger: strokes are darker or brighter, shadows are both."""
    difference = grey.astype(np.int16) - ground
    return np.maximum(difference if difference.max() > -difference.min() else -difference, 0)


def _centred(small: np.ndarray) -> np.ndarray:
    """Put the centre of mass on pixel 14 (counted from 0), where MNIST has it, as far as the digit stays inside."""
    mass = small.astype(float)
    corner = []
    for axis, n in enumerate(small.shape):
        centre = float((mass.sum(axis=1 - axis) * np.arange(n)).sum() / mass.sum())
        corner.append(min(max(round(SIDE / 2 - centre), 0), SIDE - n))
    digit = np.zeros((SIDE, SIDE), np.uint8)
    digit[corner[0] : corner[0] + small.shape[0], corner[1] : corner[1] + small.shape[1]] = small
    return digit
