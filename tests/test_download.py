"""Downloads on request: verified before they are unpacked, arranged the same way each time, nothing left after a failure."""

import dataclasses
import functools
import hashlib
import http.server
import io
import tarfile
import threading

import pytest
from PIL import Image

from helpers import download, folders
from helpers.datasets import DataError

BREEDS = ("Abyssinian", "beagle", "Bengal", "pug")


def jpeg(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (24, 20), (shade, 100, 100)).save(buffer, "JPEG")
    return buffer.getvalue()


def make_archive(path, extra=(), each=6):
    with tarfile.open(path, "w:gz") as tar:
        for b, breed in enumerate(BREEDS):
            for i in range(each):
                add(tar, f"images/{breed}_{i}.jpg", jpeg(20 * b + i))
        add(tar, "images/Abyssinian_1.mat", b"no picture")
        for name, content in extra:
            add(tar, name, content)
    return path.read_bytes()


def add(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine with a small archive, whose digest is the expected one."""
    shared = tmp_path / "web"
    shared.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(shared))
    handler.log_message = lambda *_: None
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setattr(download, "COUNTS", {"train": 6, "validation": 2, "test": 2})

    def offer(content, expected=None):
        (shared / "images.tar.gz").write_bytes(content)
        expected = content if expected is None else expected
        archive = dataclasses.replace(
            download.ARCHIVES["oxford_pets"], url=f"http://127.0.0.1:{httpd.server_port}/images.tar.gz",
            size=len(expected), sha256=hashlib.sha256(expected).hexdigest(),
        )  # fmt: skip
        monkeypatch.setitem(download.ARCHIVES, "oxford_pets", archive)

    yield offer
    httpd.shutdown()
    httpd.server_close()


def test_photographs_are_arranged_into_splits(server, tmp_path, capsys):
    server(make_archive(tmp_path / "a.tar.gz"))
    assert download.main(["oxford_pets", "--into", str(tmp_path / "one")]) == 0
    shown = capsys.readouterr().out
    assert "CC BY-SA 4.0" in shown
    assert str(tmp_path / "one") in shown
    files = set()
    for split, count in download.COUNTS.items():
        loaded = folders.load(tmp_path / "one", split, size=16, binary=True)
        assert loaded.classes == ("cat", "dog")
        assert loaded.labels.tolist() == [0] * count + [1] * count
        for file, label in zip(loaded.files, loaded.labels, strict=True):
            assert file.split("/")[-1][0].isupper() == (label == 0)
        files |= {file.split("/")[-1] for file in loaded.files}
    assert len(files) == 20  # no photograph in two splits
    download.fetch("oxford_pets", tmp_path / "two")
    names = [sorted(p.relative_to(tmp_path / k).as_posix() for p in (tmp_path / k).rglob("*")) for k in ("one", "two")]
    assert names[0] == names[1]


def test_the_cache_is_where_the_book_looks(server, tmp_path, monkeypatch):
    server(make_archive(tmp_path / "a.tar.gz"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BOOK_DATA", raising=False)
    folder = download.fetch("oxford_pets")
    from helpers import datasets

    assert datasets.locate("cats_and_dogs") == (folder, "cache")


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-100], lambda c: c[:50] + b"x" + c[51:], lambda c: c + b"more", lambda c: b""]
)
def test_another_content_is_refused_and_nothing_stays(server, tmp_path, damage, capsys):
    whole = make_archive(tmp_path / "a.tar.gz")
    server(damage(whole), expected=whole)
    assert download.main(["oxford_pets", "--into", str(tmp_path / "place" / "set")]) == 2
    assert "did not deliver the expected file" in capsys.readouterr().err
    assert list((tmp_path / "place").iterdir()) == []


def test_a_name_that_leads_elsewhere_stays_inside(server, tmp_path):
    evil = [("../../outside.jpg", jpeg(1)), ("/tmp/absolute_evil.jpg", jpeg(2))]
    server(make_archive(tmp_path / "a.tar.gz", extra=evil))
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    download.fetch("oxford_pets", tmp_path / "deep" / "set")
    after = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert all(path.is_relative_to(tmp_path / "deep" / "set") for path in after)


def test_links_in_the_archive_are_ignored(server, tmp_path):
    path = tmp_path / "a.tar.gz"
    make_archive(path)
    with tarfile.open(tmp_path / "b.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("images/Link_0.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
        with tarfile.open(path) as old:
            for member in old:
                tar.addfile(member, old.extractfile(member))
    server((tmp_path / "b.tar.gz").read_bytes())
    download.fetch("oxford_pets", tmp_path / "set")
    assert not any(p.is_symlink() for p in (tmp_path / "set").rglob("*"))


def test_too_few_photographs(server, tmp_path):
    server(make_archive(tmp_path / "a.tar.gz", each=2))
    with pytest.raises(DataError, match="holds 4 photographs of class cat; 10 are needed"):
        download.fetch("oxford_pets", tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_errors_are_one_sentence(server, tmp_path, capsys, monkeypatch):
    server(make_archive(tmp_path / "a.tar.gz"))
    assert download.main(["cifar"]) == 2
    assert "there is no archive 'cifar'; choose one of oxford_pets" in capsys.readouterr().err
    (tmp_path / "mine").mkdir()
    assert download.main(["oxford_pets", "--into", str(tmp_path / "mine")]) == 2
    assert "exists already and is not overwritten" in capsys.readouterr().err
    gone = dataclasses.replace(download.ARCHIVES["oxford_pets"], url=download.ARCHIVES["oxford_pets"].url + "x")
    monkeypatch.setitem(download.ARCHIVES, "oxford_pets", gone)
    assert download.main(["oxford_pets", "--into", str(tmp_path / "set")]) == 2
    assert "could not be fetched (File not found)" in capsys.readouterr().err
    nobody = dataclasses.replace(gone, url="http://127.0.0.1:9/images.tar.gz")
    monkeypatch.setitem(download.ARCHIVES, "oxford_pets", nobody)
    assert download.main(["oxford_pets", "--into", str(tmp_path / "set")]) == 2
    error = capsys.readouterr().err
    assert "could not be fetched (ConnectionRefusedError); check the connection" in error
    assert not (tmp_path / "set").exists()


def test_a_full_disk_is_reported(server, tmp_path, monkeypatch, capsys):
    server(make_archive(tmp_path / "a.tar.gz"))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.shutil, "copyfileobj", full)
    assert download.main(["oxford_pets", "--into", str(tmp_path / "place" / "set")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert list((tmp_path / "place").iterdir()) == []
