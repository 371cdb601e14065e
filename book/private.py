"""Outputs say what was computed, not where: places of this machine are shortened before an execution is stored."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nbformat


def places(root: Path) -> list[tuple[re.Pattern, str]]:
    """What to look for and what to write instead, the most specific first."""
    temporary = re.escape(tempfile.gettempdir()) + r"[/\\][\w.-]+"
    return [
        (re.compile(r"[^\s\"'<>()]*[/\\]site-packages[/\\]"), ".../site-packages/"),
        (re.compile(temporary), "..."),
        (re.compile(re.escape(str(root)) + r"(?![\w.-])"), "..."),
        *([(re.compile(re.escape(str(Path.home())) + r"(?![\w.-])"), "~")] if len(Path.home().parts) > 1 else []),
    ]


def hide(notebook: nbformat.NotebookNode, root: Path) -> None:
    """Shorten the places in everything that a reader sees: streams, text and HTML. Records for the builder stay."""
    known = places(root)

    def shorten(text: str) -> str:
        for pattern, instead in known:
            text = pattern.sub(instead, text)
        return text

    for cell in notebook.cells:
        for output in cell.get("outputs", []) if cell.cell_type == "code" else []:
            if output.output_type == "stream":
                output["text"] = shorten(output["text"])
            for mime in ("text/plain", "text/html"):
                if mime in output.get("data", {}):
                    output["data"][mime] = shorten(output["data"][mime])
