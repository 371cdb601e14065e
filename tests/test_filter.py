"""The filters of errata, coverage and glossary in a real browser: keyboard, address, counts, and no script at all."""

from __future__ import annotations

import pytest
from test_site import PATHS, SITE, Visit, address, axe, chromium  # noqa: F401  (fixtures)

from book import generated, ledger, rows

pytestmark = pytest.mark.browser

if not (SITE / "glossary.html").is_file():
    pytest.skip("no site: run make book first", allow_module_level=True)

PAGES = {"errata.html": ".erratum", "coverage.html": ".erratum", "glossary.html": ".term-entry"}
VISIBLE = "es => es.filter(e => e.getClientRects().length).map(e => e.querySelector('strong, dfn').textContent)"


def shown(visit, page="errata.html") -> list[str]:
    return visit.page.locator(f"article {PAGES[page]}").evaluate_all(VISIBLE)


def said(visit) -> str:
    return visit.page.locator(".filter-count").inner_text()


@pytest.fixture(scope="module")
def errata():
    return ledger.read_rows(PATHS, "errata")


@pytest.mark.parametrize("page", PAGES)
def test_everything_is_shown_at_first_and_counted(chromium, address, page):  # noqa: F811
    with Visit(chromium, f"{address}/{page}") as visit:
        everything = visit.page.locator(f"article {PAGES[page]}").count()
        assert everything >= 72
        assert len(shown(visit, page)) == everything
        assert said(visit).startswith(f"{everything} of {everything} ")
        assert visit.page.locator(".filter-count").get_attribute("aria-live") == "polite"
        assert visit.complaints == []


def test_a_choice_shows_its_rows_counts_them_and_stands_in_the_address(chromium, address, errata):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html") as visit:
        visit.page.get_by_label("Verdict", exact=True).select_option("wrong")
        wanted = [row["id"] for row in errata if row["verdict"] == "wrong"]
        assert sorted(shown(visit)) == wanted
        assert said(visit) == f"{len(wanted)} of 97 entries shown."
        assert visit.page.url == f"{address}/errata.html?verdict=wrong"
        visit.page.get_by_label("Chapter", exact=True).select_option("05_mnist")
        both = [row["id"] for row in errata if row["verdict"] == "wrong" and row["chapter"] == "05_mnist"]
        assert sorted(shown(visit)) == both
        assert visit.page.url == f"{address}/errata.html?chapter=05_mnist&verdict=wrong"
        headings = visit.page.locator("article section section > h2").evaluate_all(
            "es => es.filter(e => e.getClientRects().length).map(e => e.firstChild.textContent)"
        )
        assert headings == ["5 MNIST"], "sections without a row must go as well"


def test_an_address_with_a_filter_shows_the_same(chromium, address, errata):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html?chapter=05_mnist&verdict=wrong") as visit:
        both = [row["id"] for row in errata if row["verdict"] == "wrong" and row["chapter"] == "05_mnist"]
        assert sorted(shown(visit)) == both
        assert visit.page.get_by_label("Chapter", exact=True).input_value() == "05_mnist"
        visit.page.get_by_role("button", name="Show all").click()
        visit.page.locator(".filter-count", has_text="97 of 97").wait_for()
        assert visit.page.url == f"{address}/errata.html"


@pytest.mark.parametrize(
    "query", ["?verdict=nothing", "?colour=red", "?submit=1&reset=2", "?words=", "?verdict=%22%3E%3Cscript%3E"]
)
def test_an_address_with_nonsense_shows_everything(chromium, address, query):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html{query}") as visit:
        assert len(shown(visit)) == 97
        assert visit.complaints == []


def test_the_state_is_that_of_the_build(chromium, address, errata):  # noqa: F811
    book = generated.Book.collect(PATHS)
    if not book.notebooks:
        pytest.skip("no executed notebooks: run make book first")
    for state in {rows.state(row, book) for row in errata}:
        with Visit(chromium, f"{address}/errata.html?state={state}") as visit:
            assert sorted(shown(visit)) == [row["id"] for row in errata if rows.state(row, book) == state]


def test_numbers_of_the_summary_lead_to_their_rows(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html") as visit:
        links = visit.page.locator("article table a").evaluate_all(
            "es => es.map(e => [e.getAttribute('href'), e.textContent])"
        )
        assert len(links) >= 10
        for href, number in links[:: max(1, len(links) // 4)]:
            visit.page.goto(f"{address}/{href}")
            assert len(shown(visit)) == int(number)
        assert visit.complaints == []


def test_the_filter_works_by_keyboard_alone(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html", width=390) as visit:
        visit.page.get_by_label("Chapter", exact=True).focus()
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("o")  # "outdated"
        assert "?verdict=outdated" in visit.page.url
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.press("Tab")
        visit.page.keyboard.type("python")
        assert 0 < len(shown(visit)) < 10
        visit.page.keyboard.press("Enter")  # must not send the form anywhere
        assert "words=python" in visit.page.url
        visit.page.keyboard.press("Tab")
        assert visit.page.evaluate("document.activeElement.textContent") == "Show all"
        visit.page.keyboard.press("Enter")
        visit.page.locator(".filter-count", has_text="97 of 97").wait_for()


def test_a_link_to_a_hidden_row_shows_it(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html?verdict=correct#erratum-e01") as visit:
        visit.page.locator("#erratum-e01").wait_for()
    with Visit(chromium, f"{address}/errata.html?verdict=correct") as visit:
        assert "E01" not in shown(visit)
        visit.page.evaluate("location.hash = '#erratum-e01'")
        visit.page.locator("#erratum-e01").wait_for()


def test_terms_are_found_by_a_word_of_either_language(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/glossary.html") as visit:
        box = visit.page.get_by_label("Words", exact=True)
        box.fill("学习率")
        assert shown(visit, "glossary.html") == ["learning rate"]
        box.fill("  Probability CLASS ")
        found = shown(visit, "glossary.html")
        assert "cross-entropy" in found, "all words, in any order, large or small"
        assert "sigmoid" not in found


@pytest.mark.parametrize("word", ["学习率", "logit"])
def test_the_search_of_the_site_finds_the_glossary_in_both_languages(chromium, address, word):  # noqa: F811
    with Visit(chromium, f"{address}/search.html?q={word}") as visit:
        # the list of results grows one by one
        visit.page.wait_for_selector(".search-found a[href*='glossary.html']", timeout=30_000)


@pytest.mark.parametrize("page", PAGES)
def test_without_a_script_everything_is_shown_and_no_dead_control(chromium, address, page):  # noqa: F811
    context = chromium.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(f"{address}/{page}?verdict=wrong")
    entries = tab.locator(f"article {PAGES[page]}")
    assert entries.count() >= 72
    assert all(entries.nth(k).is_visible() for k in range(0, entries.count(), 9))
    assert not tab.locator(".book-filter").is_visible()
    context.close()


def test_the_filter_works_on_a_page_opened_as_a_file(chromium):  # noqa: F811
    with Visit(chromium, (SITE / "errata.html").as_uri()) as visit:
        visit.page.get_by_label("Verdict", exact=True).select_option("outdated")
        assert 0 < len(shown(visit)) < 97
        assert visit.complaints == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_filtered_page_is_accessible(chromium, address, axe, theme):  # noqa: F811
    with Visit(chromium, f"{address}/errata.html?verdict=outdated", width=390, theme=theme) as visit:
        visit.page.evaluate(axe)
        violations = visit.page.evaluate("axe.run().then((result) => result.violations)")
        assert [v["id"] for v in violations] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_term_is_a_quiet_link_that_needs_no_colour(chromium, address, theme):  # noqa: F811
    with Visit(chromium, f"{address}/notebooks/05_mnist.html", theme=theme) as visit:
        link = visit.page.locator("p > a.term").first
        style = link.evaluate(
            "e => [getComputedStyle(e).textDecorationStyle, getComputedStyle(e).color, getComputedStyle(e.parentElement).color]"
        )
        assert style[0] == "dotted"
        assert style[1] == style[2]
        link.click()
        visit.page.wait_for_url("**/glossary.html#term-*")
        target = visit.page.url.split("#")[1]
        assert visit.page.locator(f"#{target}").is_visible()


def test_the_script_is_loaded_only_where_there_is_a_filter():
    for page in SITE.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert ("_static/filter.js" in text) == ("book-filter" in text), page.name
