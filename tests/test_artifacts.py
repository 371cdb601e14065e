"""Files that a notebook publishes arrive, byte for byte, and only where they belong."""

import base64
import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book import BookError
from book import artifacts as unpacker
from book.files import sha256
from book.paths import Paths
from helpers import artifacts, display


@pytest.fixture
def recorded(monkeypatch):
    """Outputs that `publish` makes, as a notebook holds them."""
    outputs = []

    def keep(mime, data, *, text, html=None):
        data = json.loads(json.dumps(data))  # what Jupyter does on the way
        outputs.append(new_output("display_data", {mime: data, "text/plain": text}))

    monkeypatch.setattr(display, "record", keep)
    return outputs


def notebook(outputs):
    return new_notebook(cells=[new_code_cell("publish", id="a", outputs=outputs)])


def test_bytes_arrive_unchanged(recorded, tmp_path):
    content = bytes(range(256)) * 10
    digest = artifacts.publish("models/x/1/weights.bin", content)
    assert digest == sha256(content)
    paths = Paths(tmp_path)
    (file,) = unpacker.unpack(paths, "chapter", notebook(recorded))
    assert file == tmp_path / "_build/artifacts/models/x/1/weights.bin"
    assert file.read_bytes() == content


def test_a_folder_is_published_with_its_structure(recorded, tmp_path):
    (tmp_path / "m/1").mkdir(parents=True)
    (tmp_path / "m/1/b.txt").write_text("b")
    (tmp_path / "m/a.txt").write_text("a")
    artifacts.publish_folder("models/m", tmp_path / "m")
    assert unpacker.of(notebook(recorded)) == {"models/m/1/b.txt": b"b", "models/m/a.txt": b"a"}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no files"):
        artifacts.publish_folder("models/m", tmp_path / "empty")


@pytest.mark.parametrize("name", ["", "/etc/x", "../x", "a/../x", "a//x", "a/", "a b", "a\\b", ".hidden", "a/.x"])
def test_names_that_could_leave_the_folder_are_refused(name):
    with pytest.raises(ValueError, match="relative path"):
        artifacts.publish(name, b"x")


@pytest.mark.parametrize("content", [b"", bytes(artifacts.LARGEST + 1)], ids=["empty", "too large"])
def test_sizes_that_no_notebook_should_carry_are_refused(content):
    with pytest.raises(ValueError, match="publish between 1 and"):
        artifacts.publish("x.bin", content)


def forged(**change):
    record = {"name": "x.bin", "bytes": 1, "sha256": sha256(b"x"), "base64": base64.b64encode(b"x").decode()}
    return notebook([new_output("display_data", {unpacker.ARTIFACT: record | change, "text/plain": ""})])


@pytest.mark.parametrize(
    "change",
    [{"name": "../x"}, {"name": "/x"}, {"name": "a\\x"}, {"base64": "!"}, {"base64": base64.b64encode(b"y").decode()}],
)
def test_a_damaged_record_is_an_error(change):
    with pytest.raises(BookError):
        unpacker.of(forged(**change))


def test_the_same_name_twice_is_an_error():
    twice = forged()
    twice.cells.append(new_code_cell("again", id="b", outputs=twice.cells[0].outputs))
    with pytest.raises(BookError, match=r"x\.bin"):
        unpacker.of(twice)


def test_what_is_no_longer_published_is_removed_and_the_rest_keeps_its_time(recorded, tmp_path):
    paths = Paths(tmp_path)
    artifacts.publish("kept.bin", b"1")
    artifacts.publish("dropped.bin", b"2")
    kept, dropped = unpacker.unpack(paths, "chapter", notebook(recorded))
    before = kept.stat().st_mtime_ns
    (paths.artifacts / "of_another.bin").write_bytes(b"3")
    unpacker.unpack(paths, "chapter", notebook(recorded[:1]))
    assert not dropped.exists()
    assert kept.stat().st_mtime_ns == before
    assert (paths.artifacts / "of_another.bin").exists()


def test_the_site_gets_a_link_instead_of_the_bytes(recorded):
    artifacts.publish("models/x/1/w.bin", b"12345")
    original = notebook(recorded)
    shown = unpacker.link(original).cells[0].outputs[0]
    assert unpacker.ARTIFACT not in shown["data"]
    assert 'href="../_static/artifacts/models/x/1/w.bin"' in shown["data"]["text/html"]
    assert unpacker.ARTIFACT in original.cells[0].outputs[0]["data"], "the execution itself keeps its record"
    assert "12345" not in nbformat.writes(unpacker.link(original))


def test_the_two_sides_agree_on_the_record():
    assert artifacts.MIME == unpacker.ARTIFACT
