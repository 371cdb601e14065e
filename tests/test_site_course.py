"""Quizzes and slides in a real browser."""

import nbformat
import pytest
from test_site import PATHS, SITE, Visit, address, axe, chromium  # noqa: F401  (fixtures)

pytestmark = pytest.mark.browser
CHAPTER = "notebooks/03_backprop_math.html"
DECKS = sorted(p.stem for p in (SITE / "slides").glob("*.html"))


def test_a_quiz_is_answered_by_keyboard_and_explains_itself(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{CHAPTER}", width=390) as visit:
        questions = visit.page.locator(".book-quiz fieldset")
        assert questions.count() == 5
        first = questions.first
        assert first.locator("legend").inner_text().startswith("Question 1.")
        said = first.locator("[role=status]")
        assert said.inner_text() == ""
        first.locator("input").first.focus()
        seen = []
        for key in ("Space", "ArrowDown", "ArrowDown", "ArrowDown"):
            visit.page.keyboard.press(key)
            seen.append(said.inner_text())
        assert [text.startswith("Right.") for text in seen].count(True) == 1
        assert [text.startswith("Not right.") for text in seen].count(True) == 3
        assert len(set(seen)) == 4
        assert min(label.bounding_box()["height"] for label in first.locator("label").all()) >= 24
        assert visit.complaints == []


def test_a_quiz_counts_first_tries_only(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/{CHAPTER}") as visit:
        questions = visit.page.locator(".book-quiz fieldset")
        total = visit.page.locator(".book-quiz-total")
        right = 0
        for number in range(questions.count()):
            assert total.inner_text() == ""
            question = questions.nth(number)
            question.locator("input").first.check()
            right += question.locator("[role=status]").get_attribute("data-right") == "true"
            for other in range(1, 4):
                question.locator("input").nth(other).check()
        assert total.inner_text() == f"{right} of 5 right at the first try."


def test_a_quiz_works_without_a_script(chromium, address):  # noqa: F811
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{CHAPTER}")
    choices = page.locator(".book-quiz .book-question").first.locator(".book-choice")
    assert choices.count() == 4
    verdicts = []
    for choice in choices.all():
        assert not choice.locator("details .sd-card-body").is_visible()
        choice.locator("summary").click()
        verdicts.append(choice.locator("details .sd-card-body").inner_text())
    assert sum(text.startswith("Right.") for text in verdicts) == 1
    context.close()


def test_an_answered_quiz_is_accessible(chromium, address, axe):  # noqa: F811
    for theme in ("light", "dark"):
        with Visit(chromium, f"{address}/{CHAPTER}", theme=theme) as visit:
            for group in visit.page.locator(".book-quiz fieldset").all():
                group.locator("input").nth(1).check()
            visit.page.evaluate(axe)
            violations = visit.page.evaluate("axe.run('.book-quiz').then((result) => result.violations)")
            assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in violations] == []


def test_every_chapter_has_a_deck():
    assert sorted(p.stem for p in PATHS.notebooks.glob("*.ipynb")) == DECKS


@pytest.mark.parametrize("deck", DECKS)
def test_a_deck_is_quiet_self_contained_and_fits_its_slides(chromium, address, deck):  # noqa: F811
    with Visit(chromium, f"{address}/slides/{deck}.html", width=1120) as visit:
        assert [r for r in visit.requests if not r.startswith((address, "data:"))] == []
        assert visit.complaints == []
        total = visit.page.evaluate("Reveal.getTotalSlides()")
        assert total >= 15
        too_large = visit.page.evaluate(
            """() => { const found = [];
               for (let k = 0; k < Reveal.getTotalSlides(); k++) {
                 const slide = Reveal.getCurrentSlide();
                 if (slide.scrollHeight > 700 || slide.scrollWidth > 1125) found.push(slide.innerText.slice(0, 60));
                 Reveal.next(); }
               return found; }"""
        )
        assert too_large == []


def test_a_deck_is_accessible(chromium, address, axe):  # noqa: F811
    with Visit(chromium, f"{address}/slides/03_backprop_math.html", width=1120) as visit:
        visit.page.evaluate(axe)
        for _ in range(8):
            violations = visit.page.evaluate("axe.run().then((result) => result.violations)")
            assert [f"{v['id']}: {v['nodes'][0]['html'][:120]}" for v in violations] == []
            visit.page.keyboard.press("Space")


def test_a_deck_prints_one_page_per_slide(chromium, address, tmp_path):  # noqa: F811
    with Visit(chromium, f"{address}/slides/03_backprop_math.html?view=print", width=1120) as visit:
        visit.page.wait_for_selector(".pdf-page")
        total = visit.page.evaluate("Reveal.getTotalSlides()")
        assert visit.page.locator(".pdf-page").count() == total


def test_the_students_notebook_can_be_downloaded(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/problems/03_backprop_math.html") as visit:
        with visit.page.expect_download() as waiting:
            visit.page.locator("a[download]", has_text="students").click()
        notebook = nbformat.read(waiting.value.path(), as_version=4)
        assert "NotImplementedError" in "".join(c.source for c in notebook.cells)
