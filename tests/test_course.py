"""Course material: problem sets and their proof, quizzes, the guide for teachers, slides."""

import copy
import json
import re

import nbformat
import pytest
import yaml
from bs4 import BeautifulSoup

from book import BookError, outline
from book.course import guide, notebooks, pages, problems, prove, quiz, slides, timing
from book.paths import REPOSITORY, Paths

PATHS = Paths(REPOSITORY)
FILES = problems.find(PATHS)
CORE = ("03_backprop_math", "04_loss_examples", "05_mnist", "06_augmented_cnn", "11_deployment", "13_evaluation_faq")
CHAPTERS = [p.stem for p in sorted(PATHS.notebooks.glob("*.ipynb"))]
EXAMPLE = PATHS.root / "assignments" / "03_backprop_math.ipynb"

every_set = pytest.mark.parametrize("file", FILES, ids=lambda p: p.stem)
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)


# --- the problem sets of the book ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proofs():
    return {proof["chapter"]: proof for proof in prove.records(PATHS)}


@every_set
def test_stubs_fail_solutions_pass_and_mistakes_are_caught(file, proofs):
    proof = proofs[file.stem]
    assert proof["faults"] == []
    assert proof["mistakes"] >= 2 * proof["problems"]


@every_chapter
def test_every_chapter_has_enough_problems_of_different_levels(chapter):
    found = problems.read(PATHS.root / "assignments" / f"{chapter}.ipynb").problems
    assert len(found) >= (5 if chapter in CORE else 3)
    assert len({problem.level for problem in found}) >= 2


@every_set
def test_every_problem_names_an_objective_of_its_chapter(file):
    goals = pages.objectives(nbformat.read(PATHS.notebooks / file.name, as_version=4))
    for problem in problems.read(file).problems:
        assert problem.objective in goals, problem.id


@every_set
def test_a_set_is_clean_and_self_contained(file):
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert not re.search(r"import (tensorflow|keras|jax|torch)|load_\w+\(|open\(|urlopen|import requests", code)


def test_ids_of_problems_are_unique_within_the_book_of_a_course():
    names = [(file.stem, problem.id) for file in FILES for problem in problems.read(file).problems]
    assert len(set(names)) == len(names)


# --- the rules -----------------------------------------------------------------------------------------------------


def changed(tmp_path, change):
    """The example with a change, as a file."""
    notebook = copy.deepcopy(nbformat.read(EXAMPLE, as_version=4))
    change(notebook)
    file = tmp_path / "03_backprop_math.ipynb"
    nbformat.write(notebook, file)
    return file


def cell(notebook, kind, number=0):
    return [c for c in notebook.cells if kind in c.metadata.get("tags", [])][number]


def without(kind, count):
    def change(notebook):
        for _ in range(count):
            notebook.cells.remove(cell(notebook, kind))

    return change


def facts(kind, **new):
    return lambda notebook: cell(notebook, kind).metadata["book"].update(new)


def source(kind, text):
    return lambda notebook: cell(notebook, kind).__setitem__("source", text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("hint", 1), "it needs a hint"),
        (without("solution", 1), "it needs exactly one solution"),
        (without("set-up", 1), "exactly one cell tagged 'set-up'"),
        (without("check", 1), "at least one check and one hidden test"),
        (without("hidden-test", 2), "at least one check and one hidden test"),
        (without("mistake", 3), "at least two mistakes"),
        (facts("problem", level="brutal"), "its level must be one of"),
        (facts("problem", objective="first"), "the number of an objective"),
        (facts("problem", problem="Two words"), "small letters"),
        (facts("check", test="Not a name"), "no 'test' name"),
        (facts("check", points=-1), "the points of 'shapes'"),
        (facts("check", test="by-hand"), "two of its tests have the same name"),
        (facts("mistake", fails="elsewhere"), "names the test 'elsewhere'"),
        (facts("mistake", why="wrong"), "no sentence 'why'"),
        (source("solution", "def forward(x, W, b):\n    return x"), "must enclose what a student writes"),
        (source("problem", "A task without a title"), "'## Title' and a task"),
        (lambda n: cell(n, "check").metadata.update(tags=[]), "needs exactly one tag"),
        (lambda n: cell(n, "check").metadata.update(tags=["check", "mistake"]), "needs exactly one tag"),
        (lambda n: n.cells.append(n.cells.pop(n.cells.index(cell(n, "solution")))), "exactly one solution"),
        (lambda n: n.cells.pop(0), "without a title"),
    ],
)
def test_a_broken_rule_is_one_sentence_that_names_the_file(tmp_path, change, sentence):
    with pytest.raises(BookError) as error:
        problems.read(changed(tmp_path, change))
    assert sentence in str(error.value)
    assert "03_backprop_math.ipynb" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_no_notebook_is_refused(tmp_path):
    (tmp_path / "x.ipynb").write_text("no json")
    with pytest.raises(BookError, match="is not a notebook"):
        problems.read(tmp_path / "x.ipynb")


def test_the_stub_keeps_the_frame_and_loses_the_answer():
    solution = "def f(x):\n    y = 1\n    ### BEGIN SOLUTION\n    z = 2\n\n    return z\n    ### END SOLUTION\n"
    stub = problems.stub(solution)
    assert stub == f"def f(x):\n    y = 1\n    {problems.STUB}\n"
    for found in problems.read(EXAMPLE).problems:
        assert "BEGIN SOLUTION" not in found.stub
        assert problems.STUB in found.stub
        compile(found.stub, "<stub>", "exec")


# --- a proof that can fail -----------------------------------------------------------------------------------------


def faults(tmp_path, change):
    return prove.prove(problems.read(changed(tmp_path, change)))


def test_the_proof_of_the_example_holds(tmp_path):
    assert faults(tmp_path, lambda notebook: None) == []


def test_a_wrong_solution_is_found(tmp_path):
    wrong = "def forward(x, W, b):\n    ### BEGIN SOLUTION\n    return x @ W, x @ W\n    ### END SOLUTION"
    (found,) = faults(tmp_path, source("solution", wrong))
    assert "the solution fails 'by-hand'" in found


def test_tests_that_check_nothing_are_found(tmp_path):
    def change(notebook):
        for kind, number in (("check", 0), ("hidden-test", 0), ("hidden-test", 1)):
            cell(notebook, kind, number).source = "pass"

    found = faults(tmp_path, change)
    assert any("the stub passes all tests" not in fault and "a mistake passes all tests" in fault for fault in found)


def test_a_stub_that_is_an_answer_is_found(tmp_path):
    frame = (
        "def forward(x, W, b):\n    z = x @ W + b\n    return z, expit(z)\n    ### BEGIN SOLUTION\n    ### END SOLUTION"
    )
    assert any("the stub passes all tests" in fault for fault in faults(tmp_path, source("solution", frame)))


def test_a_mistake_that_another_test_catches_is_found(tmp_path):
    assert any("first, not 'rows'" in fault for fault in faults(tmp_path, facts("mistake", fails="rows")))


def test_a_mistake_that_is_none_is_found(tmp_path):
    right = "def forward(x, W, b):\n    z = x @ W + b\n    return z, expit(z)"
    assert any("a mistake passes all tests" in fault for fault in faults(tmp_path, source("mistake", right)))


def test_a_test_without_a_sentence_is_found(tmp_path):
    def change(notebook):
        bare = (
            "z_test, a_test = forward(np.array([[2.0]]), np.array([[1.0]]), np.array([1.0]))\nassert z_test[0, 0] == 3"
        )
        cell(notebook, "hidden-test").source = bare

    assert any("does not tell in a sentence" in fault for fault in faults(tmp_path, change))


def test_a_proof_is_kept_until_its_set_changes(tmp_path, monkeypatch):
    (tmp_path / "assignments").mkdir()
    (tmp_path / "helpers").mkdir()
    copy_of = tmp_path / "assignments" / EXAMPLE.name
    copy_of.write_bytes(EXAMPLE.read_bytes())
    paths = Paths(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    (first,) = prove.records(paths)
    assert first["faults"] == []
    (kept,) = paths.cache.rglob("*.json")
    kept.write_text(json.dumps({**first, "seconds": 12345}))
    assert prove.records(paths)[0]["seconds"] == 12345
    notebook = nbformat.read(copy_of, as_version=4)
    cell(notebook, "mistake").source = "def forward(x, W, b):\n    z = x @ W + b\n    return z, expit(z)"
    nbformat.write(notebook, copy_of)
    (again,) = prove.records(paths)
    assert len(again["faults"]) == 1
    assert list(paths.cache.rglob("*.json")) == [kept]  # a proof that fails is not kept


# --- pages and notebooks -------------------------------------------------------------------------------------------


@every_set
def test_the_page_and_the_students_notebook_hide_what_they_must(file):
    problem_set = problems.read(file)
    page = pages.page(problem_set, dict.fromkeys(range(1, 9), "do it"))
    notebook = notebooks.to_work_alone(problem_set)
    nbformat.validate(notebook)
    student = nbformat.writes(notebook)
    for problem in problem_set.problems:
        assert problem.title in page
        hidden = [test.code for test in problem.tests if test.hidden]
        for text in (page, student):
            for code in hidden:
                assert json.dumps(code)[1:-1] not in text
                assert code not in text
        assert problem.mistakes[0].code not in page
        assert problem.solution not in student
        assert all(json.dumps(mistake.why)[1:-1] not in student for mistake in problem.mistakes)
    assert "### BEGIN" not in page + student


def test_quiz_and_problems_go_before_and_behind_the_heading_of_the_exercises():
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell("## Summary\n\n- one\n\n## Exercises\n\n```{exercise}\nx\n```")]
    )
    questions = quiz.read(PATHS)["03_backprop_math"]
    pages.with_course_material(notebook, questions, problems.read(EXAMPLE))
    text = notebook.cells[0].source
    places = [
        text.index(part)
        for part in ("## Summary", "## Quiz", "## Exercises", "problems/03_backprop_math.md", "{exercise}")
    ]
    assert places == sorted(places)


# --- quizzes -------------------------------------------------------------------------------------------------------


@every_chapter
def test_every_chapter_has_a_quiz_whose_right_answers_move(chapter):
    questions = quiz.read(PATHS)[chapter]
    goals = pages.objectives(nbformat.read(PATHS.notebooks / f"{chapter}.ipynb", as_version=4))
    assert {question.objective for question in questions} <= goals.keys()
    places = [[choice.right for choice in question.choices].index(True) for question in questions]
    assert len(set(places)) >= 3
    longest = sum(max(q.choices, key=lambda c: len(c.text)).right for q in questions)
    assert longest <= 3, "the longest choice must not give the right one away"
    for question in questions:
        assert len({choice.text for choice in question.choices}) == quiz.CHOICES


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows: rows.pop(), "must have 5 questions"),
        (lambda rows: rows[0].update(id=rows[1]["id"]), "different ids"),
        (lambda rows: rows[0]["choices"].pop(), "must have 4 choices"),
        (lambda rows: [c.update(right=True) for c in rows[0]["choices"]], "exactly one choice"),
        (lambda rows: rows[0]["choices"][1].pop("because"), "does not say why"),
        (lambda rows: rows[0].pop("objective"), "the number of an objective"),
        (lambda rows: rows[0].update(question=" "), "it has no text"),
    ],
)
def test_a_faulty_quiz_is_one_sentence(tmp_path, change, sentence):
    rows = yaml.safe_load((PATHS.root / "assignments/quizzes/03_backprop_math.yml").read_text())
    change(rows)
    file = tmp_path / "quiz.yml"
    file.write_text(yaml.safe_dump(rows))
    with pytest.raises(BookError, match=sentence):
        quiz.read_file(file)


# --- the guide -----------------------------------------------------------------------------------------------------


def test_every_session_of_the_syllabi_fits_its_time():
    notebooks = guide.chapters(PATHS)
    syllabi = guide.read_syllabi(PATHS, notebooks)
    assert [len(s.sessions) for s in syllabi] == [6, 6, 14]
    for syllabus in syllabi:
        for session in syllabus.sessions:
            needed = guide.planned(session, notebooks)
            assert 0.45 * syllabus.minutes <= needed <= syllabus.minutes, (syllabus.id, session.title, needed)


def test_problems_at_home_fit_the_hours_that_the_page_names():
    notebooks, sets = guide.chapters(PATHS), {file.stem: problems.read(file) for file in FILES}
    for syllabus in guide.read_syllabi(PATHS, notebooks):
        for session in syllabus.sessions:
            assert guide.at_home(session, sets) <= 240, (syllabus.id, session.title)


def test_the_semester_visits_every_numbered_chapter_or_says_which_it_leaves():
    notebooks = guide.chapters(PATHS)
    (semester,) = (s for s in guide.read_syllabi(PATHS, notebooks) if s.id == "semester")
    visited = {chapter for session in semester.sessions for chapter in session.teach}
    left = {chapter for chapter in notebooks if chapter not in visited and not chapter.startswith("15_")}
    assert left == set()


@pytest.mark.parametrize(
    ("teach", "sentence"),
    [({"99_none": "all"}, "which is not there"), ({"03_backprop_math": ["No such section"]}, "which is no section of")],
)
def test_a_syllabus_with_a_wrong_name_is_refused(tmp_path, teach, sentence):
    row = {"id": "x", "title": "X", "who": "you", "meetings": "one", "minutes": 60}
    row["sessions"] = [{"title": "one", "teach": teach}]
    (tmp_path / "book/data").mkdir(parents=True)
    (tmp_path / "book/data/syllabi.yml").write_text(yaml.safe_dump([row]))
    with pytest.raises(BookError, match=sentence):
        guide.read_syllabi(Paths(tmp_path), guide.chapters(PATHS))


def test_minutes_count_words_and_visible_cells_only():
    words = " ".join(["word"] * timing.WORDS_PER_MINUTE)
    cells = [
        nbformat.v4.new_markdown_cell(f"# Title\n\n{words}\n\n## One\n\n{words}"),
        nbformat.v4.new_code_cell("1"),
        nbformat.v4.new_code_cell("2", metadata={"tags": ["hide-input"]}),
        nbformat.v4.new_markdown_cell(f"## Exercises\n\n{words}"),
    ]
    (only,) = timing.sections(nbformat.v4.new_notebook(cells=cells))
    assert only == timing.Section("One", 2.0)


def test_every_objective_is_tested_by_an_exercise_or_a_problem():
    sets = {file.stem: problems.read(file) for file in FILES}
    rows = [line for line in guide.objectives_page(PATHS, sets).splitlines()[2:] if line]
    assert len(rows) == sum(len(pages.objectives(n)) for n in guide.chapters(PATHS).values())
    for row in rows:
        assert re.search(r"\[exercise|problem \d", row), row


# --- slides --------------------------------------------------------------------------------------------------------

CHAPTER = """<article><section id="a"><h1>1. A title<a class="headerlink" href="#a">#</a></h1><p>A lead.</p>
<div class="pst-scrollable-table-container"><table><tr><td>x</td><td>1. do this (<a href="#e">exercise 1</a>)</td></tr></table></div>
<section id="b"><h2>First</h2><p>Opening sentence. Second one.</p><p>A remark for the speaker.</p>
<div class="cell"><div class="cell_input"><div class="highlight"><pre>print(1)</pre></div></div>
<div class="cell_output"><pre>1</pre></div></div>
<div class="cell tag_solution"><div class="cell_input"><div class="highlight"><pre>secret()</pre></div></div></div>
<p>Before you run this: guess.</p><p><a href="05_mnist.html">there</a></p></section>
<section id="c"><h2>Quiz</h2><p>no</p></section></section></article>"""


def test_a_deck_holds_the_chapter_and_leaves_out_what_is_for_home():
    soup = BeautifulSoup(slides.deck(BeautifulSoup(CHAPTER, "html.parser"), "01_x"), "html.parser")
    text = soup.select_one(".slides").get_text(" ")
    assert "do this" in text
    assert "exercise 1" not in text
    assert "print(1)" in text
    assert "secret" not in text
    assert "Quiz" not in text
    assert "A remark for the speaker." in soup.select_one("aside.notes").get_text()
    assert soup.select_one(".slide-question").get_text() == "Before you run this: guess."
    assert [len(column.find_all("section", recursive=False)) for column in soup.select(".slides > section")] == [2, 3]


def test_links_of_a_deck_lead_back_to_the_site():
    shown = slides._at_home(
        '<p id="x"><a href="#e">a</a><a href="05.html">b</a><a href="../errata.html">c</a></p>', "01_x"
    )
    assert re.findall(r'href="([^"]+)"', shown) == [
        "../notebooks/01_x.html#e",
        "../notebooks/05.html",
        "../errata.html",
    ]
    assert "id=" not in shown


@pytest.mark.parametrize("chapter", [c for c in CHAPTERS if (PATHS.html / "slides" / f"{c}.html").is_file()])
def test_every_section_of_a_chapter_has_a_slide(chapter):
    deck = BeautifulSoup((PATHS.html / "slides" / f"{chapter}.html").read_text(encoding="utf-8"), "html.parser")
    titles = {" ".join(h.get_text(" ").split()) for h in deck.select(".slides h2")}
    wanted = [s.title for s in timing.sections(nbformat.read(PATHS.notebooks / f"{chapter}.ipynb", as_version=4))]
    plain = {re.sub(r"\W+", "", title) for title in titles}
    assert [title for title in wanted if re.sub(r"\W+|\$", "", title) not in plain] == []


def test_the_outline_knows_the_page_of_the_problem_sets():
    assert outline.address("problems") == "problems.html"
