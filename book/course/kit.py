"""The kit of a course: everything a teacher needs for chosen chapters, in one folder, made of the problem sets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from book import BookError
from book.course import grading, kit_text, notebooks, problems
from book.course.problems import ProblemSet
from book.files import sha256, write_atomically, write_if_changed, write_json, write_notebook
from book.paths import Paths

RECORD = "kit.json"
_REFERENCE = re.compile(r"""(?:\b(?:src|href)\s*=\s*|url\(\s*)["']?([^"'\s>)#?]+)""", re.IGNORECASE)


@dataclass
class Kit:
    """What was made."""

    folder: Path
    renewed: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose(paths: Paths, wanted: list[str]) -> list[Path]:
    """The problem sets of the chapters that are named by number (``3``) or by name; all of them if none is named."""
    files = problems.find(paths)
    known = ", ".join(file.stem for file in files) or "none"
    if not wanted:
        if not files:
            raise BookError("The book has no problem sets; add one to 'assignments'.")
        return files
    chosen = []
    for name in wanted:
        number = f"{int(name):02d}_" if name.isdecimal() and name.isascii() else None
        found = [file for file in files if file.stem == name or (number and file.stem.startswith(number))]
        if not found:
            raise BookError(f"No chapter '{name}' has a problem set; there are: {known}.")
        chosen += [file for file in found if file not in chosen]
    return sorted(chosen)


def make(paths: Paths, chapters: list[str], folder: Path) -> Kit:
    """Make a course, or renew it where the problem sets have changed.

    Nothing of students is touched: a problem set that has changed after somebody handed it in is refused.
    """
    sets = [problems.read(file) for file in choose(paths, chapters)]
    record = _record(folder)
    sources = {s.chapter: notebooks.source(s) for s in sets}
    digests = {s.chapter: _digest(paths, s, sources[s.chapter]) for s in sets}
    kit = Kit(folder)
    for name, digest in digests.items():
        same = record.get(name) == digest and (folder / "release" / name / f"{name}.ipynb").is_file()
        (kit.unchanged if same else kit.renewed).append(name)
    for name in kit.renewed:
        handed_in = sorted(
            place.parent.name for step in ("submitted", "autograded") for place in (folder / step).glob(f"*/{name}")
        )
        if handed_in:
            raise BookError(f"The problem set '{name}' has changed, but '{handed_in[0]}' has handed it in already; nothing was "
                            "changed. Grade with the old set, or make a new course with --output.")  # fmt: skip
    if not grading.available():
        next(grading.call("generate", folder), None)  # says how to make the engine
    (folder / "submitted").mkdir(parents=True, exist_ok=True)
    if not (folder / RECORD).exists():
        write_json(folder / RECORD, {"assignments": {}})
    for one in sets:
        if one.chapter in kit.renewed:
            _write(paths, folder, one, sources[one.chapter])
    if kit.renewed:
        for _ in grading.call("generate", folder, "--assignment", ",".join(kit.renewed)):
            pass
    for one in sets:
        _assert_nothing_shown(folder, one)
    everything = {**record, **digests}
    write_json(folder / RECORD, {"assignments": everything})
    write_if_changed(folder / "nbgrader_config.py", kit_text.config(folder.resolve().name))
    write_if_changed(folder / "README.md", kit_text.readme(sorted(everything)))
    kit.notes += _slides(paths, folder, [one.chapter for one in sets])
    return kit


def _record(folder: Path) -> dict[str, str]:
    odd = sorted(set(str(folder.resolve())) & set("*?[]{}%#"))
    if odd:
        raise BookError(
            f"nbgrader cannot work in '{folder}' because of the '{odd[0]}' in its path; choose another with --output."
        )
    if (folder / RECORD).is_file():
        try:
            return dict(json.loads((folder / RECORD).read_text(encoding="utf-8"))["assignments"])
        except (ValueError, KeyError, TypeError):
            raise BookError(
                f"'{folder / RECORD}' is damaged; restore it, or make a new course with --output."
            ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BookError(
            f"'{folder}' is there and is no course; nothing was changed. Choose another folder with --output."
        )
    return {}


def _digest(paths: Paths, one: ProblemSet, source: NotebookNode) -> str:
    parts = [
        nbformat.writes(source),
        *(file.read_text(encoding="utf-8") for file in notebooks.helpers_needed(one, paths.root)),
    ]
    return sha256("\0".join(parts))


def _write(paths: Paths, folder: Path, one: ProblemSet, source: NotebookNode) -> None:
    place = folder / "source" / one.chapter
    write_notebook(place / f"{one.chapter}.ipynb", source)
    for file in notebooks.helpers_needed(one, paths.root):
        write_atomically(place / file.relative_to(paths.root), file.read_bytes())
    write_notebook(folder / "instructor" / f"{one.chapter}.ipynb", notebooks.instructor(one))


def _assert_nothing_shown(folder: Path, one: ProblemSet) -> None:
    """The students' notebook that nbgrader has made holds exactly the code that students may see."""
    file = folder / "release" / one.chapter / f"{one.chapter}.ipynb"
    shown = [cell.source for cell in nbformat.read(file, as_version=4).cells if cell.cell_type == "code"]
    if shown != notebooks.students_code(one):
        file.unlink()
        raise BookError(f"The students' notebook of '{one.chapter}' is not what it should be and was removed; does a solution or a "
                        "test hold one of nbgrader's markers, such as BEGIN HIDDEN TESTS?")  # fmt: skip


def _slides(paths: Paths, folder: Path, chapters: list[str]) -> list[str]:
    """Copy the slides that are built, with the files that they load; a sentence about those that are not."""
    missing = []
    for chapter in chapters:
        page = paths.html / "slides" / f"{chapter}.html"
        if page.is_file():
            _copy_with_references(paths.html, page, folder, set())
        else:
            missing.append(chapter)
    if not missing:
        return []
    return [f"There are no slides of {', '.join(missing)}; build the book, then make the course again to add them."]


def _copy_with_references(root: Path, file: Path, folder: Path, done: set[Path]) -> None:
    done.add(file)
    target = folder / file.relative_to(root)
    content = file.read_bytes()
    write_if_changed(target, content)
    if file.suffix not in (".html", ".css"):
        return
    for reference in _REFERENCE.findall(content.decode("utf-8", errors="replace")):
        if ":" in reference or reference.startswith("/"):
            continue
        other = (file.parent / reference).resolve()
        if other.is_file() and other.is_relative_to(root.resolve()) and other not in done and other.suffix != ".html":
            _copy_with_references(root.resolve(), other, folder, done)
