"""Outputs say what was computed, not where: places of this machine are shortened before an execution is stored."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nbformat

_PACKAGES = re.compile(r"[/\\]site-packages[/\\]")
_ENDS = " \n\t\"'<>()"  # a path begins after one of these


_PACKAGES = re.compile(r"[/\\]site-packages[/\\]")
_ENDS = " \n\t\"'<>()"  # a path begins after one of these


def places(root: Path) -> list[tuple[re.Pattern, str]]:
    """What to look for and what to write instead, the most specific first."""
    home = Path.home()
    temporary = re.escape(tempfile.gettempdir()) + r"[/\\][\w.-]+"
    return [
        (re.compile(re.escape(str(root)) + r"(?![\w.-])"), "..."),
        *([(re.compile(re.escape(str(home)) + r"(?![\w.-])"), "~")] if len(home.parts) > 1 else []),
        (re.compile(temporary), "..."),
    ]


def hide(notebook: nbformat.NotebookNode, root: Path) -> None:
    """Shorten the places in everything that a reader sees: streams, text and HTML. Records for the builder stay."""
    known = places(root)

    def shorten(text: str) -> str:
        text = _packages(text)
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


def _packages(text: str) -> str:
    """``/a/b/site-packages/c`` becomes ``.../site-packages/c``. Not one expression: on drawings, which are lines of a
    million characters, its backtracking would take hours."""
    *before, rest = _PACKAGES.split(text)
    kept = [part[: 1 + max(part.rfind(end) for end in _ENDS)] + ".../site-packages/" for part in before]
    return "".join(kept) + rest
