"""Draw a cat or a dog from known factors: polygons moved by the pose, then light, blur and noise as a camera adds them."""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

if TYPE_CHECKING:
    from helpers.pictures import Factors


def render(factors: Factors, size: int) -> np.ndarray:
    """Draw a picture from its factors.

    Shapes are polygons, moved by the pose *before* they are drawn (at twice the size, then reduced): no resampling.

    Returns
    -------
    ndarray of shape (size, size, 3), uint8
        The same factors and size give the same array.
    """
    if size < 16:
        raise ValueError(f"size must be at least 16 pixels, got {size}")
    rng = np.random.default_rng([2, *factors.seed])
    scene = _Scene(2 * size, factors)
    _background(scene, factors, rng)
    _animal(scene, factors, rng)
    for shape, colour in zip(
        _occluder_shapes(factors.seed, factors.occluders), rng.uniform(0, 1, (2, 3)), strict=False
    ):
        scene.polygon(shape, rgb(colour[0], 0.2 + 0.3 * colour[1], 0.25 + 0.5 * colour[2]))
    picture = scene.image.reduce(2)
    if factors.blur:
        picture = picture.filter(ImageFilter.GaussianBlur(factors.blur * size))
    return _expose(np.asarray(picture, dtype="float32"), factors, rng)


class _Scene:
    """A canvas in units of the head's half width: the origin is the middle of the head, y points down."""

    def __init__(self, pixels: int, factors: Factors) -> None:
        self.pixels = pixels
        self.image = Image.new("RGB", (pixels, pixels))
        self.draw = ImageDraw.Draw(self.image)
        angle, lean = np.deg2rad([factors.rotation, factors.shear])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        pose = turn @ np.array([[1.0, np.tan(lean)], [0.0, 1.0]]) * (0.27 * factors.zoom * pixels)
        self.matrix = pose @ np.diag([-1.0 if factors.mirrored else 1.0, 1.0])
        self.offset = pixels * np.array([0.5 + factors.shift_x, 0.46 + factors.shift_y])

    def polygon(self, points: np.ndarray, colour: tuple[int, int, int]) -> None:
        """Fill a polygon of shape (n, 2), given in the head's frame."""
        self.draw.polygon((points @ self.matrix.T + self.offset).ravel().tolist(), fill=colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: tuple[int, int, int], tilt: float = 0) -> None:
        """Fill an ellipse in the head's frame; ``tilt`` in degrees."""
        self.polygon(_ellipse(x, y, rx, ry, tilt), colour)


_CIRCLE = np.stack([np.cos(np.linspace(0, 2 * np.pi, 41)[:-1]), np.sin(np.linspace(0, 2 * np.pi, 41)[:-1])], axis=1)


def _ellipse(x: float, y: float, rx: float, ry: float, tilt: float = 0) -> np.ndarray:
    angle = np.deg2rad(tilt)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return _CIRCLE * [rx, ry] @ turn.T + [x, y]


def rgb(hue: float, saturation: float, value: float) -> tuple[int, int, int]:
    return tuple(round(255 * channel) for channel in colorsys.hsv_to_rgb(hue % 1, saturation, value))


def _shade(colour: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """Darker below 1; above 1 towards white."""
    if factor <= 1:
        return tuple(round(channel * factor) for channel in colour)
    return tuple(round(255 - (255 - channel) * (2 - factor)) for channel in colour)


def _background(scene: _Scene, factors: Factors, rng: np.random.Generator) -> None:
    """A gradient from light to dark, and clutter: soft shapes that stand where they like."""
    ground = (factors.red, factors.green, factors.blue)
    bands = 24
    for band in range(bands):
        top, bottom = (scene.pixels * k / bands for k in (band, band + 1))
        scene.draw.rectangle((0, top, scene.pixels, bottom), fill=_shade(ground, 1.25 - 0.45 * band / bands))
    for _ in range(factors.clutter):
        x, y = rng.uniform(0, scene.pixels, 2)
        long, wide = rng.uniform(0.05, 0.22) * scene.pixels, rng.uniform(0.03, 0.10) * scene.pixels
        points = _ellipse(x, y, long, wide, rng.uniform(0, 180))
        if rng.random() < 0.5:
            points = points[::10]  # four corners
        hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255 for channel in ground))
        colour = rgb(hue + rng.normal(0, 0.06), saturation * rng.uniform(0.5, 1.3) % 1, value * rng.uniform(0.55, 1.1))
        scene.draw.polygon(points.ravel().tolist(), fill=tuple(min(255, channel) for channel in colour))


_COATS = ((0.08, 0.45, 0.80), (0.07, 0.60, 0.55), (0.09, 0.15, 0.90), (0.08, 0.25, 0.38), (0.62, 0.08, 0.60),
          (0.06, 0.65, 0.72), (0.10, 0.35, 0.92), (0.07, 0.10, 0.22))  # fmt: skip


def _animal(scene: _Scene, factors: Factors, rng: np.random.Generator) -> None:
    """Body, ears, head and face. Coat, eyes and proportions do not depend on the class."""
    hue, saturation, value = _COATS[rng.integers(len(_COATS))]
    coat = rgb(hue + rng.normal(0, 0.01), saturation, min(1.0, value * rng.uniform(0.9, 1.1)))
    dark, pale = _shade(coat, 0.72), _shade(coat, 1.45)
    width, turned = rng.uniform(0.92, 1.1), rng.uniform(0.10, 0.22)
    scene.ellipse(-0.25, 1.95, 1.15, 1.25, dark)
    scene.ellipse(-0.15, 1.85, 0.95, 1.15, coat)
    scene.ellipse(0.0, 1.75, 0.45, 0.75, pale)
    if not factors.floppy_ears:
        for side in (-1, 1):
            outer = np.array([[0.95 * side, -0.25], [0.18 * side, -0.78], [0.78 * side, -1.42 + 0.1 * side * turned]])
            scene.polygon(outer * [width, 1], dark)
            scene.polygon((outer * 0.72 + [0.17 * side, -0.17]) * [width, 1], _shade((214, 150, 140), 1.1))
    scene.ellipse(0, 0.03, width, 0.93, dark)
    scene.ellipse(0.02, -0.03, 0.95 * width, 0.86, coat)
    if factors.stripes:
        for k in (-1, 0, 1):
            x = 0.24 * k + turned * 0.5
            scene.polygon(np.array([[x - 0.07, -0.86], [x + 0.07, -0.86], [x * 0.8, -0.42]]), dark)
        for side in (-1, 1):
            stripe = np.array([[0.95 * width * side, 0.12], [0.95 * width * side, 0.26], [0.6 * side, 0.2]])
            scene.polygon(stripe, dark)
    if factors.floppy_ears:
        for side in (-1, 1):
            scene.ellipse(0.93 * side * width, 0.02, 0.30, 0.66, dark, tilt=-16 * side)
            scene.ellipse(0.96 * side * width, 0.10, 0.19, 0.50, _shade(dark, 0.85), tilt=-16 * side)
    _face(scene, factors, turned, coat, rng)


def _face(scene: _Scene, factors: Factors, x: float, coat: tuple[int, int, int], rng: np.random.Generator) -> None:
    """Eyes, muzzle, nose, mouth and whiskers, moved sideways by ``x``: the head is turned."""
    pale, ink = _shade(coat, 1.5), (38, 30, 30)
    if factors.eye_patch:
        scene.ellipse(x + 0.40, -0.20, 0.33, 0.36, _shade(coat, 0.55), tilt=12)
    iris = rgb(rng.uniform(0.08, 0.55), 0.55, 0.75)
    for side in (-1, 1):
        eye = x + 0.40 * side
        scene.ellipse(eye, -0.18, 0.20, 0.17, (245, 244, 238))
        scene.ellipse(eye, -0.18, 0.155, 0.16, iris)
        scene.ellipse(eye, -0.18, 0.045 if factors.slit_pupils else 0.105, 0.14 if factors.slit_pupils else 0.11, ink)
        scene.ellipse(eye + 0.05, -0.24, 0.035, 0.035, (255, 255, 255))
    if factors.long_muzzle:
        scene.ellipse(x * 1.6, 0.44, 0.50, 0.46, _shade(pale, 0.9))
        scene.ellipse(x * 1.6, 0.40, 0.47, 0.42, pale)
    else:
        for side in (-1, 1):
            scene.ellipse(x * 1.2 + 0.19 * side, 0.40, 0.24, 0.19, pale)
    x, y = (x * 1.7, 0.22) if factors.long_muzzle else (x * 1.25, 0.26)
    nose = np.array([x, y])
    if factors.tongue:
        scene.ellipse(x, y + 0.48, 0.13, 0.22, (222, 110, 120))
    for side in (-1, 1):
        curve = np.array([[0, 0.24], [0.10, 0.33], [0.24, 0.30], [0.24, 0.34], [0.10, 0.37], [0, 0.29]])
        scene.polygon(curve * [side, 1] + nose, ink)
    scene.polygon(np.array([[-0.02, 0.05], [0.02, 0.05], [0.02, 0.28], [-0.02, 0.28]]) + nose, ink)
    if factors.big_nose:
        scene.ellipse(x, y, 0.19, 0.13, ink)
        scene.ellipse(x - 0.05, y - 0.05, 0.05, 0.03, (120, 112, 112))
    else:
        scene.polygon(np.array([[-0.11, -0.05], [0.11, -0.05], [0, 0.09]]) + nose, (206, 120, 124))
    if factors.whiskers:
        for side in (-1, 1):
            for k in (-1, 0, 1):
                hair = np.array(
                    [[0.22, 0.1 + 0.05 * k], [0.95, 0.06 + 0.2 * k], [0.95, 0.09 + 0.2 * k], [0.22, 0.13 + 0.05 * k]]
                )
                scene.polygon(hair * [side, 1] + nose + [0, 0.06], (250, 248, 240) if sum(coat) < 480 else (70, 60, 58))


def _occluder_shapes(address: tuple[int, ...], count: int) -> list[np.ndarray]:
    """Leaves and posts in front of the head, in the head's frame."""
    rng = np.random.default_rng([3, *address])
    shapes = []
    for _ in range(count):
        x, y = rng.uniform(-0.9, 0.9, 2)
        if rng.random() < 0.5:
            shapes.append(_ellipse(x, y, rng.uniform(0.4, 0.8), rng.uniform(0.18, 0.34), rng.uniform(0, 180)))
        else:
            shapes.append(_ellipse(x, y, 3.0, rng.uniform(0.12, 0.22), rng.uniform(0, 180))[[3, 17, 23, 37]])
    return shapes


_HEAD = np.stack(np.meshgrid(np.linspace(-1, 1, 21), np.linspace(-0.9, 0.9, 19)), axis=-1).reshape(-1, 2)
_HEAD = _HEAD[(_HEAD**2 / [1, 0.81]).sum(axis=1) <= 1]


def covered(address: tuple[int, ...], count: int) -> float:
    """Fraction of the head's ellipse that lies behind occluders, on a grid of points."""
    hidden = np.zeros(len(_HEAD), bool)
    for shape in _occluder_shapes(address, count):
        edge = np.roll(shape, -1, axis=0) - shape
        away = _HEAD[:, None] - shape
        hidden |= (edge[:, 0] * away[..., 1] - edge[:, 1] * away[..., 0] >= 0).all(axis=1)  # convex, one orientation
    return round(float(hidden.mean()), 4)


def _expose(picture: np.ndarray, factors: Factors, rng: np.random.Generator) -> np.ndarray:
    """Contrast, brightness, light from one side, and noise: what a camera adds."""
    size = len(picture)
    across = np.linspace(-0.5, 0.5, size, dtype="float32")
    angle = np.deg2rad(factors.light_angle)
    lamp = 1 + factors.light * (np.cos(angle) * across[None, :] + np.sin(angle) * across[:, None])
    picture = (picture - 128) * factors.contrast + (128 + factors.brightness)
    picture *= lamp[..., None].astype("float32")
    picture += factors.noise * rng.standard_normal((size, size, 1), dtype="float32")
    return np.clip(picture, 0, 255).round().astype("uint8")
