"""The notebooks as they are in the repository: found, checked, selected, and what parameters they take."""

from __future__ import annotations

import ast
import fnmatch
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.kernelspec import KernelSpecManager

from book import BookError
from book.paths import Paths

PROFILES = ("quick", "full")


@dataclass(frozen=True)
class Source:
    """One notebook of the book, fit to be executed."""

    name: str
    path: Path
    notebook: nbformat.NotebookNode
    parameters: dict[str, Any]
    kernel: str
    data: tuple[str, ...]

    @property
    def code(self) -> list[nbformat.NotebookNode]:
        return [cell for cell in self.notebook.cells if cell.cell_type == "code"]


def find(paths: Paths) -> list[Path]:
    """All notebooks, in reading order."""
    found = sorted(p for p in paths.notebooks.glob("*.ipynb"))
    if not found:
        raise BookError(f"There are no notebooks in '{paths.notebooks}'; run the command from the book's root, "
                        "or name the root with --root.")  # fmt: skip
    return found


def select(paths: Paths, only: list[str]) -> list[Path]:
    """Notebooks whose name is given, begins with what is given, or matches it as a pattern; all if nothing is given."""
    found = find(paths)
    if not only:
        return found
    chosen: set[Path] = set()
    for wanted in only:
        wanted_name = Path(wanted).name.removesuffix(".ipynb")
        hits = [p for p in found if p.stem.startswith(wanted_name) or fnmatch.fnmatch(p.stem, wanted_name)]
        if not hits:
            names = ", ".join(p.stem for p in found)
            raise BookError(f"--only '{wanted}' matches no notebook; there are: {names}.")
        chosen.update(hits)
    return [p for p in found if p in chosen]


def load(path: Path) -> Source:
    """Read a notebook and check that it can be executed.

    Raises
    ------
    BookError
        If it is not a notebook, lacks its parameters cell, has one of an earlier run, or asks for a kernel that is
        not installed.
    """
    name = path.stem
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise BookError(f"Notebook '{path.name}' cannot be read ({error}).") from error
    except json.JSONDecodeError as error:
        raise BookError(f"Notebook '{path.name}' is not valid JSON (line {error.lineno}: {error.msg}); "
                        "restore it from version control.") from error  # fmt: skip
    try:
        notebook = nbformat.reads(text, as_version=4)
        nbformat.validate(notebook)
    except Exception as error:
        first = str(error).strip().splitlines()[0]
        raise BookError(f"Notebook '{path.name}' is JSON but not a notebook of format 4 ({first}); "
                        "save it again from JupyterLab, or restore it.") from error  # fmt: skip
    cells = [c for c in notebook.cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if len(cells) != 1:
        raise BookError(f"Notebook '{path.name}' has {len(cells)} cells tagged 'parameters'; it needs exactly one, "
                        "which sets PROFILE = \"quick\".")  # fmt: skip
    if any("injected-parameters" in c.metadata.get("tags", []) for c in notebook.cells):
        raise BookError(f"Notebook '{path.name}' has a cell tagged 'injected-parameters', which papermill left in it; "
                        "remove this cell.")  # fmt: skip
    kernel = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    if kernel not in _kernels():
        raise BookError(f"Notebook '{path.name}' asks for the kernel '{kernel}', which is not installed "
                        f"(there is: {', '.join(sorted(_kernels()))}); set its kernel to python3, or install it.")  # fmt: skip
    return Source(
        name=name,
        path=path,
        notebook=notebook,
        parameters=_assigned(path.name, cells[0].source),
        kernel=kernel,
        data=tuple(notebook.metadata.get("book", {}).get("data", [])),
    )


def overrides(sources: list[Source], profile: str, given: list[str]) -> dict[str, dict[str, Any]]:
    """Parameters to inject, per notebook, from ``-p name=value`` texts and the profile.

    A parameter goes to the notebooks that have it.

    Raises
    ------
    BookError
        For an unknown profile, a text that is not ``name=value``, or a name that no selected notebook has.
    """
    if profile not in PROFILES:
        raise BookError(f"There is no profile '{profile}'; choose one of: {', '.join(PROFILES)}.")
    wanted: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise BookError(f"-p '{text}' is not of the form name=value; write for instance -p SEED=1.")
        wanted[name] = parse_value(value)
    known = {name for source in sources for name in source.parameters}
    for name in wanted:
        if name not in known:
            raise BookError(f"No selected notebook has a parameter '{name}'; there are: {', '.join(sorted(known))}.")
    everything = {"PROFILE": profile, **wanted}
    if everything["PROFILE"] not in PROFILES:
        raise BookError(f"There is no profile '{everything['PROFILE']}'; choose one of: {', '.join(PROFILES)}.")
    return {s.name: {k: v for k, v in everything.items() if k in s.parameters} for s in sources}


def parse_value(text: str) -> Any:
    """Read a value as Python would (numbers, quoted text, lists, True, None); anything else is text.

    A tuple becomes a list, and what JSON cannot hold (a set, bytes) stays text: parameters are kept in JSON.
    """
    named = {"true": True, "false": False, "null": None}
    if text.lower() in named:
        return named[text.lower()]
    try:
        return json.loads(json.dumps(ast.literal_eval(text), allow_nan=False))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text


def _assigned(name: str, source: str) -> dict[str, Any]:
    """Names and literal values that the parameters cell assigns."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        raise BookError(f"The parameters cell of '{name}' is not Python ({error.msg}); correct it.") from error
    found: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                found[node.targets[0].id] = None
    if "PROFILE" not in found:
        raise BookError(f"The parameters cell of '{name}' does not set PROFILE; add PROFILE = \"quick\".")
    return found


@functools.cache
def _kernels() -> frozenset[str]:
    return frozenset(KernelSpecManager().find_kernel_specs())
