"""Input statistics, and pictures from anywhere."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from helpers import datasets
from helpers.serving import drift
from helpers.serving.drift import InputMonitor, summarise
from helpers.serving.images import ImageError, decode_png, to_digit

TENTHS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
UNIFORM = {
    "n": 1000,
    "deciles": dict.fromkeys(drift.FEATURES, TENTHS),
    "shares": {name: [0.1] * 10 for name in drift.FEATURES},
}


def pictures(n: int, seed: int, brightness: float = 1.0) -> np.ndarray:
    """Pictures whose mean intensity and share of ink vary from one to the next, uint8 (n, 8, 8)."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.1, 0.9, (n, 1, 1))
    level = rng.uniform(100, 200, (n, 1, 1)) * brightness
    return np.clip((rng.random((n, 8, 8)) < share) * level, 0, 255).astype(np.uint8)


# --- drift ----------------------------------------------------------------------------------------------------------
def test_the_statistics_are_deciles():
    images = pictures(5000, 0)
    found = summarise(images)
    assert found["n"] == 5000
    means = images.reshape(5000, -1).mean(axis=1) / 255
    ink = (images.reshape(5000, -1) > 64).mean(axis=1)
    np.testing.assert_allclose(found["deciles"]["mean_intensity"], np.quantile(means, np.arange(0.1, 0.95, 0.1)))
    np.testing.assert_allclose(found["deciles"]["ink_share"], np.quantile(ink, np.arange(0.1, 0.95, 0.1)))


@pytest.mark.parametrize(
    "images", [np.zeros((99, 8, 8), np.uint8), np.zeros((200, 64), np.uint8), np.zeros((200, 8, 8))]
)
def test_statistics_of_something_else_are_refused(images):
    with pytest.raises(ValueError, match=r"the statistics need uint8 images \(n, height, width\)"):
        summarise(images)


def test_the_index_is_the_formula():
    """A tenth of the training images in each bin, and 500 that all fall into the first: p is 1, and 0.001 for empty bins."""
    monitor = InputMonitor(UNIFORM)
    monitor.add(np.zeros((500, 8, 8), np.uint8))
    expected = 0.9 * np.log(10) + 9 * (0.001 - 0.1) * np.log(0.001 / 0.1)
    assert monitor.score() == pytest.approx(dict.fromkeys(drift.FEATURES, expected))
    assert monitor.alarm


def test_the_same_input_raises_no_alarm_and_another_one_does():
    monitor = InputMonitor(summarise(pictures(5000, 0)))
    monitor.add(pictures(500, 1))
    assert max(monitor.score().values()) < 0.1
    assert not monitor.alarm
    monitor.add(pictures(500, 2, brightness=0.5))
    assert monitor.score()["mean_intensity"] > 0.25
    assert monitor.alarm
    monitor.add(pictures(500, 3))  # the window forgets
    assert not monitor.alarm


def test_each_feature_is_watched_by_itself():
    """Brighter ink, the same amount of it: one index rises, the other does not."""
    monitor = InputMonitor(summarise(pictures(5000, 0)))
    monitor.add(pictures(500, 1, brightness=1.6))
    assert monitor.score()["mean_intensity"] > 0.25
    assert monitor.score()["ink_share"] < 0.1


def test_faint_pixels_are_no_ink():
    """64 of 255 is paper, 65 is ink."""
    images = np.zeros((2, 4, 4), np.uint8)
    images[0, :2], images[1, :2] = 64, 65
    np.testing.assert_allclose(drift.features(images), [[32 / 255, 0.0], [32.5 / 255, 0.5]])


def test_few_images_have_no_score():
    monitor = InputMonitor(summarise(pictures(1000, 0)))
    monitor.add(pictures(99, 1, brightness=0.2))
    assert monitor.score() == {"mean_intensity": None, "ink_share": None}
    assert not monitor.alarm
    monitor.add(pictures(1, 2))
    assert monitor.score()["mean_intensity"] is not None


def test_the_window_holds_the_latest_images():
    monitor = InputMonitor(summarise(pictures(1000, 0)), window=200)
    one_by_one = InputMonitor(summarise(pictures(1000, 0)), window=200)
    images = pictures(700, 1)
    monitor.add(images)
    for image in images[-200:]:
        one_by_one.add(image[None])
    assert monitor.score() == one_by_one.score()


def test_deciles_that_are_equal_are_no_alarm():
    """Most pictures of this training set have no ink at all: several deciles are zero."""
    images = pictures(2000, 0)
    images[:1200] = 0
    monitor = InputMonitor(summarise(images))
    monitor.add(images[np.random.default_rng(1).permutation(2000)][:500])
    assert max(monitor.score().values()) < 0.1
    monitor.add(pictures(500, 1))
    assert monitor.alarm


@pytest.mark.parametrize(
    "change",
    [
        {"deciles": None},
        {"deciles": {}},
        {"shares": {}},
        {"deciles": {name: [0.1, 0.2] for name in drift.FEATURES}},
        {"deciles": {name: [0.9, *TENTHS[1:]] for name in drift.FEATURES}},
        {"deciles": dict.fromkeys(drift.FEATURES, "nine")},
        {"shares": {name: [0.1] * 9 for name in drift.FEATURES}},
        {"shares": {name: [0.2] * 10 for name in drift.FEATURES}},
    ],
)
def test_damaged_statistics_are_refused(change):
    with pytest.raises(ValueError, match="must come from helpers"):
        InputMonitor({**UNIFORM, **change})


# --- pictures -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def digits():
    (images, _), _ = datasets.load_mnist()
    return images[:300]


def png(array: np.ndarray, mode: str | None = None, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, "PNG", **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def written(
    side: int = 200, ink: int = 0, paper: int = 255, at: tuple[int, int] = (0, 0), mode: str = "L"
) -> Image.Image:
    """A 7 drawn with a pen."""
    picture = Image.new("L", (side, side), paper)
    x, y = at
    ImageDraw.Draw(picture).line([(60 + x, 50 + y), (130 + x, 50 + y), (90 + x, 150 + y)], fill=ink, width=12)
    return picture.convert(mode)


def test_a_digit_of_the_training_data_goes_through_unchanged(digits):
    for digit in digits:
        np.testing.assert_array_equal(to_digit(digit), digit)
        np.testing.assert_array_equal(decode_png(png(digit)), digit)


def test_what_was_done_to_mnist_is_done_again(digits):
    """Digits enlarged, inverted and moved come back nearly as they were."""
    alike = []
    for digit in digits:
        large = np.asarray(Image.fromarray(digit).resize((140, 140), Image.Resampling.BICUBIC))
        page = np.full((300, 260), 255, np.uint8)
        page[30:170, 90:230] = 255 - large
        alike.append(np.corrcoef(digit.ravel(), to_digit(page).ravel())[0, 1])
    # Where rounding of the centre falls to the other side, a digit comes back moved by a pixel.
    assert np.mean(alike) > 0.93
    assert np.mean(np.array(alike) < 0.85) < 0.1


def test_the_digit_is_20_pixels_long_and_its_mass_is_in_the_middle():
    picture = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(picture).polygon([(60, 50), (120, 80), (70, 150)], fill=0)
    found = to_digit(np.asarray(picture))
    rows, columns = np.flatnonzero(found.any(axis=1)), np.flatnonzero(found.any(axis=0))
    assert rows[-1] - rows[0] + 1 == 20
    assert columns[-1] - columns[0] + 1 == 12
    assert found.max() > 200
    for axis in (0, 1):
        mass = found.sum(axis=1 - axis, dtype=float)
        assert abs((mass * np.arange(28)).sum() / mass.sum() - 14) <= 0.51


def test_mnist_has_its_mass_where_we_put_it(digits):
    mass = digits.astype(float)
    for axis in (1, 2):
        centre = (mass.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / mass.sum(axis=(1, 2))
        assert abs(centre.mean() - 14) < 0.1


@pytest.mark.parametrize(
    "change",
    [{"at": (50, 30)}, {"ink": 255, "paper": 0}, {"ink": 80}, {"ink": 60, "paper": 200}, {"ink": 250, "paper": 40}],
)
def test_place_polarity_and_contrast_do_not_matter(change):
    plain, other = to_digit(np.asarray(written())), to_digit(np.asarray(written(**change)))
    assert np.corrcoef(plain.ravel(), other.ravel())[0, 1] > 0.99
    assert abs(int(plain.max()) - int(other.max())) <= 12


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_colour_type_gives_the_same_digit(mode):
    sixteen_bits = Image.fromarray(np.asarray(written()).astype(np.uint16) * 256 + 77)
    picture = sixteen_bits if mode == "I;16" else written(mode=mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    found = decode_png(file.getvalue())
    assert np.corrcoef(found.ravel(), to_digit(np.asarray(written())).ravel())[0, 1] > 0.99


def test_what_is_transparent_is_white():
    """A canvas of a browser is transparent black where nothing was drawn."""
    ink = 255 - np.asarray(written())
    canvas = np.zeros((200, 200, 4), np.uint8)
    canvas[..., 3] = ink
    np.testing.assert_allclose(decode_png(png(canvas)).astype(int), to_digit(np.asarray(written())).astype(int), atol=3)


@pytest.mark.parametrize("value", [0, 90, 255])
@pytest.mark.parametrize("side", [28, 100])
def test_a_blank_picture_is_refused(value, side):
    with pytest.raises(ImageError, match="is blank"):
        to_digit(np.full((side, side), value, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 3)])
def test_tiny_pictures_do_no_harm(shape):
    grey = np.full(shape, 255, np.uint8)
    grey[shape[0] // 2, shape[1] // 2] = 0
    try:
        assert to_digit(grey).shape == (28, 28)
    except ImageError as error:
        assert "blank" in str(error)  # noqa: PT017


@pytest.mark.parametrize("wrong", [np.zeros((28, 28)), np.zeros((28, 28, 3), np.uint8), np.zeros((0, 5), np.uint8)])
def test_something_else_than_grey_levels_is_refused(wrong):
    with pytest.raises(ImageError, match=r"uint8 \(height, width\)"):
        to_digit(wrong)


# --- files that attack ----------------------------------------------------------------------------------------------
GOOD = png(np.asarray(written()))


def test_every_truncation_is_told():
    for length in range(len(GOOD)):
        with pytest.raises(ImageError):
            decode_png(GOOD[:length])
    assert decode_png(GOOD).shape == (28, 28)


def bomb(width: int, height: int, content: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_is_unpacked():
    """Sixty kilobytes that would become sixty megabytes, and sizes that nobody can hold."""
    content = zlib.compress(bytes(60_000_000), 9)
    assert len(content) < 100_000
    before = psutil.Process().memory_info().rss
    for width, height in ((7745, 7745), (2**31 - 1, 2**31 - 1), (4_000_001, 1), (0, 5), (5, 0)):
        with pytest.raises(ImageError, match=f"has {width:,} x {height:,} pixels"):
            decode_png(bomb(width, height, content))
    assert psutil.Process().memory_info().rss - before < 20_000_000


def test_a_small_picture_with_too_much_data_is_harmless():
    """The header says 28 by 28, the data unpacks to sixty megabytes: what is too much is not unpacked."""
    before = psutil.Process().memory_info().rss
    try:
        decode_png(bomb(28, 28, zlib.compress(bytes(60_000_000), 9)))
    except ImageError:
        pass
    assert psutil.Process().memory_info().rss - before < 20_000_000


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not a PNG"),
        (b"GIF89a" + bytes(50), "not a PNG"),
        (b"\xff\xd8\xff" + bytes(50), "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", b"") + chunk(b"IEND", b""), "does not begin with its header"),
        (bomb(28, 28, b"junk"), "damaged"),
        (bomb(28, 28), "damaged"),
        (bomb(28, 28, zlib.compress(b"short")), "damaged"),
        (GOOD[:33] + chunk(b"tEXt", bytes(200_000)) + GOOD[33:], "not pixels"),
        (GOOD[:33] + chunk(b"acTL", struct.pack(">II", 2, 0)) + GOOD[33:], "animated"),
    ],
)
def test_each_bad_file_has_its_sentence(body, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode_png(body)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_an_animated_file_of_pillow_is_refused():
    file = io.BytesIO()
    written().save(file, "PNG", save_all=True, append_images=[written(at=(20, 0))])
    with pytest.raises(ImageError, match="animated"):
        decode_png(file.getvalue())


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(8, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_changed_bytes_are_a_digit_or_one_sentence(changes):
    body = bytearray(GOOD)
    for place, value in changes:
        body[place] = value
    try:
        assert decode_png(bytes(body)).shape == (28, 28)
    except ImageError as error:
        assert str(error).endswith(".")  # noqa: PT017
