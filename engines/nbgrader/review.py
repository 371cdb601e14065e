"""What in a student's code a human should look at: code that could speak to the tests instead of answering them.

Nobody loses points for it: a remark stands in the column ``review`` of the grades, no more.
"""

from __future__ import annotations

import ast
import builtins
from typing import Any

_MODULES = {"IPython", "ipykernel", "builtins", "ctypes", "inspect", "gc", "sys", "os", "subprocess", "socket", "signal",
            "multiprocessing", "threading", "importlib", "unittest", "zmq", "traceback", "shutil", "pathlib", "jupyter_client",
            "asyncio", "atexit", "code", "dis", "pdb", "bdb", "faulthandler", "resource", "mmap", "weakref"}  # fmt: skip
_NAMES = {"get_ipython", "__builtins__", "__import__", "eval", "exec", "compile", "globals", "locals", "vars", "setattr",
          "delattr", "breakpoint", "open", "input", "In", "Out", "_ih", "_oh", "exit", "quit"}  # fmt: skip
_USUAL = {"numpy", "scipy", "sklearn.metrics"}
_BUILTINS = {name for name in dir(builtins) if not name.startswith("_")}
_FRAMES = {"f_back", "f_globals", "f_locals", "_getframe", "tb_frame", "gi_frame"}


def remarks(source: Any, notebook: Any) -> list[str]:
    """Remarks on the cells of a notebook that the course does not have; each only once."""
    course = {cell.source for cell in source.cells if cell.cell_type == "code"}
    protected: set[str] = set()
    for cell in source.cells:
        if cell.metadata.get("nbgrader", {}).get("locked") and not cell.metadata["nbgrader"].get("grade"):
            protected |= defined(cell.source)
    found: list[str] = []
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source not in course:
            found += of_code(cell.source, protected)
    return sorted(set(found))


def of_code(code: str, protected: set[str]) -> list[str]:
    """Remarks on one cell; ``protected`` are names that the set-up defines and the tests use."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        magic = any(line.lstrip().startswith(("!", "%")) for line in code.splitlines())
        return ["uses a command of IPython"] if magic else []
    found = [f"defines '{name}' of the set-up anew" for name in sorted(defined(code, imports=False) & protected)]
    found += [f"defines Python's '{name}' anew" for name in sorted(defined(code) & _BUILTINS)]
    modules = {alias.asname or alias.name.split(".")[0] for node in ast.walk(tree)
               if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names} | protected  # fmt: skip
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [f"imports {alias.name}" for alias in node.names if alias.name.split(".")[0] in _MODULES]
            found += [
                f"imports {a.name} as '{a.asname}'"
                for a in node.names
                if a.asname in protected and a.name not in _USUAL
            ]
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in _MODULES:
            found.append(f"imports {node.module}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in _NAMES:
            found.append(f"uses '{node.id}'")
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, (ast.Store, ast.Del)):
            root = node.value
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in modules:
                found.append(f"changes '{root.id}.{node.attr}'")
        elif isinstance(node, ast.Attribute) and (node.attr in _FRAMES or _special(node.attr)):
            found.append(f"uses '{node.attr}'")
    return found


def _special(name: str) -> bool:
    return name.startswith("__") and name not in ("__name__", "__init__")


def defined(code: str, *, imports: bool = True) -> set[str]:
    """Names that code defines at the top, or anywhere with ``global``; with or without those that it imports."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    names: set[str] = set()
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
            names |= {name for part in ast.walk(node) if isinstance(part, ast.Global) for name in part.names}
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        if imports and isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
        pending += ast.iter_child_nodes(node)
    return names
