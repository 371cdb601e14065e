"""What the site shows of the course material: problem pages, the quiz and the way to the problems in each chapter."""

from __future__ import annotations

import html
import re

import nbformat

from book.course.problems import Problem, ProblemSet
from book.course.quiz import Question, as_markdown
from book.outline import CHAPTERS

_OBJECTIVE = re.compile(r"^\|[^|]*\|\s*(\d+)\.\s+(.*?)\s*\|$", re.MULTILINE)
_EXERCISES = re.compile(r"^## Exercises$", re.MULTILINE)


def address(chapter: str) -> str:
    """Where the problems of a chapter are in the site, without the ending."""
    return f"problems/{chapter}"


def objectives(notebook: nbformat.NotebookNode) -> dict[int, str]:
    """The numbered objectives of a chapter's opening table, without their links to exercises."""
    found = _OBJECTIVE.findall(notebook.cells[0].source)
    return {int(number): re.sub(r"\s*\(\{ref\}.*\)$", "", text) for number, text in found}


def with_course_material(
    notebook: nbformat.NotebookNode, quiz: list[Question] | None, problem_set: ProblemSet | None
) -> nbformat.NotebookNode:
    """Put the quiz before the exercises of a chapter, and below their heading the way to the problems. In place."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and _EXERCISES.search(cell.source):
            head, tail = _EXERCISES.split(cell.source, maxsplit=1)
            before = as_markdown(quiz) + "\n" if quiz else ""
            after = f"\n\n{_invitation(problem_set)}" if problem_set else ""
            cell.source = f"{head}{before}## Exercises{after}{tail}"
            break
    return notebook


def _invitation(problem_set: ProblemSet) -> str:
    count = len(problem_set.problems)
    return (
        f"The solutions below are part of the chapter. {_number(count)} more problems, each with tests, are in "
        f"[{problem_set.title}](../{address(problem_set.chapter)}.md)."
    )


def page(problem_set: ProblemSet, goals: dict[int, str]) -> str:
    """The page with the problems of one chapter."""
    name = f"{problem_set.chapter}.ipynb"
    parts = [
        f"# {problem_set.title}",
        "",
        f'<p class="run-line">{len(problem_set.problems)} problems, {problem_set.points} points. Tests and solutions are '
        'run while the book is built: <a href="../problems.html">what is proven</a>. '
        f'<a href="../_static/problems/{name}" download="{name}">Download the notebook for students</a></p>',
        "",
        problem_set.introduction,
        "",
        f"These problems belong to [chapter {CHAPTERS.get(problem_set.chapter, problem_set.chapter)}]"
        f"(../notebooks/{problem_set.chapter}.ipynb). Each needs only this set-up:",
        "",
        _python(problem_set.set_up),
        "",
    ]
    for number, problem in enumerate(problem_set.problems, start=1):
        parts += _problem(number, problem, goals)
    return "\n".join(parts)


def _problem(number: int, problem: Problem, goals: dict[int, str]) -> list[str]:
    goal = goals.get(problem.objective, "")
    hidden = sum(test.hidden for test in problem.tests)
    return [
        f"## Problem {number}. {problem.title}",
        "",
        f"**{problem.level.capitalize()}, {problem.points} points.** Objective {problem.objective} of the chapter: {goal}.",
        "",
        problem.text,
        "",
        _python(problem.stub),
        "",
        "These checks come with it:",
        "",
        _python("\n\n".join(test.code for test in problem.tests if not test.hidden)),
        "",
        *_folded(f"Hint to problem {number}", "\n\n".join(problem.hints)),
        *_folded(f"Solution of problem {number}", _python(without_markers(problem.solution))),
        *_folded(
            f"Mistakes that the tests of problem {number} catch",
            "\n".join(f"- {mistake.why} The test `{mistake.fails}` fails." for mistake in problem.mistakes)
            + f"\n\n{_number(hidden)} of the {len(problem.tests)} tests {'is' if hidden == 1 else 'are'} hidden from students.",
        ),
    ]


def _folded(title: str, body: str) -> list[str]:
    return [f"`````{{dropdown}} {title}", body, "`````", ""]


def _python(code: str) -> str:
    return f"```python\n{code.strip()}\n```"


def without_markers(solution: str) -> str:
    """The solution as code to read."""
    return "\n".join(line for line in solution.splitlines() if not line.strip().startswith("### "))


def overview(sets: list[ProblemSet]) -> str:
    """The table of all problem sets, for the page about them."""
    from book.markup import table

    rows = [
        [
            f'<a href="{address(s.chapter)}.html">{html.escape(s.title)}</a>',
            "<br>".join(f"{html.escape(p.title)} ({p.level}, {p.points} points)" for p in s.problems),
            str(sum(len(p.tests) for p in s.problems)),
            str(sum(len(p.mistakes) for p in s.problems)),
        ]
        for s in sets
    ]
    return table("Problem sets", ["set", "problems", "tests", "planted mistakes"], rows)


def _number(count: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")
    return words[count] if count < len(words) else str(count)
