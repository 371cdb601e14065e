"""A problem set: one notebook per chapter in ``assignments/``, from which everything about a problem is made.

A problem is a run of tagged cells, in this order; what belongs to a cell stands in its metadata under ``book``:

======================  ==========================================================================================
``problem`` (Markdown)  ``## Title`` and the task; ``problem`` (its id), ``level``, ``objective`` (number in the
                        chapter's opening table)
``hint`` (Markdown)     at least one
``solution`` (code)     complete code, in which ``### BEGIN SOLUTION`` and ``### END SOLUTION`` enclose what a
                        student has to write
``check`` (code)        a test that the student sees; ``test`` (its name), ``points``
``hidden-test`` (code)  a test that the student does not see; the same fields
``mistake`` (code)      a wrong answer in place of the solution; ``fails`` (the first test that fails), ``why``
======================  ==========================================================================================

Before the first problem stand an introduction (Markdown, its first line a title) and one code cell tagged ``set-up``. A
problem needs nothing but the set-up, so that each can be proven, graded and assigned alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from book import BookError
from book.paths import Paths

LEVELS = ("easy", "medium", "hard")
ORDER = ("problem", "hint", "solution", "check", "hidden-test", "mistake")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
STUB = 'raise NotImplementedError("Replace this line by your solution.")'
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REGION = re.compile(rf"^([ \t]*){BEGIN}\n.*?^[ \t]*{END}$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Test:
    """One test of a problem: code that raises if the answer is wrong."""

    name: str
    code: str
    points: int
    hidden: bool


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students give, and the first test that fails because of it."""

    code: str
    fails: str
    why: str


@dataclass(frozen=True)
class Problem:
    """One problem. ``cells`` are the cells of the source, in order."""

    id: str
    title: str
    level: str
    objective: int
    text: str
    hints: list[str]
    solution: str
    tests: list[Test]
    mistakes: list[Mistake]
    cells: list[nbformat.NotebookNode] = field(repr=False)

    @property
    def points(self) -> int:
        return sum(test.points for test in self.tests)

    @property
    def stub(self) -> str:
        """What a student begins with."""
        return stub(self.solution)


@dataclass(frozen=True)
class ProblemSet:
    """The problems of one chapter."""

    chapter: str
    title: str
    introduction: str
    set_up: str
    problems: list[Problem]

    @property
    def points(self) -> int:
        return sum(problem.points for problem in self.problems)


def stub(solution: str) -> str:
    """The code of a solution with each enclosed region replaced by one line that raises ``NotImplementedError``."""
    return _REGION.sub(lambda region: region.group(1) + STUB, solution)


def find(paths: Paths) -> list[Path]:
    """The problem sets, in the order of the chapters."""
    return sorted((paths.root / "assignments").glob("*.ipynb"))


def read(file: Path) -> ProblemSet:
    """A problem set.

    Raises
    ------
    BookError
        If it cannot be read or breaks a rule of this module; the sentence names the cell.
    """
    try:
        notebook = nbformat.read(file, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError) as error:
        raise BookError(f"'{file.name}' is not a notebook ({' '.join(str(error).split())[:200]}).") from error
    groups: list[list[tuple[str, nbformat.NotebookNode]]] = [[]]
    for cell in notebook.cells:
        kind = _kind(file, cell)
        if kind == "problem":
            groups.append([])
        groups[-1].append((kind, cell))
    front, *rest = groups
    introduction = [cell.source for kind, cell in front if kind == "text"]
    set_up = [cell.source for kind, cell in front if kind == "set-up"]
    if not introduction or not introduction[0].startswith("# "):
        raise BookError(f"'{file.name}' begins without a title; let its first cell begin with '# '.")
    if len(set_up) != 1 or len(introduction) + 1 != len(front):
        raise BookError(f"'{file.name}' needs, before its first problem, text and exactly one cell tagged 'set-up'.")
    problems = [_problem(file, group) for group in rest]
    twice = {p.id for p in problems if [q.id for q in problems].count(p.id) > 1}
    if not problems or twice:
        fault = f"has more than one problem '{min(twice)}'" if twice else "has no problem"
        raise BookError(f"'{file.name}' {fault}; correct the notebook.")
    title, _, text = "\n\n".join(introduction).partition("\n")
    return ProblemSet(file.stem, title.removeprefix("# ").strip(), text.strip(), set_up[0], problems)


def _kind(file: Path, cell: nbformat.NotebookNode) -> str:
    kinds = [tag for tag in cell.metadata.get("tags", []) if tag in (*ORDER, "set-up")]
    if len(kinds) > 1 or (not kinds and cell.cell_type != "markdown"):
        raise BookError(
            f"'{file.name}': the cell '{cell.get('id')}' needs exactly one tag of: set-up, {', '.join(ORDER)}."
        )
    kind = kinds[0] if kinds else "text"
    wanted = "markdown" if kind in ("problem", "hint", "text") else "code"
    if cell.cell_type != wanted:
        raise BookError(f"'{file.name}': the cell '{cell.get('id')}' is tagged '{kind}' and must be a {wanted} cell.")
    return kind


def _problem(file: Path, group: list[tuple[str, nbformat.NotebookNode]]) -> Problem:
    first = group[0][1]
    facts = first.metadata.get("book", {})
    name = str(facts.get("problem", ""))
    where = f"'{file.name}', problem '{name or first.get('id')}'"

    def demand(holds: Any, sentence: str) -> None:
        if not holds:
            raise BookError(f"{where}: {sentence}")

    def of(kind: str) -> list[nbformat.NotebookNode]:
        return [cell for found, cell in group if found == kind]

    def tests(kind: str) -> list[Test]:
        made = []
        for cell in of(kind):
            data = cell.metadata.get("book", {})
            demand(_ID.fullmatch(str(data.get("test", ""))), f"a {kind} cell has no 'test' name in small letters.")
            points = data.get("points", 1)
            demand(isinstance(points, int) and points >= 0, f"the points of '{data['test']}' are no number from 0.")
            made.append(Test(data["test"], cell.source, points, kind == "hidden-test"))
        return made

    demand(_ID.fullmatch(name), "its id must be small letters, digits and single dashes.")
    kinds = [ORDER.index(kind) if kind in ORDER else -1 for kind, _ in group]
    demand(-1 not in kinds, "text without a tag stands inside; tag it 'problem' or 'hint'.")
    demand(kinds == sorted(kinds), f"its cells must come in the order {', '.join(ORDER)}.")
    demand(facts.get("level") in LEVELS, f"its level must be one of {', '.join(LEVELS)}.")
    demand(isinstance(facts.get("objective"), int), "it must name the number of an objective of its chapter.")
    title, _, text = first.source.partition("\n")
    demand(title.startswith("## ") and text.strip(), "its first cell must be '## Title' and a task.")
    demand(of("hint"), "it needs a hint.")
    demand(len(of("solution")) == 1, "it needs exactly one solution.")
    solution = of("solution")[0].source
    demand(_REGION.search(solution), f"its solution must enclose what a student writes in '{BEGIN}' and '{END}'.")
    checks, hidden = tests("check"), tests("hidden-test")
    demand(checks and hidden, "it needs at least one check and one hidden test.")
    names = [test.name for test in (*checks, *hidden)]
    demand(len(set(names)) == len(names), "two of its tests have the same name.")
    mistakes = []
    for cell in of("mistake"):
        data = cell.metadata.get("book", {})
        demand(data.get("fails") in names, f"a mistake names the test '{data.get('fails')}', which it does not have.")
        demand(len(str(data.get("why", "")).split()) >= 4, "a mistake has no sentence 'why'.")
        mistakes.append(Mistake(cell.source, data["fails"], data["why"]))
    demand(len(mistakes) >= 2, "it needs at least two mistakes.")
    caught_hidden = {test.name for test in hidden} & {mistake.fails for mistake in mistakes}
    demand(caught_hidden, "no mistake passes the checks and fails a hidden test, so the hidden tests prove nothing.")
    return Problem(
        name, title.removeprefix("## ").strip(), facts["level"], facts["objective"], text.strip(),
        [cell.source for cell in of("hint")], solution, [*checks, *hidden], mistakes, [cell for _, cell in group],
    )  # fmt: skip
