"""Notebooks made of a problem set: the source of a course in nbgrader's form, the reader's and the instructor's."""

from __future__ import annotations

import ast
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book.course.problems import Problem, ProblemSet, Test

HIDDEN_BEGIN, HIDDEN_END = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
_KERNEL = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
           "language_info": {"name": "python"}}  # fmt: skip


def test_id(problem: Problem, test: Test) -> str:
    """The name of a test in the gradebook, such as ``layer-product_by-hand``."""
    return f"{problem.id}_{test.name}"


def source(problem_set: ProblemSet) -> NotebookNode:
    """The notebook from which nbgrader makes the students' one: solutions and hidden tests between markers.

    Every cell that counts has nbgrader's metadata: the set-up is locked, each answer is a solution, each test a grade.
    """
    cells = [
        new_markdown_cell(f"# {problem_set.title}\n\n{problem_set.introduction}", id="title"),
        _code(problem_set.set_up, "_set-up", locked=True),
    ]
    for problem in problem_set.problems:
        cells.append(new_markdown_cell(_task(problem), id=f"{problem.id}_task"[:64]))
        cells.append(_code(problem.solution, problem.id, solution=True))
        for test in problem.tests:
            code = test.code
            if test.hidden:
                code = f"{_placeholder(test)}\n{HIDDEN_BEGIN}\n{code}\n{HIDDEN_END}"
            cells.append(_code(code, test_id(problem, test), points=test.points))
    return new_notebook(cells=cells, metadata=_KERNEL)


def to_work_alone(problem_set: ProblemSet) -> NotebookNode:
    """What a reader downloads from the site: tasks, stubs and the visible tests, and nothing of nbgrader."""
    cells = [
        new_markdown_cell(f"# {problem_set.title}\n\n{problem_set.introduction}", id="title"),
        new_code_cell(problem_set.set_up, id="set-up"),
    ]
    for problem in problem_set.problems:
        cells += [
            new_markdown_cell(_task(problem), id=problem.id[:64]),
            new_code_cell(problem.stub, id=f"{problem.id}-answer"[:64]),
            *(new_code_cell(t.code, id=f"{problem.id}-{t.name}"[:64]) for t in problem.tests if not t.hidden),
        ]
    return new_notebook(cells=cells, metadata=_KERNEL)


def students_code(problem_set: ProblemSet) -> list[str]:
    """The code cells of the students' notebook, in order."""
    cells = [problem_set.set_up]
    for problem in problem_set.problems:
        cells.append(problem.stub)
        cells += [_placeholder(test) if test.hidden else test.code for test in problem.tests]
    return cells


def instructor(problem_set: ProblemSet) -> NotebookNode:
    """Everything about the problems: task, hints, solution, all tests, and the usual mistakes with the test that finds each.

    It runs from top to bottom; mistakes stand in Markdown, so that none replaces a solution.
    """
    cells = [new_markdown_cell(f"# {problem_set.title}: for the instructor\n\n{problem_set.introduction}"),
             new_code_cell(problem_set.set_up)]  # fmt: skip
    for problem in problem_set.problems:
        cells.append(
            new_markdown_cell(
                f"{_task(problem)}\n\nLevel: {problem.level}. Objective {problem.objective} of the chapter."
            )
        )
        cells.append(new_code_cell(problem.solution))
        for test in problem.tests:
            kind = "hidden" if test.hidden else "visible"
            cells.append(new_markdown_cell(f"Test `{test.name}` ({kind}), points: {test.points}"))
            cells.append(new_code_cell(test.code))
        mistakes = [
            f"**{mistake.why}** Found by `{mistake.fails}`.\n\n```python\n{mistake.code}\n```"
            for mistake in problem.mistakes
        ]
        cells.append(new_markdown_cell("### Usual mistakes\n\n" + "\n\n".join(mistakes)))
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    return new_notebook(cells=cells, metadata=_KERNEL)


def helpers_needed(problem_set: ProblemSet, root: Path) -> list[Path]:
    """The files of ``helpers`` that a student's notebook needs, with those that they import in turn."""
    code = [problem_set.set_up]
    for problem in problem_set.problems:
        code += [problem.solution, *(test.code for test in problem.tests)]
    pending = {name for text in code for name in _helpers_in(text)}
    found: set[Path] = set()
    while pending:
        name = pending.pop()
        base = root.joinpath(*name.split("."))
        files = [file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()]
        files += [folder / "__init__.py" for folder in base.parents if folder.is_relative_to(root / "helpers")]
        for file in files:
            if file not in found and file.is_file():
                found.add(file)
                pending |= _helpers_in(file.read_text(encoding="utf-8"))
    return sorted(found)


def _helpers_in(code: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] == "helpers"}


def _placeholder(test: Test) -> str:
    return f"# A hidden test stands here when your notebook is graded. Points: {test.points}."


def _task(problem: Problem) -> str:
    hints = "\n\n".join(f"<details><summary>Hint</summary>\n\n{hint}\n\n</details>" for hint in problem.hints)
    return f"## {problem.title}\n\n{problem.text}\n\nPoints: {problem.points}.\n\n{hints}"


def _code(
    code: str, name: str, *, locked: bool = False, solution: bool = False, points: int | None = None
) -> NotebookNode:
    facts = {"schema_version": 3, "grade_id": name, "grade": points is not None, "solution": solution,
             "locked": locked or points is not None, "task": False}  # fmt: skip
    if points is not None:
        facts["points"] = points
    return new_code_cell(code, id=name[:64], metadata={"nbgrader": facts})
