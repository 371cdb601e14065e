"""The book as PDF and EPUB, and the print style of the site.

A book of two chapters, a problem set and the glossary stands for the whole one, which takes minutes; with BOOK_WHOLE=1 in
the environment the same is asked of all pages. Build the site first (`make book`).
"""

import io
import json
import os
import posixpath
import re
import shutil
import subprocess
import zipfile
from collections import Counter
from xml.etree import ElementTree

import pytest
import yaml
from bs4 import BeautifulSoup
from pypdf import PdfReader
from pypdf.generic import IndirectObject
from test_site import chromium  # noqa: F401  (a fixture)

from book import BookError, environment, render
from book.paths import REPOSITORY, Paths
from book.printing import articles, browser, command, epub, links, pdf, xhtml
from conftest import assert_one_sentence

PATHS = Paths(REPOSITORY)
CI = bool(os.environ.get("CI"))
PAGES = (
    "index",
    "notebooks/01_background",
    "notebooks/03_backprop_math",
    "problems/04_loss_examples",
    "glossary",
    "data",
)
if os.environ.get("BOOK_WHOLE"):
    PAGES = command.chosen(PATHS, ["*"])
CHAPTERS = tuple(name for name in PAGES if name.startswith("notebooks/"))

if not (PATHS.html / "index.html").is_file() and not CI:
    pytest.skip("no site: run make book first", allow_module_level=True)


def body(html: str):
    """An article of the site, made by hand."""
    return BeautifulSoup(f'<article class="bd-article"><h1>T</h1>{html}</article>', "html.parser").article


def squeeze(text: str) -> str:
    """Text without blanks: where a line wraps is the printer's choice."""
    return re.sub(r"\s+", "", text)


@pytest.fixture(scope="module")
def site():
    """The articles of the site as they are there, before anything is done to them."""
    read = {}
    for name in PAGES:
        soup = BeautifulSoup((PATHS.html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        read[name] = soup.select_one("article.bd-article")
    return read


def alternative_texts(site) -> Counter:
    return Counter(s["aria-label"] for article in site.values() for s in article.select("svg[role=img]"))


def longest_line(article) -> str:
    return max((line for pre in article.select(".cell_input pre") for line in pre.get_text().splitlines()), key=len)


# -- the articles --------------------------------------------------------------------------------------------------------
def test_what_unfolds_on_a_screen_stands_open_below_its_label():
    made = articles.for_paper(body(
        '<details class="admonition hide above-input"><summary><p class="collapsed">Show the solution</p>'
        '<p class="expanded">Hide the solution</p></summary><pre>x = 1</pre></details><script>1</script><button>Copy</button>'
    ))  # fmt: skip
    assert made.find(["details", "script", "button"]) is None
    label, code = made.select_one(".folded.solution").find_all(["p", "pre"])
    assert (label.get_text(), code.get_text()) == ("The solution", "x = 1")


def test_a_sound_becomes_words():
    made = articles.for_paper(body('<p><audio controls src="data:audio/wav;base64,UklG"></audio> a small speaker.</p>'))
    assert made.find("audio") is None
    assert " ".join(made.p.get_text().split()) == "A sound, to be heard on the site: a small speaker."


def test_a_quiz_asks_first_and_answers_at_its_end():
    choice = '<div class="book-choice"><p>{}</p><details><summary>?</summary><div class="sd-summary-content"><p>{}</p></div></details></div>'
    question = (
        '<div class="book-question"><p>Why?</p>'
        + choice.format("This", "Right.")
        + choice.format("That", "No.")
        + "</div>"
    )
    made = articles.for_paper(body(f'<div class="book-quiz">{question * 2}</div>'))
    texts = [" ".join(e.get_text().split()) for e in made.select(".book-choice, .quiz-answer")]
    assert texts == ["A. This", "B. That", "A. This", "B. That", "1 A. Right.", "1 B. No.", "2 A. Right.", "2 B. No."]


def test_every_frame_of_a_slider_is_kept_under_its_value():
    frame = '<details class="step"><summary>z: {0}</summary><svg role="img" aria-label="{0}"></svg></details>'
    made = articles.for_paper(body(f'<figure class="book-steps">{frame.format(1)}{frame.format(2)}</figure>'))
    assert [(s.p.get_text(), s.svg["aria-label"]) for s in made.select("div.step")] == [("z: 1", "1"), ("z: 2", "2")]


def test_links_between_pages_stay_in_the_book_and_others_become_text():
    one = articles.Article("index", 0, "", body('<a href="notebooks/b.html#x">b</a><a href="notebooks/b.html">top</a>'
                           '<a href="_static/f.zip">file</a><a href="notebooks/b.html#no">lost</a><a href="https://a.org/">out</a>'))  # fmt: skip
    two = articles.Article("notebooks/b", 1, "P", body('<p id="x">x</p><a href="#x">here</a><svg><g id="c"></g>'
                           '<use xlink:href="#c"></use><path clip-path="url(#c)"></path></svg>'))  # fmt: skip
    links.relink([one, two], lambda a, n: f"{a.slug}.xhtml#{n}", lambda a, n: f"#{n}")
    assert [a["href"] for a in one.body.find_all("a")] == [
        "notebooks-b.xhtml#notebooks-b--x",
        "notebooks-b.xhtml#",
        "https://a.org/",
    ]
    assert [s.get_text() for s in one.body.find_all("span")] == ["file", "lost"]
    assert two.body.a["href"] == "#notebooks-b--x" == f"#{two.body.p['id']}"
    assert two.body.use["xlink:href"] == "#notebooks-b--c"
    assert two.body.path["clip-path"] == "url(#notebooks-b--c)"


def test_a_formula_becomes_mathml_with_its_source_and_drawings_keep_the_case_of_names():
    made = body('<span class="katex"><span class="katex-mathml"><math><semantics><mi>a</mi><annotation>\\alpha</annotation>'
                '</semantics></math></span><span class="katex-html">a</span></span><svg viewbox="0 0 1 1"><clippath></clippath></svg>')  # fmt: skip
    xhtml.prepare(made)
    assert str(made.math) == '<math alttext="\\alpha"><mi>a</mi></math>'
    assert made.select_one(".katex, .katex-html") is None
    assert made.svg["viewBox"] == "0 0 1 1"
    assert made.find("clipPath") is not None


# -- what is refused -----------------------------------------------------------------------------------------------------
def test_without_a_site_both_commands_say_what_to_do(project, main):
    for kind in ("pdf", "epub"):
        outcome = main(project, kind)
        assert outcome.status == 2
        assert_one_sentence(outcome, "no site", "make book")


def test_an_old_site_is_refused(monkeypatch):
    monkeypatch.setattr(render, "is_current", lambda paths: False)
    with pytest.raises(BookError, match=r"older than .* make book"):
        command.make("epub", PATHS, None, [])


def test_site_is_current_only_as_long_as_nothing_changes(tmp_path):
    paths = Paths(tmp_path)
    for file in (paths.html / "index.html", paths.stage / "index.md", paths.pages / "index.md"):
        file.parent.mkdir(parents=True)
        file.write_text("one")
    assert not render.is_current(paths)
    (paths.build / "html.stamp").write_text(render._digest(paths))
    assert render.is_current(paths)
    (paths.pages / "index.md").write_text("two")
    assert not render.is_current(paths)


def test_pages_are_chosen_by_name_beginning_or_pattern():
    assert command.chosen(PATHS, ["glossary", "03_back"]) == (
        "notebooks/03_backprop_math",
        "problems/03_backprop_math",
        "glossary",
    )
    assert set(command.chosen(PATHS, ["problems/*"])) < set(command.chosen(PATHS, ["*"]))
    with pytest.raises(BookError, match="'99_nothing'"):
        command.chosen(PATHS, ["99_nothing"])


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(BookError, match="is a folder"):
        command.make("pdf", PATHS, tmp_path, [])


def test_a_browser_that_does_not_exist_is_named(monkeypatch):
    monkeypatch.setenv("BOOK_BROWSER", "no-such-browser")
    with pytest.raises(BookError, match="'no-such-browser'"):
        browser.find()
    monkeypatch.delenv("BOOK_BROWSER")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BookError, match="no Chromium"):
        browser.find()


# -- PDF -----------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def printable():
    """The fonts and a browser; where they are absent the tests of the PDF are skipped, except in CI."""
    try:
        browser.find()
        from book.printing.fonts import install_fonts

        install_fonts(PATHS)
    except BookError as error:
        if CI:
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def printed(printable, tmp_path_factory):
    output = tmp_path_factory.mktemp("pdf") / "book.pdf"
    command.write("pdf", PATHS, output, PAGES)
    return PdfReader(output)


@pytest.fixture(scope="module")
def pages(printed):
    return [page.extract_text() for page in printed.pages]


def outline(entries, level=0):
    for entry in entries:
        if isinstance(entry, list):
            yield from outline(entry, level + 1)
        else:
            yield level, entry.title, entry


def outline_entry(reader, title):
    (entry,) = [e for _, t, e in outline(reader.outline) if t == title]
    return entry


def parts() -> set[str]:
    """What a page that only opens a part says."""
    contents = yaml.safe_load((PATHS.stage / "_toc.yml").read_text(encoding="utf-8"))
    return {part["caption"] for part in contents["parts"]}


def structure(reader):
    """All elements of the tree that tells screen readers what is what."""
    waiting = [reader.trailer["/Root"]["/StructTreeRoot"]]
    while waiting:
        element = waiting.pop()
        if isinstance(element, IndirectObject):
            element = element.get_object()
        if isinstance(element, list):
            waiting += element
        elif isinstance(element, dict) and "/K" in element:
            yield element
            waiting.append(element["/K"])


@pytest.mark.browser
def test_bookmarks_name_every_chapter_below_its_part_and_lead_to_its_page(printed, pages, site):
    found = list(outline(printed.outline))
    levels = {title: level for level, title, _ in found}
    assert len(levels) >= 25
    assert levels["Contents"] == levels["I. Foundations"] == levels["Look up"] == 0
    for name in CHAPTERS:
        title = articles.heading_text(site[name].h1)
        assert levels[title] == 1
        page = printed.get_destination_page_number(outline_entry(printed, title))
        assert squeeze(title) in squeeze(pages[page])[: len(squeeze(title)) * 3 + 20]
        for heading in site[name].find_all("h2"):
            assert levels[articles.heading_text(heading)] == 2
    problems = articles.heading_text(site["problems/04_loss_examples"].h1)
    assert levels[problems] == 2


@pytest.mark.browser
def test_contents_say_on_which_page_a_chapter_begins(printed, pages, site):
    numbers = {title: printed.get_destination_page_number(entry) + 1 for _, title, entry in outline(printed.outline)}
    begin = printed.get_destination_page_number(outline_entry(printed, articles.heading_text(site["index"].h1)))
    contents = squeeze("".join(pages[1:begin]))
    for name in PAGES[1:]:
        title = articles.heading_text(site[name].h1)
        assert squeeze(f"{title}{numbers[title]}") in contents
    for number, text in enumerate(pages[begin:], start=begin + 1):
        assert text.strip() in parts() or str(number) in (text.splitlines()[1], text.splitlines()[-1]), number


@pytest.mark.browser
def test_links_lead_to_places_of_the_document_or_to_the_web(printed):
    places = printed.named_destinations
    inside = outside = 0
    for page in printed.pages:
        for note in page.get("/Annots") or []:
            note = note.get_object()
            action = note.get("/A")
            if action is not None and "/URI" in action:
                outside += 1
                assert re.match(r"https?://|mailto:", action["/URI"]), action["/URI"]
                continue
            inside += 1
            name = note.get("/Dest") or action["/D"]
            assert str(name).lstrip("/") in {str(p).lstrip("/") for p in places}, name
    assert inside > 60
    assert outside > 3


@pytest.mark.browser
def test_every_page_holds_something(printed, pages):
    for number, (page, text) in enumerate(zip(printed.pages, pages, strict=True), start=1):
        drawn = len(page.get_contents().get_data())
        assert len(text.strip()) > 20 or drawn > 3000 or text.strip() in parts(), number


@pytest.mark.browser
def test_fonts_are_inside_and_they_are_ours(printed):
    names = set()
    for page in printed.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            for one in font.get_object().get("/DescendantFonts", [font]):
                one = one.get_object()
                names.add(str(one["/BaseFont"]).partition("+")[2])
                assert {"/FontFile", "/FontFile2", "/FontFile3"} & set(one["/FontDescriptor"].get_object()), names
    for wanted in ("SourceSerif4", "SourceSans3", "SourceCodePro", "NotoSansSC", "KaTeX_Main"):
        assert any(wanted in name for name in names), (wanted, names)


@pytest.mark.browser
def test_no_code_is_cut_off_and_solutions_are_there(pages, site):
    text = squeeze("".join(pages))
    for name in CHAPTERS:
        assert squeeze(longest_line(site[name])) in text
        for solution in site[name].select("details.hide"):
            if "solution" in solution.summary.get_text():
                assert squeeze(solution.select_one("pre").get_text().splitlines()[-1]) in text


@pytest.mark.browser
def test_every_figure_is_there_with_its_text(printed, site):
    wanted = alternative_texts(site)
    assert sum(wanted.values()) >= 8
    found = Counter(str(e["/Alt"]) for e in structure(printed) if e.get("/S") == "/Figure" and "/Alt" in e)
    assert {text: found[text] for text in wanted} == dict(wanted)


@pytest.mark.browser
def test_the_document_names_itself(printed):
    root = printed.trailer["/Root"]
    assert printed.metadata.title == "Large Models in Practice"
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"


@pytest.mark.browser
def test_what_is_wider_than_the_page_is_named(printable, tmp_path):
    wide = articles.read(PATHS, ("index",))
    wide[0].body.append(BeautifulSoup('<pre style="white-space: pre">' + "far " * 100 + "</pre>", "html.parser"))
    with pytest.raises(BookError, match=r"1 things are wider than the page: index: PRE .*far far"):
        pdf.make(PATHS, wide, tmp_path / "book.pdf")
    assert not (tmp_path / "book.pdf").exists()


# -- EPUB ----------------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def electronic(tmp_path_factory):
    output = tmp_path_factory.mktemp("epub") / "book.epub"
    command.write("epub", PATHS, output, PAGES)
    return output


@pytest.fixture(scope="module")
def documents(electronic):
    with zipfile.ZipFile(electronic) as archive:
        return {
            n.removeprefix("EPUB/"): ElementTree.fromstring(archive.read(n))
            for n in archive.namelist()
            if n.endswith(".xhtml")
        }


def test_the_container_begins_with_its_type_and_equal_books_are_equal_bytes(electronic, tmp_path):
    with zipfile.ZipFile(electronic) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"application/epub+zip"
        assert not [n for n in archive.namelist() if n.endswith(".js")]
    one, other = tmp_path / "one.epub", tmp_path / "other.epub"
    for file in (one, other):
        epub.make(PATHS, articles.read(PATHS, ("data",)), file)
    assert one.read_bytes() == other.read_bytes()


def test_every_link_of_the_epub_resolves(documents):
    ids = {name: {e.get("id") for e in tree.iter()} for name, tree in documents.items()}
    checked = 0
    for name, tree in documents.items():
        for element in tree.iter():
            address = element.get("href") or element.get("{http://www.w3.org/1999/xlink}href")
            if not address or re.match(r"\w+:", address) or address.endswith(".css"):
                continue
            file, _, fragment = address.partition("#")
            target = posixpath.normpath(file) if file else name
            assert target in documents, (name, address)
            assert not fragment or fragment in ids[target], (name, address)
            checked += 1
    assert checked > 300


def test_figures_formulas_and_solutions_are_in_the_epub(documents, site):
    svg, mathml = "{http://www.w3.org/2000/svg}svg", "{http://www.w3.org/1998/Math/MathML}math"
    found = Counter(
        e.get("aria-label") for tree in documents.values() for e in tree.iter(svg) if e.get("role") == "img"
    )
    assert found == alternative_texts(site)
    formulas = [e for tree in documents.values() for e in tree.iter(mathml)]
    assert len(formulas) == sum(len(article.select(".katex math")) for article in site.values()) > 50
    assert all(e.get("alttext") for e in formulas)
    text = squeeze("".join("".join(tree.itertext()) for tree in documents.values()))
    for name in CHAPTERS:
        assert squeeze(longest_line(site[name])) in text


def test_names_in_drawings_have_their_case(documents):
    """A reader's device would take no notice of a viewbox; nor does epubcheck."""
    used = {name for tree in documents.values() for svg in tree.iter("{http://www.w3.org/2000/svg}svg") for e in svg.iter()
            for name in e.attrib if name.isalpha()}  # fmt: skip
    lower = [
        "id",
        "class",
        "fill",
        "stroke",
        "opacity",
        "transform",
        "version",
        "role",
        "style",
        "d",
        "x",
        "y",
        "cx",
        "cy",
        "r",
        "rx",
        "ry",
        "width",
        "height",
        "points",
        "offset",
    ]
    assert used - set(lower) <= set(xhtml._ATTRIBUTES.values())
    assert "viewBox" in used


def test_navigation_lists_parts_chapters_and_sections(documents, site):
    (toc, _) = documents["nav.xhtml"].iter("{http://www.w3.org/1999/xhtml}nav")
    said = ["".join(e.itertext()) for e in toc.iter() if e.tag.endswith(("}a", "}span"))]
    for wanted in (
        "I. Foundations",
        "Glossary",
        *(articles.heading_text(site[name].h1) for name in CHAPTERS),
        "Further reading",
    ):
        assert wanted in said


@pytest.fixture(scope="module")
def epubcheck():
    """The checker's command line: its program from ``.venv-epubcheck`` in the machine's Java."""
    java = shutil.which("java")
    folder = REPOSITORY / ".venv-epubcheck"
    if CI and not folder.exists():
        environment.ensure(engine="epubcheck")
    program = next(folder.rglob("epubcheck.jar"), None)
    if java is None or program is None:
        pytest.skip("epubcheck needs Java, and: python3 -m book setup --engine epubcheck")
    return lambda file: subprocess.run(
        [java, "-XX:TieredStopAtLevel=1", "-jar", str(program), "--json", "-", "-q", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )


def messages(done) -> list[str]:
    report = json.loads(done.stdout[done.stdout.index("{") :])
    return [
        f"{m['severity']} {m['ID']} {m['message']}"
        for m in report["messages"]
        if m["severity"] in ("FATAL", "ERROR", "WARNING")
    ]


def test_epubcheck_finds_nothing(epubcheck, electronic):
    done = epubcheck(electronic)
    assert messages(done) == []
    assert done.returncode == 0


def test_epubcheck_finds_planted_faults(epubcheck, tmp_path):
    name, sound, planted = "EPUB/index.xhtml", tmp_path / "sound.epub", tmp_path / "planted.epub"
    epub.make(PATHS, articles.read(PATHS, ("index",)), sound)
    faults = [
        ('href="book.css"', 'href="lost.css"', "RSC-007"),
        ("</section>", "<script>1</script></section>", "OPF-014"),
        ("<h1>", '<h1 id="twice"><span id="twice"></span>', "RSC-005"),
        ("<body>", '<body><a href="#nowhere">x</a>', "RSC-012"),
    ]
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(planted, "w") as target:
        for entry in source.infolist():
            content = source.read(entry).decode()
            for old, new, _ in faults if entry.filename == name else []:
                assert old in content
                content = content.replace(old, new, 1)
            target.writestr(entry, content)
    done = epubcheck(planted)
    assert done.returncode != 0
    found = " ".join(messages(done))
    assert [identifier for _, _, identifier in faults if identifier not in found] == []


# -- one page of the site, printed by its reader -------------------------------------------------------------------------
@pytest.fixture
def chapter(chromium):  # noqa: F811
    """Opens a chapter in a theme, as it is printed."""
    contexts = []

    def open_in(theme):
        contexts.append(chromium.new_context(color_scheme=theme))
        page = contexts[-1].new_page()
        page.goto((PATHS.html / "notebooks/03_backprop_math.html").as_uri())
        page.emulate_media(media="print", color_scheme=theme)
        return page

    yield open_in
    for context in contexts:
        context.close()


@pytest.mark.browser
def test_the_paper_is_white_in_either_theme(chapter):
    looked_at = "html, .bd-article p, .bd-article div.cell_input, .bd-article .highlight .n, figure.book-figure svg text, figure.book-figure [stroke='#0072B2' i]"
    colours = [
        chapter(theme).evaluate(
            f"""[...document.querySelectorAll("{looked_at}")].map((e) => getComputedStyle(e)).map((s) =>
                [s.color, s.backgroundColor, s.fill, s.stroke, s.borderLeftColor].join(' '))"""
        )
        for theme in ("light", "dark")
    ]
    assert len(colours[0]) > 500
    allowed = {"rgb(8, 8, 8)": "rgb(17, 17, 17)"}  # names in code are a shade darker in the light theme
    light, dark = (
        [re.sub("|".join(map(re.escape, allowed)), lambda m: allowed[m.group()], c) for c in some] for some in colours
    )
    assert light == dark


@pytest.mark.browser
def test_a_chapter_prints_whole_and_without_its_navigation(chapter, site):
    content = chapter("light").pdf(print_background=True)
    article = site["notebooks/03_backprop_math"]
    text = squeeze("".join(p.extract_text() for p in PdfReader(io.BytesIO(content)).pages))
    assert squeeze(longest_line(article)) in text
    solutions = [d for d in article.select("details.hide") if "solution" in d.summary.get_text()]
    assert len(solutions) >= 5
    for solution in solutions:
        assert squeeze(solution.select_one("pre").get_text().splitlines()[-1]) in text
    for frame in article.select(".book-steps details.step summary"):
        assert squeeze(frame.get_text()) in text
    reason = article.select_one(".book-quiz .sd-card-body p strong").next_sibling
    assert squeeze(str(reason))[:30] in text
    for gone in ("Skip to main content", "Execution report", "Bug museum", "Ctrl+K"):
        assert squeeze(gone) not in text


def test_the_lock_of_the_checker_has_hashes_only():
    lock = (REPOSITORY / "engines/epubcheck/requirements.lock").read_text(encoding="utf-8")
    for entry in re.split(r"\n(?=\S)", lock.strip()):
        assert re.match(r"[\w.-]+==\S+", entry)
        assert "--hash=sha256:" in entry
    assert not re.search(r"https?:|--index|--find-links|file:", lock)
    fonts = json.loads((PATHS.theme / "print/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert all(p.get("integrity") and "resolved" not in p for name, p in fonts.items() if name)
