"""nbgrader's feedback page for one submission, made safe to hand out and to open: hidden tests stay hidden, nothing is loaded."""

from __future__ import annotations

import re
from pathlib import Path

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.converters import GenerateFeedback
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor
from submissions import is_hidden

# The browser runs no script and loads nothing, whatever a student has written into a cell.
_POLICY = ('<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'; '
           'img-src data:">')  # fmt: skip
_SCRIPT = re.compile(r"<script\b.*?</script\s*>", re.DOTALL | re.IGNORECASE)
_LINK = re.compile(r"<(link|iframe|base|object|embed)\b[^>]*>", re.IGNORECASE)
_IMPORT = re.compile(r"@import\s+(url\()?['\"]?https?:[^;]*;", re.IGNORECASE)


class Redact(NbGraderPreprocessor):
    """Take hidden tests out of what a student gets, and say at the top how the grading went."""

    record: dict = {}  # noqa: RUF012
    show_hidden = False

    def preprocess(self, nb, resources):
        seen = False
        for cell in nb.cells:
            if cell.cell_type != "code" or self.show_hidden:
                continue
            hidden = is_hidden(cell)
            if hidden:
                _, _, name = cell.metadata.nbgrader.grade_id.partition("_")
                cell.source = f"# A hidden test: {name}"
            if hidden or seen:  # code that ran after a hidden test can have seen it; what it prints is not handed on
                cell.outputs = [_sentence(output) for output in cell.outputs if output.output_type == "error"]
            seen = seen or hidden
        says = self.record.get("reason") or "All tests ran."
        nb.cells.insert(0, new_markdown_cell(f"**{self.record['state'].capitalize()}.** {_plain(says)}"))
        return nb, resources


def _sentence(output):
    """An error without its traceback, which shows the code of the test."""
    says = f"{output.ename}: {output.evalue}"[:300]
    return new_output("error", ename=output.ename, evalue=output.evalue[:300], traceback=[says])


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_{}\[\]<>()#|])", r"\\\1", text)


def make(folder: CourseDirectory, record: dict, *, show_hidden: bool) -> Path:
    """Write ``feedback/STUDENT/ASSIGNMENT/ASSIGNMENT.html`` and return its place."""
    Redact.record, Redact.show_hidden = record, show_hidden
    converter = GenerateFeedback(coursedir=folder, force=True)
    converter.preprocessors = [GetGrades, Redact, CSSHTMLHeaderPreprocessor]
    converter.start()
    place = Path(folder.root) / "feedback" / folder.student_id / folder.assignment_id
    for extra in place.rglob("*"):
        if extra.is_file() and extra.suffix != ".html":
            extra.unlink()
    page = place / f"{folder.assignment_id}.html"
    text = page.read_text(encoding="utf-8")
    text = _IMPORT.sub("", _LINK.sub("", _SCRIPT.sub("", text)))
    page.write_text(text.replace("<head>", f"<head>\n{_POLICY}", 1), encoding="utf-8")
    return page
