"""MNIST is the real one, wherever it is read from, and a damaged copy is named and never used."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from helpers import datasets, picture_files
from helpers.datasets import DataError, fingerprint, load_mnist, locate

SHIPPED = Path(datasets.__file__).parent / "data" / "mnist"
LABELS = "train-labels-idx1-ubyte"
MD5 = {  # by which these files are commonly known
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


@pytest.fixture(autouse=True)
def _apart(here, monkeypatch):
    """No data folder or cache of the user, and nothing remembered from another test."""
    monkeypatch.setattr(datasets, "_used", {})


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """An intact copy in a folder that BOOK_DATA names; returns its ``mnist`` folder."""
    return copy_to(tmp_path / "data" / "mnist", monkeypatch)


def copy_to(folder: Path, monkeypatch=None) -> Path:
    folder.mkdir(parents=True)
    for file in MD5:
        shutil.copyfile(SHIPPED / f"{file}.gz", folder / f"{file}.gz")
    if monkeypatch:
        monkeypatch.setenv("BOOK_DATA", str(folder.parent))
    return folder


def files_in(folder: Path) -> dict[str, tuple[str, int]]:
    found = [p for p in folder.rglob("*") if p.is_file()]
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in found}


@pytest.fixture(scope="module")
def mnist():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("BOOK_DATA", raising=False)
        patch.setenv("XDG_CACHE_HOME", os.devnull)
        return load_mnist()


class TestContent:
    def test_has_the_return_shape_of_keras(self, mnist):
        (x_train, y_train), (x_test, y_test) = mnist
        assert [a.shape for a in (x_train, y_train, x_test, y_test)] == [
            (60000, 28, 28), (60000,), (10000, 28, 28), (10000,)
        ]  # fmt: skip
        assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}

    def test_is_the_known_data(self, mnist):
        (x_train, y_train), (_, y_test) = mnist
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(y_train).tolist() == counts
        assert y_train[:5].tolist() == [5, 0, 4, 1, 9]
        assert y_test[:5].tolist() == [7, 2, 1, 0, 4]
        assert (x_train.min(), x_train.max()) == (0, 255)

    def test_the_values_are_those_of_the_reference_files(self, mnist):
        """The MD5 sums cover header and values; the header is rebuilt here from its definition."""
        (x_train, y_train), (x_test, y_test) = mnist
        found = {}
        for file, values in zip(MD5, (x_train, y_train, x_test, y_test), strict=True):
            header = bytes([0, 0, 8, values.ndim]) + b"".join(n.to_bytes(4, "big") for n in values.shape)
            found[file] = hashlib.md5(header + values.tobytes()).hexdigest()
        assert found == MD5

    def test_the_arrays_may_be_written_to(self, mnist):
        assert all(part.flags.writeable and part.flags.owndata for split in mnist for part in split)

    def test_source_and_licence_are_said_in_one_line(self, capsys):
        load_mnist()
        line = capsys.readouterr().out
        assert line.count("\n") == 1
        assert "the copy that comes with the book" in line
        assert "CC BY-SA 3.0" in line


class TestPlaces:
    def test_the_shipped_copy_is_used_if_there_is_nothing_else(self):
        assert locate("mnist") == (SHIPPED, "repository")

    def test_book_data_comes_first(self, own, here, capsys):
        copy_to(here / "cache" / "large-models-in-practice" / "mnist")
        assert locate("mnist") == (own, "BOOK_DATA")
        load_mnist()
        assert "your BOOK_DATA folder" in capsys.readouterr().out
        assert datasets.loaded() == ["mnist (BOOK_DATA)"]

    def test_the_cache_comes_before_the_shipped_copy(self, here):
        cache = copy_to(here / "cache" / "large-models-in-practice" / "mnist")
        assert locate("mnist") == (cache, "cache")

    def test_the_cache_is_in_the_home_folder_by_default(self, tmp_path, monkeypatch):
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        cache = copy_to(tmp_path / "home" / ".cache" / "large-models-in-practice" / "mnist")
        assert locate("mnist") == (cache, "cache")

    def test_book_data_without_this_data_set_is_passed_over(self, tmp_path, monkeypatch):
        (tmp_path / "photos").mkdir()
        monkeypatch.setenv("BOOK_DATA", str(tmp_path))
        assert locate("mnist") == (SHIPPED, "repository")

    def test_book_data_must_be_a_folder(self, tmp_path, monkeypatch):
        for wrong in (tmp_path / "absent", Path(__file__)):
            monkeypatch.setenv("BOOK_DATA", str(wrong))
            with pytest.raises(DataError, match=re.escape(str(wrong))) as caught:
                load_mnist()
            assert "unset BOOK_DATA" in str(caught.value)

    def test_files_may_lie_there_uncompressed(self, own, mnist):
        for file in MD5:
            packed = own / f"{file}.gz"
            (own / file).write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
        (x_train, _), (_, y_test) = load_mnist()
        assert np.array_equal(x_train, mnist[0][0])
        assert np.array_equal(y_test, mnist[1][1])

    def test_an_unknown_data_set_is_an_error(self):
        with pytest.raises(KeyError):
            locate("no-such-data")


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def alter_one_byte_of_the_content(path: Path) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[len(content) // 2] ^= 1
    path.write_bytes(gzip.compress(bytes(content), 1))


def alter_one_byte_of_the_file(path: Path) -> None:
    stored = bytearray(path.read_bytes())
    stored[len(stored) // 2] ^= 1
    path.write_bytes(bytes(stored))


def replace_by_text(path: Path) -> None:
    path.write_text("<html>404 not found</html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def swap_for_another(path: Path) -> None:
    shutil.copyfile(SHIPPED / "t10k-labels-idx1-ubyte.gz", path)


class TestDamage:
    @pytest.mark.parametrize("file", MD5)
    def test_is_named_in_every_file(self, own, file):
        self.damage_and_load(own, file, truncate)

    @pytest.mark.parametrize(
        "damage", [alter_one_byte_of_the_content, alter_one_byte_of_the_file, replace_by_text, empty, swap_for_another]
    )
    def test_of_every_sort_is_named(self, own, damage):
        self.damage_and_load(own, LABELS if damage is not swap_for_another else "t10k-images-idx3-ubyte", damage)

    def test_of_an_uncompressed_file_is_named(self, own):
        (own / LABELS).write_bytes(gzip.decompress((own / f"{LABELS}.gz").read_bytes())[:-1])
        with pytest.raises(DataError, match=re.escape(str(own / LABELS))):
            load_mnist()

    def test_says_truncated_or_altered(self, own):
        for damage, word in ((truncate, "truncated"), (alter_one_byte_of_the_content, "altered")):
            shutil.copyfile(SHIPPED / f"{LABELS}.gz", own / f"{LABELS}.gz")
            assert word in self.damage_and_load(own, LABELS, damage)

    def damage_and_load(self, own: Path, file: str, damage) -> str:
        path = own / f"{file}.gz"
        damage(path)
        before = files_in(own)
        with pytest.raises(DataError) as caught:
            load_mnist()
        message = str(caught.value)
        digests = re.findall(r"\b[0-9a-f]{64}\b", message)
        assert str(path) in message
        assert len(set(digests)) == 2
        assert digests[1] == datasets.REGISTRY["mnist"].files[file]
        assert f"remove the folder '{own}'" in message
        assert files_in(own) == before, "a failed load changed something on disk"
        assert datasets.loaded() == []
        return message

    def test_a_missing_file_is_named_with_its_digest(self, own):
        (own / f"{LABELS}.gz").unlink()
        before = files_in(own)
        with pytest.raises(DataError) as caught:
            load_mnist()
        message = str(caught.value)
        assert str(own / LABELS) in message
        assert "missing" in message
        assert datasets.REGISTRY["mnist"].files[LABELS] in message
        assert f"remove the folder '{own}'" in message
        assert files_in(own) == before

    def test_of_the_shipped_copy_has_another_remedy(self, tmp_path, monkeypatch):
        monkeypatch.setattr(datasets, "_SHIPPED", tmp_path)
        truncate(copy_to(tmp_path / "mnist") / f"{LABELS}.gz")
        with pytest.raises(DataError, match="git checkout"):
            load_mnist()


class TestFingerprint:
    def test_is_stable_while_nothing_changes(self, own):
        assert fingerprint("mnist") == fingerprint("mnist")

    @pytest.mark.parametrize("change", [truncate, alter_one_byte_of_the_file, Path.unlink, Path.touch])
    def test_changes_with_a_file(self, own, change):
        path = own / f"{LABELS}.gz"
        os.utime(path, (1, 1))
        before = fingerprint("mnist")
        change(path)
        assert fingerprint("mnist") != before

    def test_changes_with_the_place(self, own, monkeypatch):
        before = fingerprint("mnist")
        monkeypatch.delenv("BOOK_DATA")
        assert fingerprint("mnist") != before

    def test_of_the_shipped_copy_does_not_depend_on_when_or_where_it_was_checked_out(self, tmp_path, monkeypatch):
        before = fingerprint("mnist")
        copy_to(tmp_path / "elsewhere" / "mnist")
        monkeypatch.setattr(datasets, "_SHIPPED", tmp_path / "elsewhere")
        assert fingerprint("mnist") == before


@pytest.fixture
def small_drawing(monkeypatch):
    """Twelve pictures instead of 3,000."""
    counts = {"train": 6, "validation": 4, "test": 2}
    monkeypatch.setattr(picture_files, "COUNTS", counts)
    draw = picture_files.write
    monkeypatch.setattr(picture_files, "write", lambda root: draw(root, counts, size=16, processes=1))


def test_pictures_are_drawn_once_into_the_cache(tmp_path, monkeypatch, capsys, small_drawing):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = datasets.picture_folder()
    assert folder.is_relative_to(tmp_path / "cache")
    assert len(list(folder.glob("*/*/*.jpg"))) == 12
    assert "12 pictures drawn by the book (drawn now in" in capsys.readouterr().out
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert datasets.picture_folder() == folder == datasets.drawn_pictures()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
    assert "(drawn earlier)" in capsys.readouterr().out
    assert datasets.loaded() == ["cats_and_dogs (drawn)"]
    assert locate("cats_and_dogs") == (folder, "drawn")


def test_a_drawn_set_with_missing_pictures_is_drawn_anew(tmp_path, monkeypatch, small_drawing):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = datasets.drawn_pictures()
    next(folder.glob("*/*/*.jpg")).unlink()
    assert datasets.drawn_pictures() == folder
    assert len(list(folder.glob("*/*/*.jpg"))) == 12


def test_without_a_cache_pictures_are_drawn_into_the_temporary_folder(tmp_path, monkeypatch, small_drawing):
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    monkeypatch.setattr(datasets.tempfile, "gettempdir", lambda: str(tmp_path))
    folder = datasets.drawn_pictures()
    assert folder.is_relative_to(tmp_path)
    assert len(list(folder.glob("*/*/*.jpg"))) == 12


def test_nowhere_to_draw_is_one_sentence(monkeypatch, small_drawing):
    monkeypatch.setenv("XDG_CACHE_HOME", os.devnull)
    monkeypatch.setattr(datasets.tempfile, "gettempdir", lambda: os.devnull)
    with pytest.raises(DataError, match=r"cannot be drawn into '/dev/null/.*set XDG_CACHE_HOME to a folder"):
        datasets.drawn_pictures()


@pytest.mark.parametrize("variable", ["BOOK_DATA", "XDG_CACHE_HOME"])
def test_own_pictures_come_first_and_are_never_touched(variable, tmp_path, monkeypatch, capsys, small_drawing):
    own = tmp_path / ("cats_and_dogs" if variable == "BOOK_DATA" else "large-models-in-practice/cats_and_dogs")
    own.mkdir(parents=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    monkeypatch.setenv(variable, str(tmp_path))
    before = fingerprint("cats_and_dogs")
    assert datasets.picture_folder() == own
    assert str(own) in capsys.readouterr().out
    assert list(own.iterdir()) == []
    (own / "train").mkdir()
    (own / "train" / "a.jpg").write_bytes(b"x")
    assert fingerprint("cats_and_dogs") != before
    assert datasets.drawn_pictures() != own  # experiments need known factors


def test_the_fingerprint_of_drawn_pictures_follows_the_code_that_draws(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = fingerprint("cats_and_dogs")
    package = tmp_path / "helpers"
    package.mkdir()
    for module in datasets.REGISTRY["cats_and_dogs"].drawn_by:
        shutil.copy(Path(datasets.__file__).parent / module, package)
    monkeypatch.setattr(datasets, "__file__", str(package / "datasets.py"))
    datasets._drawing_version.cache_clear()
    assert fingerprint("cats_and_dogs") == before
    (package / "cartoon.py").write_text((package / "cartoon.py").read_text() + "# another nose")
    datasets._drawing_version.cache_clear()
    assert fingerprint("cats_and_dogs") != before
    datasets._drawing_version.cache_clear()
