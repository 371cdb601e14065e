"""The two texts of a kit: its README and nbgrader's configuration."""

from __future__ import annotations

from book.course.problems import STUB

_README = """# A course with "Large Models in Practice"

Made by `python -m book course make`. Chapters: {chapters}.

| folder | what is in it | for whom |
|---|---|---|
| `release/` | the notebooks that students get, with a stub for each answer, hints and visible tests | students |
| `instructor/` | task, hints, solution, all tests, and the usual mistakes with the test that finds each | you |
| `source/` | the same problems in nbgrader's form, with solutions and hidden tests | nbgrader |
| `slides/` | slides of the chapters, if the book was built before | class |
| `submitted/STUDENT/ASSIGNMENT/ASSIGNMENT.ipynb` | what students hand in; you put it there | nbgrader |
| `autograded/` | what was run, with all outputs | you |
| `feedback/STUDENT/` | a page for each student; hidden tests are left out | each student |
| `gradebook.db` | all points, also those that you give by hand | nbgrader |

## The commands, in order

1. Give each student the folder `release/ASSIGNMENT`. The notebooks need Python with NumPy, SciPy, scikit-learn and Jupyter.
2. Put what comes back under `submitted/`, one folder for each student (letters, digits, dots and dashes), file names
   unchanged: `submitted/ada/{first}/{first}.ipynb`.
3. In the book's folder, with COURSE for this folder:

       .venv/bin/python -m book course grade COURSE
       .venv/bin/python -m book course feedback COURSE
       .venv/bin/python -m book course grades COURSE --output grades.csv

`grade` runs what is new or has changed; `--force` runs everything, `--student NAME` and `--assignment NAME` choose.
`--seconds` bounds each cell (the whole notebook may use four times as much), `--memory-mib` the memory.

Students' code runs locked in: it can read Python's libraries and write into an empty folder, nothing else. Do not use
`nbgrader autograde` in its place, which runs their code with all your rights. nbgrader's other commands work on this
folder, for instance its form for grading by hand. The page "Grading" of the book tells what is kept from whom, and what is not.

Rows of `grades.csv` with something in `review` are worth a look: that code does more than answer. It costs no points.

To add chapters or to renew notebooks, run `.venv/bin/python -m book course make` again. A set that somebody has handed in is never changed.
"""

_CONFIG = """# For nbgrader's own commands (generate_assignment, formgrader, export). Grade with `python -m book course grade`,
# because `nbgrader autograde` runs students' code with all your rights.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = {course!r}
c.ClearSolutions.code_stub = {{"python": {stub!r}}}
c.ClearSolutions.begin_solution_delimeter = "### BEGIN SOLUTION"
c.ClearSolutions.end_solution_delimeter = "### END SOLUTION"
"""


def readme(chapters: list[str]) -> str:
    return _README.format(chapters=", ".join(f"`{name}`" for name in chapters), first=chapters[0])


def config(course: str) -> str:
    return _CONFIG.format(course=course, stub=STUB)
