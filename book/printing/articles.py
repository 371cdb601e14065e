"""The articles of the rendered site in reading order, without what only works on a screen.

On paper nothing unfolds, scrolls or answers: folded code and solutions stand open, the frames of a slider stand side by
side, and a quiz shows its choices first and its answers at the end. Both the PDF and the EPUB start from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase

import yaml
from bs4 import BeautifulSoup, Tag
from bs4.element import Comment

from book import BookError
from book.paths import Paths

# Controls, icons and scripts of the site; and the links beside headings.
_SCREEN_ONLY = (
    "script, noscript, button, .headerlink, .book-filter, .book-data, .sd-summary-state-marker, .copybtn, template"
)
_UNUSED_ATTRIBUTES = ("tabindex", "name", "data-label", "data-value", "data-tippy", "hidden", "download")


@dataclass
class Article:
    """One page of the site.

    Attributes
    ----------
    name : str
        Address without its ending: ``index``, ``notebooks/05_mnist``.
    level : int
        0 for the front page, 1 for a chapter, 2 for a page below a chapter.
    part : str
        Caption of its part in the table of contents; empty for the front page.
    body : Tag
        The content, its first heading included.
    """

    name: str
    level: int
    part: str
    body: Tag

    @property
    def slug(self) -> str:
        """The name as an id and as a file name."""
        return self.name.replace("/", "-").replace("_", "-")

    @property
    def title(self) -> str:
        return heading_text(self.body.find("h1"))


def read(paths: Paths, only: tuple[str, ...] = ()) -> list[Article]:
    """The articles in the order of the table of contents.

    Parameters
    ----------
    only : tuple of str
        Names of articles to read; all if empty.

    Raises
    ------
    BookError
        If the table of contents names a page that the site does not have, or a page without an article.
    """
    contents = yaml.safe_load((paths.stage / "_toc.yml").read_text(encoding="utf-8"))
    found = []
    for name, level, part in entries(contents):
        if only and name not in only:
            continue
        file = paths.html / f"{name}.html"
        if not file.is_file():
            raise BookError(
                f"The site has no page '{name}.html', which the table of contents names; run make book first."
            )
        soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
        body = soup.select_one("article.bd-article")
        if body is None or body.find("h1") is None:
            raise BookError(f"The page '{name}.html' has no article with a title; run make book first.")
        found.append(Article(name, level, part, for_paper(body)))
    return found


def heading_text(heading: Tag) -> str:
    """The words of a heading; a formula counts once, not as MathML and again as HTML."""
    copy = BeautifulSoup(str(heading), "html.parser")
    for hidden in copy.select(".katex-html, annotation, .headerlink"):
        hidden.decompose()
    return " ".join(copy.get_text().split())


def for_paper(body: Tag) -> Tag:
    """Rework an article in place so that nothing of it needs a screen; returns it."""
    for element in body.select(_SCREEN_ONLY):
        element.decompose()
    for comment in body.find_all(string=lambda text: isinstance(text, Comment)):
        comment.extract()
    for demonstration in body.select(".digit-demo"):
        demonstration.clear()
        demonstration.append("Here the site has a demonstration that you can try in a browser.")
    for sound in body.select("audio"):
        sound.replace_with(_new(sound, "em", "A sound, to be heard on the site:"), " ")
    for quiz in body.select(".book-quiz"):
        _quiz(quiz)
    for steps in body.select(".book-steps"):
        _steps(steps)
    for details in body.find_all("details"):
        _unfold(details)
    for element in body.find_all(True):
        for name in _UNUSED_ATTRIBUTES:
            del element[name]
    return body


def entries(contents: dict) -> Iterator[tuple[str, int, str]]:
    yield contents["root"], 0, ""
    for part in contents.get("parts", []):
        for chapter in part.get("chapters", []):
            yield chapter["file"], 1, part["caption"]
            for section in chapter.get("sections", []):
                yield section["file"], 2, part["caption"]


def _new(like: Tag, name: str, text: str = "", **attributes: str) -> Tag:
    element = BeautifulSoup("", "html.parser").new_tag(name, attrs={k.rstrip("_"): v for k, v in attributes.items()})
    if text:
        element.string = text
    return element


def _quiz(quiz: Tag) -> None:
    """Choices with their letters, then the answers in a box of their own."""
    answers = _new(quiz, "div", class_="quiz-answers")
    answers.append(_new(quiz, "p", "Answers", class_="folded-label"))
    for number, question in enumerate(quiz.select(".book-question"), start=1):
        for letter, choice in zip(ascii_uppercase, question.select(".book-choice"), strict=False):
            choice["data-letter"] = letter
            first = choice.find("p")
            (first or choice).insert(0, _new(quiz, "strong", f"{letter}. ", class_="choice-letter"))
            reason = choice.find("details")
            if reason is not None:
                reason.extract()
                content = reason.select_one(".sd-summary-content") or reason
                content["class"] = ["quiz-answer"]
                (content.find("p") or content).insert(0, _new(quiz, "strong", f"{number} {letter}. "))
                answers.append(content)
    quiz.append(answers)


def _steps(figure: Tag) -> None:
    """Every frame of a slider, each under its own value."""
    for frame in figure.select("details.step"):
        summary = frame.find("summary")
        if summary is not None:
            summary.name = "p"
            summary["class"] = ["step-label"]
        frame.name = "div"
        del frame["open"]


def _unfold(details: Tag) -> None:
    """Folded content stands open below its label, which says what it is instead of offering to show it."""
    summary = details.find("summary")
    if summary is not None:
        title = summary.select_one(".collapsed, .sd-summary-text") or summary
        label = " ".join(title.get_text(" ").split())
        if label.startswith("Show "):
            label = label.removeprefix("Show ").capitalize()
        summary.replace_with(_new(details, "p", label, class_="folded-label"))
    details.name = "div"
    details["class"] = ["folded", *(["solution"] if summary is not None and "solution" in label.lower() else [])]
    del details["open"]
