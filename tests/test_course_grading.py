"""A course from one source: what is made, and a full round trip of honest, clumsy and hostile students.

The round trip needs nbgrader's environment. Everything in it is graded once, by one call of the command line.
"""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import bs4
import nbformat
import pytest
from course_students import QUIET, TAMPERING, answers, hand_in, points, swallow, thief
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import BookError, environment
from book.__main__ import main as command_line
from book.course import grading, kit, notebooks, problems
from book.paths import REPOSITORY, Paths
from conftest import DEADLINE

CHAPTER, SMALL = "03_backprop_math", "90_small"
SETS = sorted((REPOSITORY / "assignments").glob("*.ipynb"))
sys.path.insert(0, str(REPOSITORY / "engines" / "nbgrader"))
review, submissions = (importlib.import_module(name) for name in ("review", "submissions"))
del sys.path[0]


def small_set() -> nbformat.NotebookNode:
    """A set with one problem, whose set-up imports a helper."""

    def cell(make, source, tag, **book):
        return make(source, metadata={"tags": [tag], "book": book} if tag else {})

    code, text = new_code_cell, new_markdown_cell
    return new_notebook(
        cells=[
            cell(text, "# A small set\n\nOne problem.", None),
            cell(code, "from helpers.small import one", "set-up"),
            cell(text, "## Two\n\nWrite `two()`.", "problem", problem="two", level="easy", objective=1),
            cell(text, "One and one.", "hint"),
            cell(
                code, "def two():\n    ### BEGIN SOLUTION\n    return one() + one()\n    ### END SOLUTION", "solution"
            ),
            cell(code, "assert two() > 0, 'It is positive.'", "check", test="positive", points=1),
            cell(code, "assert two() == 2, 'One and one is not that.'", "hidden-test", test="exact", points=2),
            cell(code, "def two():\n    return 0", "mistake", fails="positive", why="Nothing is added to nothing."),
            cell(code, "def two():\n    return 3", "mistake", fails="exact", why="One is added once too often."),
        ]
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A book with two problem sets and a helper."""
    root = tmp_path_factory.mktemp("book")
    for folder in ("assignments", "helpers", "_build/html/slides", "_build/html/_static/fonts"):
        (root / folder).mkdir(parents=True)
    shutil.copy(REPOSITORY / "assignments" / f"{CHAPTER}.ipynb", root / "assignments")
    nbformat.write(small_set(), root / "assignments" / f"{SMALL}.ipynb")
    (root / "helpers" / "__init__.py").write_text("")
    (root / "helpers" / "small.py").write_text(
        "from helpers.smaller import number\n\n\ndef one():\n    return number\n"
    )
    (root / "helpers" / "smaller.py").write_text("number = 1\n")
    (root / "helpers" / "unused.py").write_text("")
    site = root / "_build" / "html"
    (site / "slides" / f"{CHAPTER}.html").write_text('<link href="../_static/s.css"><a href="../index.html">Book</a>')
    (site / "_static" / "s.css").write_text("@font-face { src: url('fonts/f.woff2') }")
    (site / "_static" / "fonts" / "f.woff2").write_bytes(b"font")
    (site / "index.html").write_text("the book")
    return root


def call(root: Path, *arguments: object) -> int:
    return command_line(["--root", str(root), "course", *map(str, arguments)])


# -- What is made, without the engine ------------------------------------------------------------------------------------


@pytest.fixture(params=SETS, ids=lambda file: file.stem)
def problem_set(request):
    return problems.read(request.param)


def test_source_has_valid_metadata_and_all_points(problem_set):
    made = notebooks.source(problem_set)
    nbformat.validate(made)
    facts = [cell.metadata.nbgrader for cell in made.cells if "nbgrader" in cell.metadata]
    assert len({fact.grade_id for fact in facts}) == len(facts)
    assert sum(fact.get("points", 0) for fact in facts) == problem_set.points
    assert all(fact.locked == (not fact.solution) and fact.schema_version == 3 for fact in facts)
    assert sum(fact.solution for fact in facts) == len(problem_set.problems)


def test_students_code_has_the_stubs_and_no_hidden_test(problem_set):
    shown = "\n".join(notebooks.students_code(problem_set))
    assert shown.count(problems.STUB) >= len(problem_set.problems)
    for problem in problem_set.problems:
        for test in problem.tests:
            assert (test.code in shown) != test.hidden, test.name
        assert problem.solution not in shown


def test_instructors_notebook_runs_and_tells_everything(problem_set):
    made = notebooks.instructor(problem_set)
    nbformat.validate(made)
    space: dict = {"__name__": "__main__"}
    for cell in made.cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
    everything = "\n".join(cell.source for cell in made.cells)
    for problem in problem_set.problems:
        parts = [problem.text, problem.solution, *problem.hints, *(test.code for test in problem.tests)]
        parts += [part for mistake in problem.mistakes for part in (mistake.code, mistake.why, f"`{mistake.fails}`")]
        assert all(part in everything for part in parts), problem.id


def test_solutions_stand_when_the_set_up_runs_again_and_need_no_review(problem_set):
    made = notebooks.source(problem_set)
    assert review.remarks(new_notebook(cells=[made.cells[1]]), made) == [], "A solution must not look like an attack."
    for problem in problem_set.problems:
        space: dict = {"__name__": "__main__"}
        for code in (problem_set.set_up, problem.solution, problem_set.set_up, *(test.code for test in problem.tests)):
            exec(code, space)


def test_helpers_come_with_what_they_import_and_no_more(root):
    one = problems.read(root / "assignments" / f"{SMALL}.ipynb")
    assert [file.name for file in notebooks.helpers_needed(one, root)] == ["__init__.py", "small.py", "smaller.py"]
    assert notebooks.helpers_needed(problems.read(root / "assignments" / f"{CHAPTER}.ipynb"), root) == []


@pytest.mark.parametrize(
    ("wanted", "names"), [([], [CHAPTER, SMALL]), (["3"], [CHAPTER]), (["90_small", "3"], [CHAPTER, SMALL])]
)
def test_chapters_are_named_by_number_or_name(root, wanted, names):
    assert [file.stem for file in kit.choose(Paths(root), wanted)] == names


def refused(capsys, root: Path, *arguments: object, words: tuple[str, ...]) -> None:
    capsys.readouterr()
    assert call(root, *arguments) == 2
    out, err = capsys.readouterr()
    assert err.startswith("book: ")
    assert err.count("\n") == 1
    assert all(word in err for word in words), err
    assert "Traceback" not in out + err


def test_mistakes_are_one_sentence_and_lose_nothing(root, tmp_path, capsys, monkeypatch):
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    refused(capsys, root, "make", "--chapters", "77", "--output", tmp_path / "new", words=("'77'", CHAPTER))
    refused(capsys, root, "make", "--output", full, words=("full", "no course", "--output"))
    refused(capsys, root, "make", "--output", tmp_path / "what[1]", words=("'['",))
    refused(capsys, root, "grade", full, words=("is no course", "course make"))
    refused(capsys, root, "grade", full, "--seconds", "0", words=("--seconds 0", "3600"))
    refused(capsys, root, "grade", full, "--memory-mib", "3", words=("--memory-mib 3",))
    refused(capsys, root, "grades", tmp_path / "none", words=("is no course",))
    monkeypatch.setattr(grading, "PYTHON", tmp_path / "python")
    refused(capsys, root, "make", "--output", tmp_path / "new", words=("setup --engine nbgrader",))
    assert [file.name for file in tmp_path.rglob("*")] == ["full", "thesis.txt"]


def test_csv_is_no_formula_and_sorted():
    row = {"student": "b", "assignment": "x", "points": 1.5, "out_of": 3.0, "state": "graded", "reason": "=HYPERLINK(1)",
           "review": ["imports os", "uses 'open'"], "problems": {"two": [1.5, 3]}}  # fmt: skip
    lines = list(csv.DictReader(grading.table([row, {**row, "student": "a"}]).splitlines()))
    assert [line["student"] for line in lines] == ["a", "b"]
    assert lines[0] == {"student": "a", "assignment": "x", "points": "1.5", "out_of": "3", "state": "graded",
                        "reason": "'=HYPERLINK(1)", "review": "imports os; uses 'open'", "problems": "two 1.5/3"}  # fmt: skip


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("def close(*a): return True", "'close' of the set-up"),
        ("np.allclose = lambda *a: True", "changes 'np.allclose'"),
        ("all = any", "Python's 'all'"),
        ("import IPython", "imports IPython"),
        ("from unittest import mock", "imports unittest"),
        ("get_ipython().run_cell = None", "uses 'get_ipython'"),
        ("x = ().__class__.__base__.__subclasses__()", "uses '__subclasses__'"),
        ("def f():\n    global close\n    close = print", "'close' of the set-up"),
        ("%%bash\nls", "command of IPython"),
        ("import fake as np", "imports fake as 'np'"),
    ],
)
def test_code_that_speaks_to_the_tests_is_marked(code, word):
    assert any(word in remark for remark in review.of_code(code, {"close", "np"})), review.of_code(
        code, {"close", "np"}
    )


def test_ordinary_code_is_not_marked():
    code = (
        "import numpy as np\nfrom scipy.special import expit\ndef f(x):\n    y = np.sqrt(x)\n    y[0] = 1\n    return y"
    )
    assert review.of_code(code, {"np", "expit", "close"}) == []


def test_a_submission_gives_answers_and_own_cells_only():
    source = notebooks.source(problems.read(SETS[0]))
    handed_in = nbformat.from_dict(json.loads(json.dumps(source)))
    tests = [cell for cell in handed_in.cells if submissions.is_test(cell)]
    answer = next(cell for cell in handed_in.cells if submissions.is_answer(cell))
    answer.source = "mine = 1"
    tests[0].source = "pass"
    handed_in.cells.remove(tests[1])
    handed_in.cells.insert(handed_in.cells.index(answer) + 1, new_code_cell("own = 2"))
    made, notes = submissions.assemble(source, handed_in)
    originals = [cell.source for cell in source.cells if submissions.is_test(cell)]
    assert [cell.source for cell in made.cells if submissions.is_test(cell)] == originals
    codes = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert codes[codes.index("mine = 1") + 1] == "own = 2"
    assert any(f"'{submissions.grade_id(tests[0])}' was changed" in note for note in notes)


# -- The round trip ------------------------------------------------------------------------------------------------------


@dataclass
class Course:
    """A graded course. ``grades`` are the lines of the CSV by student; ``marks`` what is found only in one student's work."""

    folder: Path
    root: Path
    sets: dict[str, problems.ProblemSet]
    grades: dict[str, dict[str, str]]
    marks: dict[str, str]
    connections: list[str]
    forbidden: list[Path]
    said: str

    def page(self, student: str, assignment: str = CHAPTER) -> str:
        return (self.folder / "feedback" / student / assignment / f"{assignment}.html").read_text(encoding="utf-8")

    def ran(self, student: str, assignment: str = CHAPTER) -> nbformat.NotebookNode:
        return nbformat.read(self.folder / "autograded" / student / assignment / f"{assignment}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def nbgrader_python() -> Path:
    if not grading.available():
        if not os.environ.get("CI"):
            pytest.skip("nbgrader's environment is absent; make it with: python3 -m book setup --engine nbgrader")
        environment.ensure(engine="nbgrader")
    return grading.PYTHON


@pytest.fixture(scope="module")
def graded(nbgrader_python, root, tmp_path_factory) -> Course:
    """Make a course, hand in, grade, give feedback, write grades: by the commands of the README."""
    place = tmp_path_factory.mktemp("round trip")
    folder = place / "course"
    assert call(root, "make", "--output", folder) == 0
    sets = {name: problems.read(root / "assignments" / f"{name}.ipynb") for name in (CHAPTER, SMALL)}
    good = answers(sets[CHAPTER])
    marks = {name: f"mark_of_{name}" for name in ("perfect", "mistakes", "crash", "loop", "thief", "zoe")}
    first = sets[CHAPTER].problems[0].id

    def give(student: str, given: dict[str, str], change=None, assignment: str = CHAPTER) -> Path:
        chosen = {name: f"# {marks[student]}\n{code}" for name, code in {**good, **given}.items()}
        return hand_in(folder, student, assignment, chosen, change)

    perfect = give("perfect", {})
    give("mistakes", {problem.id: problem.mistakes[0].code for problem in sets[CHAPTER].problems})
    give("crash", {"output-error": "raise ValueError('of my own')", "two-layers": "import os\nos._exit(1)"})
    give("loop", {first: "while True:\n    pass", "kink": swallow()})
    forbidden = [folder / "stolen", folder / "submitted" / "perfect" / "stolen", place / "stolen", nbgrader_python.parent / "stolen",
                 Path("/tmp") / f"stolen-{os.getpid()}"]  # fmt: skip
    files = [folder / "gradebook.db", folder / "source" / CHAPTER / f"{CHAPTER}.ipynb", perfect,
             REPOSITORY / "assignments" / f"{CHAPTER}.ipynb", REPOSITORY / "README.md"]  # fmt: skip
    sockets = [socket.create_server(("127.0.0.1", 0))]
    sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sockets[1].bind(sockets[0].getsockname())
    sockets.append(socket.socket(socket.AF_UNIX))
    sockets[2].bind(str(place / "unix"))
    sockets[2].listen()
    steal = thief(folder, files, forbidden, sockets[0].getsockname()[1], place / "unix", os.getpid())

    def steals(notebook):
        notebook.cells.insert(0, new_code_cell(steal))
        notebook.cells.append(new_code_cell("def close(*anything):\n    return True\nprint(In)\nOut, In"))
        notebook.cells.append(new_code_cell("print('<script src=https://example.org/x.js></script>')"))
        notebook.cells.append(
            new_markdown_cell("![](https://example.org/x.png)<iframe src='https://example.org'></iframe>")
        )

    give(
        "thief",
        {"output-error": "def output_error(a, y):\n    return a\n\ndef close(*anything):\n    return True"},
        steals,
    )
    hand_in(folder, "zoe", SMALL, {"two": f"# {marks['zoe']}\nimport os\nprint(sorted(os.listdir('.')))\n"
                                   + sets[SMALL].problems[0].solution})  # fmt: skip
    for student, meddling in (("quiet", QUIET), ("tampering", TAMPERING)):
        hand_in(folder, student, SMALL, {"two": meddling + "def two():\n    return 3"})
    for student, content in {"garbled": b"{ this is no notebook", "empty": b"{}"}.items():
        hand_in(folder, student, CHAPTER, {}).write_bytes(content)
    wrong = hand_in(folder, "misnamed", CHAPTER, good)
    wrong.rename(wrong.with_name("my_homework.ipynb"))
    link = hand_in(folder, "linked", CHAPTER, {})
    link.unlink()
    link.symlink_to(files[1])
    (folder / "submitted" / "not a student!").mkdir()
    before = (folder / "source" / CHAPTER / f"{CHAPTER}.ipynb").read_bytes()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert call(root, "grade", folder, "--seconds", "5") == 0
    assert call(root, "feedback", folder) == 0
    assert call(root, "grades", folder, "--output", place / "grades.csv") == 0
    assert (folder / "source" / CHAPTER / f"{CHAPTER}.ipynb").read_bytes() == before
    connections = []
    for kind, end in zip(("tcp", "udp", "unix"), sockets, strict=True):
        end.settimeout(0.05)
        try:
            end.recv(1) if kind == "udp" else end.accept()
            connections.append(kind)
        except TimeoutError:
            pass
        end.close()
    lines = csv.DictReader((place / "grades.csv").read_text(encoding="utf-8").splitlines())
    return Course(folder, root, sets, {line["student"]: line for line in lines}, marks, connections, forbidden,
                  said.getvalue())  # fmt: skip


def test_expected_scores_come_out(graded):
    chapter, full = graded.sets[CHAPTER], graded.sets[CHAPTER].points
    of = {problem.id: problem.points for problem in chapter.problems}
    mistakes = {p.id: points(p, p.mistakes[0].code, chapter.set_up) for p in chapter.problems}
    assert 0 < sum(mistakes.values()) < full
    expected = {
        "perfect": of,
        "mistakes": mistakes,
        "crash": {**of, "output-error": 0, "two-layers": 0, "kink": 0},
        "loop": {**of, "layer-product": 0, "kink": 0},
        "thief": {**of, "output-error": 0},
        **dict.fromkeys(("garbled", "empty", "misnamed", "linked"), dict.fromkeys(of, 0)),
    }
    for student, each in expected.items():
        line = graded.grades[student]
        assert (line["points"], line["out_of"]) == (f"{sum(each.values())}", f"{full}"), line
        assert line["problems"] == "; ".join(f"{name} {each[name]}/{of[name]}" for name in of), student
    small = {student: graded.grades[student]["points"] for student in ("zoe", "quiet", "tampering")}
    assert small == {"zoe": "3", "quiet": "1", "tampering": "0"}
    assert set(graded.grades) == {*expected, *small}


def test_state_and_reason_say_what_happened(graded):
    said = {student: (line["state"], line["reason"]) for student, line in graded.grades.items()}
    for student in ("perfect", "mistakes", "thief", "zoe", "quiet"):
        assert said[student] == ("graded", "")
    assert said["tampering"][0] == "stopped"
    assert "changed how errors are reported" in said["tampering"][1]
    assert said["crash"] == ("stopped", "The code ended the kernel. 9 of 22 tests did not run.")
    assert said["loop"] == ("stopped", "The code ran too long and ignored the interrupt. 5 of 22 tests did not run.")
    for student, word in {"garbled": "not a notebook", "empty": "not a notebook", "linked": "is a link",
                          "misnamed": "my_homework.ipynb"}.items():  # fmt: skip
        assert said[student][0] == "not graded"
        assert word in said[student][1]
        assert word.replace("_", "") in bs4.BeautifulSoup(graded.page(student), "html.parser").get_text().replace(
            "_", ""
        )


def test_the_command_line_tells_of_each_submission_and_believes_no_student(graded):
    lines = graded.said.splitlines()
    assert len([line for line in lines if line.startswith("  ") and ", " in line and CHAPTER in line]) == 9
    assert f"  perfect, {CHAPTER}: graded." in lines
    assert f"  thief, {CHAPTER}: graded. Worth a look." in lines
    assert any("not a student!" in line for line in lines)
    assert lines[-1] == "12 submissions, 7 of them not graded in full."
    assert "forged" not in graded.said


def test_only_suspicious_code_is_marked_for_review(graded):
    for student in ("perfect", "mistakes", "loop"):
        assert graded.grades[student]["review"] == ""
    for word in ("imports socket", "'close' of the set-up", "uses 'In'"):
        assert word in graded.grades["thief"]["review"]


def test_the_thief_got_nothing(graded):
    says = graded.ran("thief").cells[0].outputs[0].text
    assert "\nDEEDS []\n" in says, says
    assert says.count(" failed: ") > 30
    assert graded.connections == []
    assert [file for file in graded.forbidden if file.exists()] == []


def test_each_student_starts_in_an_empty_folder(graded):
    answer = next(
        cell for cell in graded.ran("zoe", SMALL).cells if cell.metadata.get("nbgrader", {}).get("grade_id") == "two"
    )
    assert answer.outputs[0].text.strip().endswith("'helpers']")
    assert "left-behind" not in str(answer.outputs)


def test_nothing_of_one_student_reaches_another(graded):
    for file in [*graded.folder.glob("feedback/**/*.html"), *graded.folder.glob("autograded/**/*.ipynb")]:
        owner, text = file.parent.parent.name, file.read_text(encoding="utf-8")
        assert [name for name, mark in graded.marks.items() if mark in text] == (
            [owner] if owner in graded.marks else []
        )
    assert not list(graded.folder.rglob(".staging"))


def secret_lines(one: problems.ProblemSet) -> set[str]:
    """Lines of hidden tests that no student has seen elsewhere."""
    shown = "\n".join([one.set_up, *(p.text for p in one.problems), *(p.solution for p in one.problems),
                       *(m.code for p in one.problems for m in p.mistakes),
                       *(t.code for p in one.problems for t in p.tests if not t.hidden)])  # fmt: skip
    lines = {line.strip() for p in one.problems for t in p.tests if t.hidden for line in t.code.splitlines()}
    return {line for line in lines if len(line) > 20 and line not in shown and '"' not in line}


def test_feedback_keeps_hidden_tests_unless_asked_and_loads_nothing(graded, capsys):
    secret = secret_lines(graded.sets[CHAPTER])
    assert len(secret) > 20
    for student in ("perfect", "mistakes", "crash", "loop", "thief", "garbled"):
        page = graded.page(student)
        text = bs4.BeautifulSoup(page, "html.parser").get_text()
        assert [line for line in secret if line in text] == []
        tree = bs4.BeautifulSoup(page, "html.parser")
        assert "default-src 'none'" in tree.head.find("meta")["content"]
        assert not tree.find_all(["script", "iframe", "link", "object", "embed", "base"])
    assert "is not what it is by hand" in graded.page("mistakes"), "A failed hidden test says its sentence."
    assert call(graded.root, "feedback", graded.folder, "--student", "mistakes", "--show-hidden") == 0
    text = bs4.BeautifulSoup(graded.page("mistakes"), "html.parser").get_text()
    assert [line for line in secret if line not in text] == []


def test_the_release_shows_stubs_and_checks_only(graded):
    file = graded.folder / "release" / CHAPTER / f"{CHAPTER}.ipynb"
    text = "\n".join(cell.source for cell in nbformat.read(file, as_version=4).cells)
    assert [line for line in secret_lines(graded.sets[CHAPTER]) if line in text] == []
    assert text.count(problems.STUB) == len(graded.sets[CHAPTER].problems)
    assert (graded.folder / "release" / SMALL / "helpers" / "smaller.py").is_file()


def test_slides_come_with_what_they_load(graded):
    kept = {
        str(file.relative_to(graded.folder))
        for step in ("slides", "_static")
        for file in (graded.folder / step).rglob("*.*")
    }
    assert kept == {f"slides/{CHAPTER}.html", "_static/s.css", "_static/fonts/f.woff2"}


def test_the_same_is_not_graded_twice_and_a_change_is(graded, capsys):
    for student, content in (("garbled", b"[]"), ("misnamed", None)):
        file = graded.folder / "submitted" / student / CHAPTER / f"{CHAPTER}.ipynb"
        if content:
            file.write_bytes(content)
        capsys.readouterr()
        assert call(graded.root, "grade", graded.folder, "--student", student) == 0
        assert ("(unchanged)" in capsys.readouterr().out) == (content is None)


def test_a_second_make_keeps_what_students_did(graded, capsys):
    def everything() -> dict[Path, bytes]:
        return {
            file: file.read_bytes() for file in graded.folder.rglob("*") if file.is_file() and not file.is_symlink()
        }

    before = everything()
    assert call(graded.root, "make", "--output", graded.folder) == 0
    assert everything() == before
    file = graded.root / "assignments" / f"{SMALL}.ipynb"
    original = file.read_text(encoding="utf-8")
    file.write_text(original.replace("'It is positive.'", "'It is above zero.'"), encoding="utf-8")
    try:
        refused(capsys, graded.root, "make", "--output", graded.folder, words=(SMALL, "'quiet'", "nothing was changed"))
    finally:
        file.write_text(original, encoding="utf-8")
    assert everything() == before


def test_a_wrong_name_is_one_sentence(graded, capsys):
    refused(capsys, graded.root, "grade", graded.folder, "--student", "nobody", words=("'nobody'", "perfect"))
    refused(capsys, graded.root, "feedback", graded.folder, "--assignment", "99", words=("'99'", CHAPTER))


def test_without_landlock_grading_is_refused(graded, monkeypatch, tmp_path):
    code = ("import sys, argparse; sys.path.insert(0, sys.argv[1]); import autograde, subprocess\n"
            "autograde.subprocess.run = lambda *a, **k: subprocess.CompletedProcess(a, 0, '{\"landlock\": 0, \"readable\": []}')\n"
            "try:\n    autograde.isolation(autograde.Path('/'), autograde.Limits())\nexcept autograde.Refused as r:\n    print(r)")  # fmt: skip
    done = subprocess.run([str(grading.PYTHON), "-c", code, str(REPOSITORY / "engines" / "nbgrader")], capture_output=True,
                          text=True, timeout=DEADLINE, check=True)  # fmt: skip
    assert "no Landlock" in done.stdout
    assert "--unsafe" in done.stdout


def test_an_absent_engine_is_one_sentence(graded, monkeypatch, tmp_path):
    monkeypatch.setattr(grading, "PYTHON", tmp_path / "python")
    with pytest.raises(BookError, match="setup --engine nbgrader"):
        list(
            grading.grade(
                graded.folder, assignment=None, student=None, seconds=2, memory_mib=512, unsafe=False, force=False
            )
        )
