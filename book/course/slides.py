"""Slides: one deck per chapter, cut from the rendered page, so that slides and chapter cannot disagree.

A section becomes a column of slides: its heading with its first sentences, then its figures, tables, formulas with their
sentence, short code with its output, what the article says, questions to ask before a cell runs, and what was checked. The
rest of the text goes into the speaker's notes.
"""

from __future__ import annotations

import copy
import html
import re
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag

from book import strict

LEFT_OUT = ("Quiz", "Exercises", "Further reading", "Appendix")
CODE_LINES = 14  # longer code is read in the chapter, not on a slide
OUTPUT_LINES = 12
CLAIMS, ITEMS = 4, 5  # per slide
SENTENCES = 2

PAGE = """<!DOCTYPE html>
<html lang="en" data-theme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}: slides</title>
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="../_static/icon.svg">
<link rel="stylesheet" href="../_static/vendor/reveal/reveal.css">
<link rel="stylesheet" href="../_static/pygments.css">
<link rel="stylesheet" href="../_static/vendor/katex/katex.min.css">
<link rel="stylesheet" href="../_static/book.css">
<link rel="stylesheet" href="../_static/inline.css">
<link rel="stylesheet" href="../_static/slides.css">
</head>
<body>
<main><div class="reveal"><div class="slides">
{slides}
</div></div></main>
<script src="../_static/vendor/reveal/reveal.js"></script>
<script src="../_static/vendor/reveal/notes.js"></script>
<script src="../_static/steps.js"></script>
<script src="../_static/slides.js"></script>
</body>
</html>
"""


def write(site: Path) -> list[Path]:
    """A deck for every chapter of a rendered site, in its folder ``slides``; returns the files."""
    made = []
    for page in sorted((site / "notebooks").glob("*.html")):
        soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        target = site / "slides" / page.name
        target.parent.mkdir(exist_ok=True)
        target.write_text(deck(soup, page.stem), encoding="utf-8")
        made.append(target)
    return made


def deck(soup: BeautifulSoup, chapter: str) -> str:
    """The deck of one chapter as a whole HTML page."""
    top = soup.select_one("article section") or soup
    title = _title(top.find("h1"))
    columns = [[_opening(top, title, chapter), *_objectives(top)]]
    for section in top.find_all("section", recursive=False):
        if _title(section.find("h2")) not in LEFT_OUT:
            columns.append(list(_column(section)))
    shown = "\n".join(f"<section>{''.join(column)}</section>" for column in columns if column)
    return PAGE.format(title=html.escape(title), slides=_at_home(shown, chapter), policy=strict.policy(inline=True))


def _opening(top: Tag, title: str, chapter: str) -> str:
    lead = top.find("p", recursive=False)
    text = f"<p>{lead.decode_contents()}</p>" if lead else ""
    way = f'<p class="slide-way"><a href="../notebooks/{chapter}.html">The chapter, with every cell</a></p>'
    return _slide(f"<h1>{html.escape(title)}</h1>{text}{way}", "")


def _objectives(top: Tag) -> list[str]:
    cells = [row.find_all("td")[-1] for row in top.select(":scope > .pst-scrollable-table-container tr") if row.td]
    goals = [re.sub(r"\s*\(\s*exercise.*$", "", c.get_text(" ", strip=True)) for c in cells]
    goals = [re.sub(r"^\d+\.\s*", "", goal) for goal in goals if re.match(r"\d+\.", goal)]
    if not goals:
        return []
    return [
        _slide("<h2>You will be able to</h2><ol>" + "".join(f"<li>{html.escape(g)}</li>" for g in goals) + "</ol>", "")
    ]


def _column(section: Tag) -> Iterator[str]:
    """The slides of one section, in the order of the page."""
    heading = section.find(["h2", "h3"], recursive=False)
    title = _title(heading)
    level = heading.name if heading else "h2"
    first, notes, opened = "", [], False
    for part in section.find_all(True, recursive=False):
        if part.name in ("h2", "h3", "script") or "toctree-wrapper" in part.get("class", []):
            continue
        if part.name == "p":
            if not opened and not first:
                first, rest = _begin(part)
                notes += rest
            elif part.get_text(strip=True).startswith("Before you run this"):
                if not opened:
                    opened = True
                    yield _slide(f"<{level}>{html.escape(title)}</{level}>{first}", notes)
                    notes = []
                yield _slide(f'<p class="slide-question">{part.decode_contents()}</p>', [])
            else:
                notes.append(part.get_text(" ", strip=True))
            continue
        if part.name == "section":
            if not opened:
                opened = True
                yield _slide(f"<{level}>{html.escape(title)}</{level}>{first}", notes)
            yield from _column(part)
            notes = []
            continue
        for shown in _parts(part):
            if not opened:
                opened = True
                yield _slide(f"<{level}>{html.escape(title)}</{level}>{first}", notes)
                notes = []
            yield _slide(f'<p class="slide-where">{html.escape(title)}</p>{shown}', notes)
            notes = []
    if not opened:
        yield _slide(f"<{level}>{html.escape(title)}</{level}>{first}", notes)


def _begin(paragraph: Tag) -> tuple[str, list[str]]:
    """A paragraph for the slide that opens a section: whole if it is short, else its first sentences if they are plain."""
    text = paragraph.get_text(" ", strip=True)
    if len(text) <= 260 or paragraph.select_one(".math, code"):
        return f"<p>{paragraph.decode_contents()}</p>", []
    sentences = re.split(r"(?<=[.?!])\s+(?=[A-Z])", " ".join(text.split()))
    return f"<p>{html.escape(' '.join(sentences[:SENTENCES]))}</p>", [" ".join(sentences[SENTENCES:])]


def _parts(part: Tag) -> Iterator[str]:
    """What of a block is shown on slides, one piece per slide."""
    kinds = part.get("class", [])
    if "cell" in kinds:
        yield from _cell(part)
        return
    lists = part.name in ("ul", "ol", "dl", "blockquote")
    boxes = part.name == "div" and {"math", "pst-scrollable-table-container", "admonition"} & set(kinds)
    if part.name in ("ul", "ol") and len(part.find_all("li", recursive=False)) > ITEMS:
        yield from _shorter_lists(part)
    elif lists or (boxes and "exercise" not in kinds):
        yield str(part)


def _shorter_lists(part: Tag) -> Iterator[str]:
    items = part.find_all("li", recursive=False)
    for begin in range(0, len(items), ITEMS):
        start = f' start="{begin + 1}"' if part.name == "ol" else ""
        yield f"<{part.name}{start}>{''.join(str(i) for i in items[begin : begin + ITEMS])}</{part.name}>"


def _cell(cell: Tag) -> Iterator[str]:
    kinds = set(cell.get("class", []))
    if kinds & {"tag_solution", "tag_parameters", "tag_remove-cell"}:
        return
    figures = cell.select(".cell_output figure.book-figure")
    tables = [t for t in cell.select(".cell_output .book-table") if not t.find_parent(class_="book-figure")]
    program = cell.select_one(".cell_input .highlight")
    texts = [t for t in cell.select(".cell_output pre") if not t.find_parent(class_="book-figure")]
    short = program is not None and program.get_text().strip().count("\n") < CODE_LINES
    visible = short and not kinds & {"tag_hide-input", "tag_hide-cell"} and not _only_set_up(program)
    printed = [t for t in texts if t.get_text().strip().count("\n") < OUTPUT_LINES]
    claims = cell.select(".cell_output .claim")
    if visible and not program.get_text().lstrip().startswith("claims."):
        together, claims = (claims, []) if len(claims) <= 2 and not figures and not tables else ([], claims)
        output = "".join(f'<div class="slide-output">{text}</div>' for text in printed[:1])
        yield str(program) + output + "".join(map(str, together))
    for shown in (*figures, *tables):
        yield str(shown)
    for begin in range(0, len(claims), CLAIMS):
        yield "".join(map(str, claims[begin : begin + CLAIMS]))


def _only_set_up(program: Tag) -> bool:
    return all(
        re.match(r"(import |from |\)|\]|\s+\w+,$|[A-Z_]+ = |\s*#|keras = |settings = |\s*$)", line)
        for line in program.get_text().splitlines()
    )


def _slide(body: str, notes: list[str] | str) -> str:
    text = "".join(f"<p>{html.escape(note)}</p>" for note in notes if note)
    return f"<section>{body}{f'<aside class=notes>{text}</aside>' if text else ''}</section>"


def _title(heading: Tag | None) -> str:
    if heading is None:
        return ""
    plain = copy.copy(heading)
    for link in plain.select("a.headerlink"):
        link.decompose()
    return plain.get_text(" ", strip=True)


def _at_home(shown: str, chapter: str) -> str:
    """Links and names that fit the place of the deck: other pages one folder up, no id that stands on a page already."""
    soup = BeautifulSoup(shown, "html.parser")
    for element in soup.select("[id]"):
        if not element.find_parent("svg") and element.name != "svg":
            del element["id"]
    for link in soup.select("a[href]"):
        address = link["href"]
        if link.find_parent("svg") or re.match(r"[a-z]+:|\.\./", address):
            continue
        link["href"] = f"../notebooks/{chapter}.html{address}" if address.startswith("#") else f"../notebooks/{address}"
    for button in soup.select("button.copybtn, a.headerlink"):
        button.decompose()
    return str(soup)
