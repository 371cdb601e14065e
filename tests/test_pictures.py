"""Drawn pictures: repeatable, balanced, with factors that really move the picture and do not betray the class."""

import dataclasses
import hashlib
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import cartoon, folders, picture_files, pictures

PLAIN = {
    "rotation": 0.0, "shift_x": 0.0, "shift_y": 0.0, "shear": 0.0, "zoom": 1.0, "mirrored": False, "brightness": 0.0,
    "contrast": 1.0, "light": 0.0, "blur": 0.0, "noise": 0.0, "clutter": 0, "occluders": 0,
}  # fmt: skip
NUISANCES = ("rotation", "shift_x", "shift_y", "shear", "zoom", "mirrored", "brightness", "contrast", "light", "blur",
             "noise", "clutter", "occluders", "covered", "red", "green", "blue")  # fmt: skip


def drawn(size=64, **changes):
    factors = pictures.sample(0, 3, split="train")
    return cartoon.render(dataclasses.replace(factors, **PLAIN | changes), size).astype(float)


def many(count=2000, **options):
    return [pictures.sample(i % 2, i // 2, split="train", **options) for i in range(count)]


@given(
    label=st.integers(0, 1),
    index=st.integers(0, 10**6),
    seed=st.integers(0, 10**6),
    split=st.sampled_from(pictures.SPLITS),
)
@settings(max_examples=25, deadline=None)
def test_an_address_gives_one_picture(label, index, seed, split):
    first = pictures.sample(label, index, split=split, seed=seed)
    pictures.sample(1 - label, index + 1, split=split, seed=seed)
    second = pictures.sample(label, index, split=split, seed=seed)
    assert first == second
    image = cartoon.render(first, 24)
    assert image.shape == (24, 24, 3)
    assert image.dtype == np.uint8
    assert np.array_equal(image, cartoon.render(second, 24))


def test_seeds_splits_and_indices_give_different_pictures():
    digests = {
        hashlib.sha256(cartoon.render(pictures.sample(label, index, split=split, seed=seed), 32).tobytes()).digest()
        for label in (0, 1) for index in (0, 1, 2) for split in pictures.SPLITS for seed in (0, 1)
    }  # fmt: skip
    assert len(digests) == 2 * 3 * 3 * 2


def test_a_set_is_balanced_and_agrees_with_its_factors():
    images, labels, factors = pictures.picture_set(11, size=20, split="test", seed=4)
    assert images.shape == (11, 20, 20, 3)
    assert labels.tolist() == [0, 1] * 5 + [0]
    assert [one.label for one in factors] == labels.tolist()
    assert np.array_equal(images[7], cartoon.render(factors[7], 20))


def test_mirrored_shows_the_mirror_image():
    flat = {"shift_x": 0.1, "rotation": 10.0}
    mirror = drawn(mirrored=True, shift_x=-0.1, rotation=-10.0)
    difference = np.abs(mirror[:, ::-1] - drawn(**flat)).mean()
    assert difference < 1.5  # of 255: edges of polygons fall on other pixels
    assert difference < 0.2 * np.abs(mirror - drawn(**flat)).mean()


def test_a_shift_moves_the_picture_by_its_fraction_of_the_width():
    """The band that holds the head; the background is a gradient from top to bottom and does not change sideways."""
    here, there = drawn(), drawn(shift_x=0.125)
    assert np.abs(there[:, 8:] - here[:, :-8]).mean() < 0.5
    assert np.abs(there - here).mean() > 5


def test_zoom_scales_the_animal():
    background = drawn(shift_x=5.0)
    areas = [(np.abs(drawn(zoom=zoom, shift_y=-0.2) - background).sum(axis=2) > 30).mean() for zoom in (0.5, 0.7)]
    assert areas[1] / areas[0] == pytest.approx((0.7 / 0.5) ** 2, rel=0.12)


def test_rotation_turns_about_the_head():
    upright, quarter = drawn(96, shift_y=0.04), drawn(96, rotation=90.0, shift_y=0.04)
    middle = slice(32, 64)
    turned = np.rot90(upright, -1)  # y points down: positive angles turn clockwise
    assert np.abs(turned - quarter)[middle, middle].mean() < 0.15 * np.abs(upright - quarter)[middle, middle].mean()


@pytest.mark.parametrize(
    ("change", "effect"),
    [
        ({"brightness": 30.0}, lambda a, b: b.mean() - a.mean() > 20),
        ({"contrast": 0.5}, lambda a, b: b.std() < 0.7 * a.std()),
        ({"blur": 0.03}, lambda a, b: np.abs(np.diff(b, axis=1)).max() < 0.7 * np.abs(np.diff(a, axis=1)).max()),
        ({"noise": 10.0}, lambda a, b: (b - a).std() == pytest.approx(10, rel=0.1)),
        ({"light": 0.8, "light_angle": 0.0}, lambda a, b: (b / a.clip(1))[:, -8:].mean() > 1.1 > 0.9 > (b / a.clip(1))[:, :8].mean()),
        ({"clutter": 9}, lambda a, b: np.abs(a - b).mean() > 1),
        ({"occluders": 2}, lambda a, b: np.abs(a - b).mean() > 1),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)  # fmt: skip
def test_every_nuisance_does_what_its_name_says(change, effect):
    assert effect(drawn(), drawn(**change))


@pytest.mark.parametrize("cue", pictures.CUES)
def test_every_cue_shows(cue):
    factors = dataclasses.replace(pictures.sample(0, 3, split="train"), **PLAIN)
    with_cue, without = (cartoon.render(dataclasses.replace(factors, **{cue: value}), 64) for value in (True, False))
    assert (np.abs(with_cue.astype(int) - without).sum(axis=2) > 20).sum() > 8


def test_covered_counts_the_hidden_part_of_the_head():
    for index in range(40):
        factors = pictures.sample(1, index, split="train", hardness=1.0)
        clean = dataclasses.replace(factors, **PLAIN)
        hidden = dataclasses.replace(clean, occluders=factors.occluders)
        changed = np.abs(cartoon.render(hidden, 128).astype(int) - cartoon.render(clean, 128)).sum(axis=2) > 6
        rows, columns = np.mgrid[:128, :128]
        x, y = (columns - 64) / (0.27 * 128), (rows - 0.46 * 128) / (0.27 * 128)
        head = x**2 + (y / 0.9) ** 2 <= 1
        assert changed[head].mean() == pytest.approx(factors.covered, abs=0.08)


def test_nuisances_do_not_tell_the_class():
    """Kolmogorov-Smirnov for each nuisance; with 17 tests a p-value below 0.0005 is chance once in a hundred."""
    factors = many(4000)
    for name in NUISANCES:
        cat, dog = ([float(getattr(one, name)) for one in factors if one.label == label] for label in (0, 1))
        assert scipy.stats.ks_2samp(cat, dog).pvalue > 0.0005, name


def test_pixels_of_the_background_do_not_tell_the_class():
    images, labels, _ = pictures.picture_set(600, size=16, split="train")
    corner = images[:, 0, 0].astype(float)
    for channel in corner.T:
        assert scipy.stats.ks_2samp(channel[labels == 0], channel[labels == 1]).pvalue > 0.001


@pytest.mark.parametrize(("shortcut", "warm_label"), [("background", 0), ("swapped", 1)])
def test_the_shortcut_tells_the_class(shortcut, warm_label):
    assert all((one.red > one.blue) == (one.label == warm_label) for one in many(400, shortcut=shortcut))


@pytest.mark.parametrize("hardness", [0.0, 0.5, 1.0])
def test_no_single_cue_decides_but_all_together_nearly_do(hardness):
    factors = many(hardness=hardness)
    labels = np.array([one.label for one in factors])
    log_odds = np.zeros(len(factors))
    for name, odds in pictures.CUES.items():
        shown = np.array([getattr(one, name) for one in factors])
        assert 0.5 < max(np.mean(shown == labels), np.mean(shown != labels)) < 0.93, name
        cat, dog = (0.5 + (1 - 0.25 * hardness) * (p - 0.5) for p in odds)
        log_odds += np.where(shown, np.log(dog / cat), np.log((1 - dog) / (1 - cat)))
    assert 0.90 < np.mean((log_odds > 0) == labels) < 0.999


def test_a_tripod_moves_less_and_never_mirrors():
    narrow, wide = many(600, poses="narrow"), many(600)
    assert max(abs(one.rotation) for one in narrow) <= 6 < 38 < max(abs(one.rotation) for one in wide)
    assert not any(one.mirrored for one in narrow)
    assert np.mean([one.mirrored for one in wide]) == pytest.approx(0.5, abs=0.07)


def test_harder_means_more_of_everything():
    easy, hard = many(500, hardness=0.0), many(500, hardness=1.0)
    for name in ("clutter", "occluders", "noise", "blur", "light", "covered"):
        assert np.mean([getattr(one, name) for one in hard]) > np.mean([getattr(one, name) for one in easy]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "dev"}, "unknown split 'dev'; choose one of train, validation, test"),
        ({"label": 2}, "unknown label 2"),
        ({"poses": "odd"}, "unknown poses 'odd'"),
        ({"shortcut": "tail"}, "unknown shortcut 'tail'"),
        ({"hardness": 1.5}, "hardness must lie between 0 and 1, got 1.5"),
        ({"index": -1}, "must not be negative, got -1"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_wrong_arguments_are_refused(change, message):
    arguments = {"label": 0, "index": 0, "split": "train"} | change
    with pytest.raises(ValueError, match=message):
        pictures.sample(arguments.pop("label"), arguments.pop("index"), **arguments)


def test_tiny_pictures_and_negative_counts_are_refused():
    with pytest.raises(ValueError, match="at least 16 pixels, got 15"):
        cartoon.render(pictures.sample(0, 0, split="train"), 15)
    with pytest.raises(ValueError, match="count must not be negative, got -1"):
        pictures.picture_set(-1, size=32, split="train")


COUNTS = {"train": 9, "validation": 4, "test": 5}


def files_of(root):
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return picture_files.write(tmp_path_factory.mktemp("set") / "drawn", COUNTS, size=48, processes=2, seed=7)


def test_files_lie_in_class_folders_with_their_factors(written):
    assert len(files_of(written)) == sum(COUNTS.values()) + 1
    rows = picture_files.read_factors(written, "train")
    loaded = folders.load(written, "train", size=48)
    assert tuple(row["file"] for row in rows) == loaded.files
    assert [row["label"] for row in rows] == loaded.labels.tolist()
    for row, image in zip(rows, loaded.images, strict=True):
        index = int(row["file"].split(".")[1])
        factors = pictures.sample(row["label"], index, split="train", seed=7)
        assert {k: row[k] for k in PLAIN} == {k: getattr(factors, k) for k in PLAIN}
        assert np.abs(image.astype(int) - cartoon.render(factors, 48)).mean() < 10  # what JPEG leaves


def test_the_number_of_processes_changes_nothing(written, tmp_path):
    alone = picture_files.write(tmp_path / "drawn", COUNTS, size=48, processes=1, seed=7)
    assert files_of(alone) == files_of(written)


def test_a_set_that_exists_is_left_alone(written):
    before = files_of(written)
    picture_files.write(written, {"train": 2}, size=16)
    assert files_of(written) == before


def test_two_writers_at_once_both_succeed(tmp_path):
    threads = [
        threading.Thread(
            target=picture_files.write, args=(tmp_path / "drawn", COUNTS), kwargs={"size": 16, "processes": 1}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["drawn"]
    assert len(files_of(tmp_path / "drawn")) == sum(COUNTS.values()) + 1


def test_an_interrupted_run_leaves_nothing(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(picture_files, "_write_factors", stop)
    with pytest.raises(KeyboardInterrupt):
        picture_files.write(tmp_path / "drawn", COUNTS, size=16, processes=1)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_run_leaves_no_set_under_the_name(tmp_path):
    code = f"from helpers import picture_files; picture_files.write({str(tmp_path / 'drawn')!r}, size=64, processes=1)"
    process = subprocess.Popen([sys.executable, "-c", code])
    while not list(tmp_path.glob(".drawn-*/train/cat/*.jpg")):
        assert process.poll() is None
    process.kill()
    process.wait()
    assert not (tmp_path / "drawn").exists()


def test_a_failing_process_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files.sys, "executable", "/bin/false")
    with pytest.raises(OSError, match="a process that draws pictures"):
        picture_files.write(tmp_path / "drawn", {"train": 2}, size=16)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": {"dev": 3}}, "counts must name train, validation, test"),
        ({"counts": {"train": -3}}, "numbers of pictures, got"),
        ({"hardness": 2}, "hardness must lie between 0 and 1, got 2"),
        ({"processes": 0}, "processes must be at least 1, got 0"),
    ],
    ids=str,
)
def test_nothing_is_written_for_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        picture_files.write(tmp_path / "drawn", **arguments)
    assert list(tmp_path.iterdir()) == []
