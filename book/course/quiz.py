"""Quizzes: five questions per chapter, from ``assignments/quizzes/<chapter>.yml``, shown before the chapter's exercises.

Without JavaScript each choice unfolds to say whether it is right, and why. ``quiz.js`` makes radio buttons of the choices.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from book import BookError
from book.paths import Paths

QUESTIONS, CHOICES = 5, 4


@dataclass(frozen=True)
class Choice:
    text: str
    because: str
    right: bool


@dataclass(frozen=True)
class Question:
    """One question. ``objective`` is the number of an objective of the chapter."""

    id: str
    objective: int
    text: str
    choices: list[Choice]


def read(paths: Paths) -> dict[str, list[Question]]:
    """The quizzes by chapter."""
    return {file.stem: read_file(file) for file in sorted((paths.root / "assignments" / "quizzes").glob("*.yml"))}


def read_file(file: Path) -> list[Question]:
    """One quiz.

    Raises
    ------
    BookError
        If the file cannot be read, or a question lacks something; the sentence names the question.
    """
    try:
        rows = yaml.safe_load(file.read_text(encoding="utf-8"))
        questions = [_question(file, row) for row in rows]
    except (OSError, yaml.YAMLError, TypeError, AttributeError) as error:
        raise BookError(f"'{file.name}' is not a quiz ({' '.join(str(error).split())[:200]}).") from error
    names = [question.id for question in questions]
    if len(set(names)) != len(names) or len(names) != QUESTIONS:
        raise BookError(f"'{file.name}' must have {QUESTIONS} questions with different ids, and has {len(names)}.")
    return questions


def _question(file: Path, row: dict) -> Question:
    name = str(row.get("id", ""))

    def demand(holds: object, sentence: str) -> None:
        if not holds:
            raise BookError(f"'{file.name}', question '{name}': {sentence}")

    demand(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name), "its id must be small letters, digits and single dashes.")
    demand(isinstance(row.get("objective"), int), "it must name the number of an objective of its chapter.")
    demand(str(row.get("question", "")).strip(), "it has no text.")
    choices = row.get("choices") or []
    demand(len(choices) == CHOICES, f"it must have {CHOICES} choices, and has {len(choices)}.")
    demand(all(str(c.get("text", "")).strip() for c in choices), "a choice has no text.")
    demand(all(len(str(c.get("because", "")).split()) >= 3 for c in choices), "a choice does not say why ('because').")
    demand(sum(c.get("right") is True for c in choices) == 1, "exactly one choice must be 'right: true'.")
    made = [Choice(str(c["text"]).strip(), str(c["because"]).strip(), c.get("right") is True) for c in choices]
    return Question(name, row["objective"], str(row["question"]).strip(), made)


def as_markdown(questions: list[Question]) -> str:
    """The quiz as it goes into a page, from its heading on."""
    parts = [
        "## Quiz",
        "",
        "Five questions about this chapter. Think first; then see why each answer is right or wrong.",
        "",
        "::::::{div} book-quiz",
        "",
    ]
    for number, question in enumerate(questions, start=1):
        parts += [":::::{div} book-question", "", f"**Question {number}.** {question.text}", ""]
        for letter, choice in zip("ABCD", question.choices, strict=True):
            verdict = "Right." if choice.right else "Not right."
            parts += [
                f"::::{{div}} book-choice{' book-right' if choice.right else ''}",
                "",
                choice.text,
                "",
                f":::{{dropdown}} Is {letter} right?",
                f"**{verdict}** {choice.because}",
                ":::",
                "",
                "::::",
                "",
            ]
        parts += [":::::", ""]
    return "\n".join([*parts, "::::::", ""])
