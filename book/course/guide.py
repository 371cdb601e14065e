"""What the page for teachers is made from: objectives against exercises, common mistakes, timing, three syllabi."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass

import nbformat
import yaml
from docutils.nodes import make_id

from book import BookError
from book.course import timing
from book.course.pages import address, objectives
from book.course.problems import LEVELS, ProblemSet
from book.markup import table
from book.outline import CHAPTERS
from book.paths import Paths

_EXERCISE = re.compile(r"\{ref\}`([^`<]+?)\s*<([\w-]+)>`")


@dataclass(frozen=True)
class Session:
    """One session of a syllabus. ``teach`` gives the sections of each chapter, ``home`` the levels of its problems."""

    title: str
    teach: dict[str, list[str]]
    home: dict[str, list[str]]


@dataclass(frozen=True)
class Syllabus:
    id: str
    title: str
    who: str
    meetings: str
    minutes: int
    sessions: list[Session]


def chapters(paths: Paths) -> dict[str, nbformat.NotebookNode]:
    """The sources of all chapters."""
    return {p.stem: nbformat.read(p, as_version=4) for p in sorted(paths.notebooks.glob("*.ipynb"))}


def read_syllabi(paths: Paths, notebooks: dict[str, nbformat.NotebookNode]) -> list[Syllabus]:
    """The syllabi of ``book/data/syllabi.yml``; none if there is no such file.

    Raises
    ------
    BookError
        If a session names a chapter, a section or a level that does not exist.
    """
    file = paths.data / "syllabi.yml"
    if not file.is_file():
        return []
    found = []
    for row in yaml.safe_load(file.read_text(encoding="utf-8")):
        sessions = [_session(row["id"], session, notebooks) for session in row["sessions"]]
        found.append(Syllabus(row["id"], row["title"], row["who"], row["meetings"], int(row["minutes"]), sessions))
    return found


def _session(course: str, row: dict, notebooks: dict[str, nbformat.NotebookNode]) -> Session:
    where = f"syllabi.yml, '{course}', '{row['title']}'"
    teach = {}
    for chapter, wanted in row["teach"].items():
        if chapter not in notebooks:
            raise BookError(f"{where} names the chapter '{chapter}', which is not there; correct it.")
        there = [section.title for section in timing.sections(notebooks[chapter])]
        teach[chapter] = there if wanted == "all" else wanted
        for title in teach[chapter]:
            if title not in there:
                raise BookError(
                    f"{where} names '{title}', which is no section of {chapter}; there are: {'; '.join(there)}."
                )
    home = row.get("home", {})
    for chapter, levels in home.items():
        if chapter not in notebooks or not set(levels) <= set(LEVELS):
            raise BookError(
                f"{where}: 'home' must name chapters and levels ({', '.join(LEVELS)}), not {chapter}: {levels}."
            )
    return Session(row["title"], teach, home)


def planned(session: Session, notebooks: dict[str, nbformat.NotebookNode]) -> float:
    """Minutes that a session needs in class."""
    sections = [
        section
        for chapter, titles in session.teach.items()
        for section in timing.sections(notebooks[chapter])
        if section.title in titles
    ]
    return timing.in_class(sum(section.minutes for section in sections))


def at_home(session: Session, sets: dict[str, ProblemSet]) -> float:
    """Minutes that the problems of a session take."""
    return sum(
        timing.MINUTES[problem.level]
        for chapter, levels in session.home.items()
        if chapter in sets
        for problem in sets[chapter].problems
        if problem.level in levels
    )


def syllabi_page(paths: Paths, sets: dict[str, ProblemSet]) -> str:
    notebooks = chapters(paths)
    parts = []
    for syllabus in read_syllabi(paths, notebooks):
        rows = []
        for number, session in enumerate(syllabus.sessions, start=1):
            taught = "; ".join(_taught(chapter, titles, notebooks) for chapter, titles in session.teach.items())
            home = "; ".join(_home(chapter, levels, sets) for chapter, levels in session.home.items()) or "none"
            rows.append([
                f"{number}. {html.escape(session.title)}", taught, str(timing.rounded(planned(session, notebooks))), home,
                str(timing.rounded(at_home(session, sets))) if session.home else "0",
            ])  # fmt: skip
        head = ["session", "what is taught", "minutes in class", "problems at home", "minutes at home"]
        parts += [
            f"### {syllabus.title}",
            "",
            f"{syllabus.who} There are {syllabus.minutes} minutes for each row: {syllabus.meetings}.",
            "",
            table(syllabus.title, head, rows),
            "",
        ]
    return "\n".join(parts)


def _taught(chapter: str, titles: list[str], notebooks: dict[str, nbformat.NotebookNode]) -> str:
    name = f'<a href="notebooks/{chapter}.html">{CHAPTERS.get(chapter, chapter)}</a>'
    if titles == [section.title for section in timing.sections(notebooks[chapter])]:
        return f"{name}, all of it"
    links = ", ".join(
        f'<a href="notebooks/{chapter}.html#{make_id(title)}">{html.escape(title)}</a>' for title in titles
    )
    return f"{name}: {links}"


def _home(chapter: str, levels: Iterable[str], sets: dict[str, ProblemSet]) -> str:
    if chapter not in sets:
        return CHAPTERS.get(chapter, chapter)
    return f'<a href="{address(chapter)}.html">{CHAPTERS.get(chapter, chapter)}</a>, {" and ".join(levels)}'


def objectives_page(paths: Paths, sets: dict[str, ProblemSet]) -> str:
    """Every objective, with the exercises and problems that test it. A Markdown table, because objectives hold formulas."""
    rows = ["| chapter, objective | you will be able to | exercises | problems |", "|---|---|---|---|"]
    for chapter, notebook in chapters(paths).items():
        links = _exercises(notebook)
        for number, goal in objectives(notebook).items():
            exercises = [f"[{text}](#{label})" for text, label in links.get(number, [])]
            problems = [
                f'<a href="{address(chapter)}.html#{make_id(f"Problem {k}. {p.title}")}">problem {k}</a> ({p.level})'
                for k, p in enumerate(sets[chapter].problems if chapter in sets else [], start=1)
                if p.objective == number
            ]
            name = f"[{CHAPTERS.get(chapter, chapter)}](notebooks/{chapter}.ipynb), {number}"
            rows.append(f"| {name} | {goal} | {', '.join(exercises)} | {', '.join(problems) or 'none'} |")
    return "\n".join(rows)


def _exercises(notebook: nbformat.NotebookNode) -> dict[int, list[tuple[str, str]]]:
    rows = re.findall(r"^\|[^|]*\|\s*(\d+)\.\s+(.*?)\s*\|$", notebook.cells[0].source, re.MULTILINE)
    return {int(number): _EXERCISE.findall(text) for number, text in rows}


def mistakes_page(sets: dict[str, ProblemSet]) -> str:
    """The mistakes that the problems' tests are made for, by chapter, each in a box that unfolds."""
    parts = []
    for chapter, problem_set in sets.items():
        items = "\n".join(
            f"- *{problem.title}.* {mistake.why}" for problem in problem_set.problems for mistake in problem.mistakes
        )
        count = sum(len(problem.mistakes) for problem in problem_set.problems)
        parts += [f"`````{{dropdown}} {CHAPTERS.get(chapter, chapter)}: {count} mistakes", items, "`````", ""]
    return "\n".join(parts)


def timing_page(paths: Paths) -> str:
    """Minutes per section, in class; one box per chapter."""
    parts = []
    for chapter, notebook in chapters(paths).items():
        sections = timing.sections(notebook)
        total = timing.rounded(timing.in_class(sum(s.minutes for s in sections)))
        items = "\n".join(f"- {s.title}: {timing.rounded(timing.in_class(s.minutes))} minutes" for s in sections)
        parts += [f"`````{{dropdown}} {CHAPTERS.get(chapter, chapter)}: {total} minutes", items, "`````", ""]
    return "\n".join(parts)
