"""The tree that is rendered: pages with their generated parts, and the executed notebooks.

Layout of the stage: pages at its root (``index.md``), chapters under ``notebooks/``, problem sets under ``problems/``,
assets under ``assets/``. Files are written only when they change, so that a rebuild renders only what is new.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import yaml
from nbformat.v4 import new_markdown_cell

from book import BookError, artifacts, generated, launch, museum, receipts, receipts_page
from book.course import pages as course
from book.course import problems
from book.course.notebooks import to_work_alone
from book.files import write_if_changed
from book.outline import files
from book.paths import Paths
from book.sources import find

PAGES = "book/pages/"
PROBLEMS = "assignments/"  # staged under problems/


def stage(paths: Paths, vendor: dict[str, Path]) -> list[str]:
    """Bring ``_build/stage`` up to date.

    Parameters
    ----------
    vendor : dict
        Files of third parties for ``assets/vendor/``: name there to file here.

    Returns
    -------
    list of str
        Chapters of the table of contents that are not executed and go in without outputs.
    """
    contents, elsewhere = _contents(paths), launch.read(paths)
    book = generated.Book.collect(paths)
    wanted: set[Path] = set()

    def put(name: str, text: str) -> None:
        wanted.add(paths.stage / name)
        write_if_changed(paths.stage / name, text)

    put("_config.yml", (paths.root / "_config.yml").read_text(encoding="utf-8"))
    put("_toc.yml", yaml.safe_dump(_strip(contents), sort_keys=False, allow_unicode=True))
    bibliography = paths.data / "references.bib"
    put("references.bib", bibliography.read_text(encoding="utf-8") if bibliography.is_file() else "")
    missing, measured = [], receipts.read_all(paths)
    for entry in files(contents):
        if entry.startswith(PAGES):
            page = paths.root / f"{entry}.md"
            if not page.is_file():
                raise BookError(
                    f"_toc.yml names '{entry}', but there is no file '{paths.show(page)}'; add it, or remove the entry."
                )
            put(f"{entry.removeprefix(PAGES)}.md", generated.fill(page.read_text(encoding="utf-8"), book))
        elif entry.startswith(PROBLEMS):
            name = Path(entry).name
            if name not in book.problem_sets:
                raise BookError(
                    f"_toc.yml names '{entry}', but there is no '{entry}.ipynb'; add it, or remove the entry."
                )
            goals = course.objectives(_source(paths, f"notebooks/{name}"))
            put(f"{course.address(name)}.md", course.page(book.problem_sets[name], goals))
            student = nbformat.writes(to_work_alone(book.problem_sets[name])) + "\n"
            put(f"assets/problems/{name}.ipynb", student)
        else:
            name = Path(entry).name
            executed = book.notebooks.get(name)
            if executed is None:
                missing.append(name)
            source = executed or _source(paths, entry)
            for file, content in artifacts.of(source).items():
                wanted.add(paths.stage / "assets" / "artifacts" / file)
                write_if_changed(paths.stage / "assets" / "artifacts" / file, content)
            chapter = _chapter(name, source, executed is not None, elsewhere.html(name))
            top = chapter.cells[0]
            top.source = receipts_page.with_opening(top.source, receipts_page.opening(measured, name))
            course.with_course_material(chapter, book.quizzes.get(name), book.problem_sets.get(name))
            put(f"{entry}.ipynb", nbformat.writes(chapter) + "\n")
    for file in sorted((paths.theme / "assets").rglob("*")):
        if file.is_file():
            _copy(file, paths.stage / "assets" / file.relative_to(paths.theme / "assets"), wanted)
    for name, file in vendor.items():
        _copy(file, paths.stage / "assets" / "vendor" / name, wanted)
    for number, row in enumerate(book.bugs, start=1):
        notebook = nbformat.read(paths.notebooks / f"{row['chapter']}.ipynb", as_version=4)
        case = nbformat.writes(museum.case(notebook, row, number)) + "\n"
        put(f"assets/cases/{museum.name(number)}", case)
        write_if_changed(paths.cases / museum.name(number), case)
    for old in sorted(paths.stage.rglob("*")):
        if old.is_file() and old not in wanted and "_build" not in old.relative_to(paths.stage).parts:
            old.unlink()
    return missing


def _contents(paths: Paths) -> dict:
    file = paths.root / "_toc.yml"
    try:
        contents = yaml.safe_load(file.read_text(encoding="utf-8"))
        files(contents)
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise BookError(f"'{paths.show(file)}' is not a table of contents ({' '.join(str(error).split())}).") from error
    listed = set(files(contents))
    unlisted = [f"notebooks/{p.stem}" for p in find(paths)] + [f"{PROBLEMS}{p.stem}" for p in problems.find(paths)]
    missing = [name for name in unlisted if name not in listed]
    if missing:
        raise BookError(f"_toc.yml does not list these notebooks: {', '.join(missing)}; add them.")
    return contents


def _strip(value):
    """The same table of contents with pages at the root, so that their addresses are short, and problems by that name."""
    if isinstance(value, dict):
        return {k: _strip(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_strip(v) for v in value]
    if not isinstance(value, str):
        return value
    return course.address(Path(value).name) if value.startswith(PROBLEMS) else value.removeprefix(PAGES)


def _source(paths: Paths, entry: str) -> nbformat.NotebookNode:
    file = paths.root / f"{entry}.ipynb"
    if not file.is_file():
        raise BookError(f"_toc.yml names '{entry}', but there is no '{paths.show(file)}'; add it, or remove the entry.")
    return nbformat.read(file, as_version=4)


def _chapter(name: str, notebook: nbformat.NotebookNode, executed: bool, elsewhere: str) -> nbformat.NotebookNode:
    """A notebook as the site shows it: below the title, one line that says how it was executed."""
    result = artifacts.link(notebook)
    run = result.metadata.get("book", {}).get("run")
    line = generated.run_line(name, run, elsewhere) if executed and run else generated.NOT_EXECUTED
    result.cells.insert(1, new_markdown_cell(line, id="book-run-line"))
    result.metadata.pop("book", None)
    return result


def _copy(file: Path, target: Path, wanted: set[Path]) -> None:
    wanted.add(target)
    if not (target.is_file() and target.read_bytes() == file.read_bytes()):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
