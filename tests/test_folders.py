"""Folders of images: fixed order, one clear sentence for every way in which they can be wrong, and a pre-flight report."""

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from helpers import folders, pictures, preflight
from helpers.datasets import DataError


def save(path, seed=0, mode="RGB", size=(40, 30), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    coarse.convert(mode).save(path, **options)
    return path


@pytest.fixture
def root(tmp_path):
    for s, split in enumerate(folders.SPLITS):
        for c, name in enumerate(("cat", "dog")):
            for i in range(3):
                save(tmp_path / split / name / f"{name}{i}.{'png' if i else 'JPG'}", seed=100 * s + 10 * c + i)
    return tmp_path


def test_images_labels_and_files_stay_side_by_side(root):
    loaded = folders.load(root, "train", size=16, binary=True)
    assert loaded.images.shape == (6, 16, 16, 3)
    assert loaded.images.dtype == np.uint8
    assert loaded.classes == ("cat", "dog")
    assert loaded.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert loaded.files == tuple(f"train/{c}/{c}{i}.{'png' if i else 'JPG'}" for c in ("cat", "dog") for i in range(3))
    for file, label, image in zip(loaded.files, loaded.labels, loaded.images, strict=True):
        assert loaded.classes[label] in file
        assert np.array_equal(image, folders.decode(root / file, size=16))


def test_a_png_of_the_right_size_is_read_bit_by_bit(root):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / "train/cat/exact.png")
    loaded = folders.load(root, "train", size=16)
    assert np.array_equal(loaded.images[loaded.files.index("train/cat/exact.png")], pixels)


def test_reduction_is_antialiased(root):
    stripes = np.tile(np.array([[0], [255]], "uint8"), (32, 64))[..., None].repeat(3, axis=2)
    Image.fromarray(stripes).save(root / "train/cat/stripes.png")
    small = folders.decode(root / "train/cat/stripes.png", size=16)
    assert (
        np.abs(small.astype(int) - 127).max() < 14
    )  # 128 without the edges; plain bilinear sampling would give 0 or 255


def test_images_are_turned_upright_by_their_tag(root):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by a quarter
    flat = save(root / "train/cat/flat.jpg", seed=9, size=(60, 30), quality=95)
    turned = save(root / "train/cat/turned.jpg", seed=9, size=(60, 30), quality=95, exif=exif)
    assert folders.decode(flat).shape == (30, 60, 3)
    assert np.array_equal(folders.decode(turned), np.rot90(folders.decode(flat), -1))


@pytest.mark.parametrize(
    ("mode", "suffix"), [("L", "jpg"), ("RGBA", "png"), ("P", "png"), ("LA", "png"), ("CMYK", "jpg")]
)
def test_other_modes_of_eight_bits_are_converted_or_refused(root, mode, suffix):
    path = save(root / f"train/dog/other.{suffix}", mode=mode)
    assert folders.decode(path).shape == (30, 40, 3)
    with pytest.raises(DataError, match=rf"other.{suffix} has the mode {mode}, not RGB with three channels.*'convert'"):
        folders.load(root, "train", size=16, channels="refuse")


def test_sixteen_bits_are_refused_not_clipped(root):
    path = root / "train/dog/deep.png"
    Image.fromarray(np.full((20, 20), 30_000, "uint16")).save(path)
    with pytest.raises(
        DataError, match=r"deep.png has the mode I;16, not RGB with 8 bits per channel; convert the file"
    ):
        folders.load(root, "train", size=16)


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_damaged_files_are_skipped_named_and_counted(root, capsys):
    truncated(root / "train/cat/cat0.JPG")
    (root / "train/dog/dog1.png").write_text("no image at all")
    loaded = folders.load(root, "train", size=16)
    assert len(loaded) == 4
    assert "cat0" not in str(loaded.files)
    line = capsys.readouterr().out
    assert "Skipped 2 unreadable image(s)" in line
    assert "train/cat/cat0.JPG, train/dog/dog1.png." in line


def test_damaged_files_can_be_an_error(root):
    truncated(root / "train/cat/cat0.JPG")
    with pytest.raises(
        folders.Unreadable, match=r"cat0.JPG cannot be read as JPEG or PNG \((?i:.*truncated.*)replace or remove"
    ):
        folders.load(root, "train", size=16, skip_unreadable=False)


def test_a_class_without_a_readable_image_is_an_error(root):
    for path in (root / "test/dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"test/dog holds no readable image"):
        folders.load(root, "test", size=16)


def test_a_bomb_is_not_decoded(root, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(folders.Unreadable, match=r"cat0\.JPG cannot be read"):
        folders.decode(root / "train/cat/cat0.JPG")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda r: shutil.rmtree(r / "train"), r"train does not exist; make the folders .*train/<class>/"),
        (lambda r: (shutil.rmtree(r / "train"), (r / "train").write_text("")), r"train is a file, not a folder"),
        (lambda r: [p.unlink() for p in (r / "train").glob("*/*")], r"train holds no images; put JPEG or PNG"),
        (lambda r: shutil.rmtree(r / "train/dog"), r"train holds one class only \(cat\)"),
        (
            lambda r: ([p.rename(r / "train" / p.name) for p in (r / "train").glob("*/*")],
                       [p.rmdir() for p in (r / "train").iterdir() if p.is_dir()]),
            r"train holds 6 images but no class folders; move each image .*train/cat/",
        ),
        (lambda r: save(r / "train/emu/emu0.png"), r"holds 3 classes \(cat, dog, emu\), and a binary classifier needs exactly two"),
        (lambda r: (r / "train/emu").mkdir(), r"holds 3 classes \(cat, dog, emu\)"),
    ],
    ids=["missing", "file", "empty", "one class", "loose", "three classes", "empty third"],
)  # fmt: skip
def test_every_wrong_folder_gets_one_sentence_with_its_path(root, break_it, message):
    break_it(root)
    with pytest.raises(DataError, match=message) as caught:
        folders.load(root, "train", size=16, binary=True)
    assert str(root) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_three_classes_are_fine_unless_two_are_asked_for(root):
    save(root / "train/emu/emu0.png")
    assert folders.load(root, "train", size=16).labels.tolist() == [0, 0, 0, 1, 1, 1, 2]
    with pytest.raises(DataError, match=r"test holds the classes cat, dog, but cat, dog, emu were expected"):
        folders.load(root, "test", size=16, classes=("cat", "dog", "emu"))


@pytest.mark.parametrize(
    ("change", "message"), [({"size": 7}, "at least 8 pixels, got 7"), ({"channels": "grey"}, "got 'grey'")]
)
def test_wrong_settings_are_refused(root, change, message):
    with pytest.raises(DataError, match=message):
        folders.load(root, "train", **({"size": 16} | change))


def test_a_clean_set_passes(root, capsys):
    report = preflight.inspect(root)
    assert report.ok
    assert report.counts == {split: {"cat": 3, "dog": 3} for split in folders.SPLITS}
    assert report.sizes["train"] == ((40, 30), (40, 30))
    report.show()
    shown = capsys.readouterr().out
    assert "Nothing stands in the way" in shown
    assert "40 x 30" in shown


def test_it_finds_what_is_planted(root):
    shutil.copy(root / "train/cat/cat1.png", root / "test/dog/copy.png")  # the same pixels, another class and split
    with Image.open(root / "train/dog/dog2.png") as image:
        image.resize((80, 60)).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
            root / "validation/dog/near.jpg", quality=70
        )
    truncated(root / "train/cat/cat0.JPG")
    save(root / "train/dog/grey.png", seed=77, mode="L")
    (root / "train/cat/notes.txt").write_text("")
    report = preflight.inspect(root)
    assert [(pair.first, pair.second) for pair in report.exact] == [("train/cat/cat1.png", "test/dog/copy.png")]
    assert [(pair.first, pair.second) for pair in report.near] == [("train/dog/dog2.png", "validation/dog/near.jpg")]
    assert all(pair.across_splits for pair in (*report.exact, *report.near))
    assert report.other_modes == {"L": 1}
    assert report.strangers == ("train/cat/notes.txt",)
    assert len(report.unreadable) == 1
    assert not report.ok
    text = " ".join(report.problems)
    for part in ("cat0.JPG cannot be read", "unbalanced: 4 images of one class and 2", "show the same pixels",
                 "show nearly the same picture"):  # fmt: skip
        assert part in text
    assert report.sizes["validation"] == ((40, 30), (80, 60))


def test_doubles_within_a_split_are_listed_but_are_no_leak(root):
    shutil.copy(root / "train/cat/cat1.png", root / "train/cat/copy.png")
    report = preflight.inspect(root)
    assert len(report.exact) == 1
    assert report.ok


def test_different_classes_and_missing_splits_are_problems(root):
    (root / "test/dog").rename(root / "test/hund")
    shutil.rmtree(root / "validation")
    problems = " ".join(preflight.inspect(root).problems)
    assert "validation is missing" in problems
    assert "test holds the classes cat, hund, train holds cat, dog" in problems
    with pytest.raises(DataError, match="does not exist"):
        preflight.inspect(root / "nowhere")


def test_different_drawn_pictures_do_not_look_alike(tmp_path):
    images, labels, _ = pictures.picture_set(300, size=48, split="train")
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "train" / pictures.CLASSES[label] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    assert preflight.inspect(tmp_path, near=6).near == ()


def test_blocks_of_the_distance_matrix_do_not_matter(root, monkeypatch):
    for split in ("test", "validation"):
        shutil.copy(root / "train/cat/cat1.png", root / split / "cat" / "copy.png")
        with Image.open(root / "train/dog/dog2.png") as image:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=60)
        (root / split / "dog" / "near.jpg").write_bytes(buffer.getvalue())
    whole = preflight.inspect(root)
    monkeypatch.setattr(preflight, "_BLOCK", 3)
    assert preflight.inspect(root) == whole
    assert len(whole.exact) == 3
    assert len(whole.near) >= 2
