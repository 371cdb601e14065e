"""No output of a notebook tells of the machine that executed it."""

import tempfile
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book import private

ROOT = Path("/home/someone/book")
RECORD = "application/vnd.book.claim+json"


def shortened(text):
    outputs = [
        new_output("stream", text=text),
        new_output("display_data", {"text/plain": text, "text/html": text, RECORD: {"value": text}}),
    ]
    notebook = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    private.hide(notebook, ROOT)
    stream, shown = notebook.cells[0].outputs
    assert stream["text"] == shown["data"]["text/plain"] == shown["data"]["text/html"]
    assert shown["data"][RECORD] == {"value": text}, "records are for the builder"
    return stream["text"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "/opt/x/.venv/lib/python3.11/site-packages/keras/a.py:7: UserWarning: y",
            ".../site-packages/keras/a.py:7: UserWarning: y",
        ),
        (f"images in {tempfile.gettempdir()}/tmpx_9/train: 1", "images in .../train: 1"),
        (f"File {ROOT}/helpers/folders.py", "File .../helpers/folders.py"),
        (f"in {ROOT}", "in ..."),
        (f"the cache {Path.home()}/.cache/pictures", "the cache ~/.cache/pictures"),
        (f"{ROOT}-two/other", f"{ROOT}-two/other"),
        ("1/3 of 6/7 is 2/7", "1/3 of 6/7 is 2/7"),
        ("a (/x/site-packages/b) '/y/site-packages/c'", "a (.../site-packages/b) '.../site-packages/c'"),
        (300_000 * "M1/2 L3".replace(" ", ""), 300_000 * "M1/2L3"),  # a drawing: slow expressions would take hours
    ],
)
def test_places_are_shortened_and_nothing_else(text, expected):
    if str(Path.home()) in str(ROOT):
        pytest.skip("the home of this machine is part of the example")
    assert shortened(text) == expected
