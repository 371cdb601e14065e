"""The search: what its index holds, and how it answers in a real browser, with keys, offline and in Chinese."""

from __future__ import annotations

import json
import re

import pytest
from bs4 import BeautifulSoup
from test_site import PATHS, SITE, Visit, address, axe, chromium  # noqa: F401  (fixtures)

from book import glossary, search

PAGE = """<article><section id="top"><h1>Ways down<a class="headerlink" href="#top">#</a></h1><p>A hill.</p>
<div class="cell"><pre>optimiser = Adam(rate)</pre><div class="cell_output"><pre>epoch 1 of 5</pre>
<div class="claim" id="claim-way-down"><p><span class="claim-verdict">Claim holds.</span> The loss falls.</p>
<p class="claim-detail"><code>way.down</code> <span>measured 3</span></p></div></div></div>
<section id="steps"><h2>Small steps<a class="headerlink" href="#steps">#</a></h2>
<p>Take <span class="katex"><annotation>x^2</annotation><span>x2</span></span> steps.</p><script>no = 1</script></section>
<div class="erratum" id="erratum-e1"><p class="erratum-head"><strong>E1</strong> <span class="badge-verdict">wrong</span></p>
<p>It says up.</p></div>
<div class="term-entry"><dt id="term-loss"><dfn>loss</dfn> <span lang="zh-Hans">损失</span></dt><dd>What training lowers.</dd></div>
</section></article>"""


def rows(page="notebooks/01.html"):
    made = search.entries(BeautifulSoup(PAGE, "html.parser"), page)
    return {row[2]: row for row in (entry.row(0) for entry in made)}


def test_each_place_is_an_entry_with_its_own_text_only():
    assert rows() == {
        "page": [0, "", "page", "Ways down", "A hill.", "Adam optimiser rate"],
        "claim": [0, "claim-way-down", "claim", "The loss falls.", "way.down measured 3", "way.down"],
        "section": [0, "steps", "section", "Small steps", "Take … steps.", ""],
        "erratum": [0, "erratum-e1", "erratum", "E1 · wrong", "It says up.", ""],
        "term": [0, "term-loss", "term", "loss · 损失", "What training lowers.", ""],
    }


def test_a_list_of_what_stands_elsewhere_is_one_entry():
    assert list(rows("claims.html")) == ["page"]
    assert search.entries(BeautifulSoup(PAGE, "html.parser"), "search.html") == []


def test_the_script_assigns_one_value():
    made = search.entries(BeautifulSoup(PAGE, "html.parser"), "notebooks/01.html")
    text = search.script({"notebooks/01.html": made, "genindex.html": []})
    assert text.startswith("window.BOOK_SEARCH=")
    data = json.loads(text.removeprefix("window.BOOK_SEARCH=").removesuffix(";\n"))
    assert data["pages"] == [["notebooks/01.html", "Ways down"]]
    assert len(data["entries"]) == 5


needs_site = pytest.mark.skipif(not (SITE / "search_index.js").is_file(), reason="no site: run make book first")


@needs_site
def test_every_claim_erratum_and_term_of_the_site_can_be_found():
    text = (SITE / "search_index.js").read_text(encoding="utf-8")
    entries = json.loads(text.removeprefix("window.BOOK_SEARCH=").removesuffix(";\n"))["entries"]
    report = json.loads(PATHS.report.read_text(encoding="utf-8"))
    assert {c["id"] for n in report["notebooks"] for c in n["claims"]} <= {e[5] for e in entries if e[2] == "claim"}
    assert {f"{t.term} · {t.chinese}" for t in glossary.read(PATHS)} == {e[3] for e in entries if e[2] == "term"}
    assert sum(e[2] == "erratum" for e in entries) >= 97


@needs_site
def test_no_page_loads_the_index_by_itself():
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for name in ("search_index.js", "searchindex.js", "searchtools.js", "minisearch"):
            assert f"{name}" not in text, page
    assert not (SITE / "searchindex.js").exists()


OPTION = "dialog [role=option]"


def ask(visit, words):
    field, said = visit.page.locator("dialog input[name=q]"), visit.page.locator("dialog .search-said")
    field.fill("")
    field.fill(words)
    said.filter(has_text=re.compile(r"\d+ place|Nothing")).wait_for(timeout=30_000)
    return visit.page.locator(OPTION).evaluate_all("es => es.map(e => e.getAttribute('href'))")


@pytest.fixture(scope="module")
def dialog(chromium, address):  # noqa: F811
    """The dialog of a chapter that was opened as a file: no server, no network."""
    with Visit(chromium, (SITE / "notebooks/05_mnist.html").as_uri()) as visit:
        assert not [r for r in visit.requests if "index.js" in r], "loaded before anybody searched"
        visit.page.keyboard.press("Control+k")
        yield visit
        assert visit.complaints == []
        assert all(r.startswith(("file:", "data:")) for r in visit.requests)


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("参数", "glossary.html#term-parameter"),
        ("softmax", "glossary.html#term-softmax"),
        ("E55", "errata.html#erratum-e55"),
        ("mnist.split.disjoint", "notebooks/05_mnist.html#claim-mnist-split-disjoint"),
        ("dropo", "glossary.html#term-dropout"),
        ("regularisaton", "glossary.html#term-regularisation"),  # a slip of the finger
    ],
)
def test_the_best_place_comes_first(dialog, words, first):
    assert ask(dialog, words)[0].endswith(f"/{first}")


@needs_site
@pytest.mark.browser
def test_several_words_must_all_be_there_and_nonsense_says_so(dialog):
    one, both = ask(dialog, "zebra") + ask(dialog, "dropout"), ask(dialog, "dropout regularisation")
    assert one
    assert both
    assert ask(dialog, "dropout xylophonist") == []
    assert "Nothing found" in dialog.page.locator("dialog .search-said").inner_text()
    assert ask(dialog, "参训") == [], "both characters are in the glossary, but never side by side"
    assert ask(dialog, "小最小") == [], "both pairs are in 最小最大, the three characters are not"
    assert ask(dialog, "(*[+") == []


@needs_site
@pytest.mark.browser
def test_keys_choose_and_open_a_place(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/index.html", width=390) as visit:
        visit.page.keyboard.press("Control+k")
        wanted = ask(visit, "gradient")
        field = visit.page.locator("dialog input[name=q]")
        assert field.get_attribute("aria-expanded") == "true"
        for key, chosen in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", -1)):
            visit.page.keyboard.press(key)
            options = visit.page.locator(OPTION)
            marks = options.evaluate_all("es => es.map(e => e.getAttribute('aria-selected'))")
            assert [k for k, mark in enumerate(marks) if mark == "true"] == [chosen % len(marks)]
            assert field.get_attribute("aria-activedescendant") == options.nth(chosen).get_attribute("id")
        visit.page.keyboard.press("ArrowDown")
        visit.page.keyboard.press("Enter")
        visit.page.wait_for_url(wanted[0])
        visit.page.go_back()
        visit.page.keyboard.press("Control+k")
        assert visit.page.locator("dialog#pst-search-dialog").evaluate("e => e.open")
        visit.page.keyboard.press("Escape")
        assert not visit.page.locator("dialog#pst-search-dialog").evaluate("e => e.open")
        assert visit.complaints == []


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_answers_are_accessible(chromium, address, axe, theme, width):  # noqa: F811
    with Visit(chromium, f"{address}/search.html?q=gradient", width=width, theme=theme) as visit:
        visit.page.wait_for_selector(".search-found [role=option]", timeout=30_000)
        visit.page.keyboard.press("ArrowDown")
        visit.page.evaluate(axe)
        violations = visit.page.evaluate("axe.run().then((result) => result.violations)")
        assert [f"{v['id']}: {v['nodes'][0]['html'][:150]}" for v in violations] == []
        overflow = visit.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0


@needs_site
@pytest.mark.browser
def test_a_missing_index_is_said(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/index.html") as visit:
        visit.page.route("**/search_index.js", lambda route: route.abort())
        visit.page.keyboard.press("Control+k")
        visit.page.keyboard.type("gradient")
        said = visit.page.locator("dialog .search-said", has_text="could not be loaded")
        said.wait_for(timeout=10_000)
