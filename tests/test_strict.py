"""Pages are light and strict: what they load, the policy that they ask for, and a browser that enforces it."""

from __future__ import annotations

import base64
import io
import json
import re

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from test_site import PATHS, SITE, Visit, address, chromium  # noqa: F401  (fixtures)

from book import BookError, lean, sheets, strict, weights

PAGES = sorted(p.relative_to(SITE).as_posix() for p in SITE.rglob("*.html") if "_static" not in p.parts)
needs_site = pytest.mark.skipif(not (SITE / "_static/inline.css").is_file(), reason="no site: run make book first")


def soup(body="", head=""):
    return BeautifulSoup(f"<html><head><meta charset='utf-8'>{head}</head><body>{body}</body></html>", "html.parser")


# --- one page ------------------------------------------------------------------------------------------------------


def test_style_attributes_become_classes_of_the_same_weight():
    page, sheet = (
        soup('<i class="a" style="height:1em; top:2em"></i><b style="height:1em;top:2em;"></b><u style=" "></u>'),
        strict.Sheet(),
    )
    strict.strict(page, sheet, "../", "p.html")
    (name,) = sheet.rules
    assert page.i["class"] == ["a", name]
    assert page.b["class"] == [name]
    assert page.select("[style]") == []
    assert sheet.css() == f".{name}{{height:1em !important;top:2em !important}}\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<script>steal()</script>", "steal"),
        ('<b onclick="go()">x</b>', "onclick"),
        ('<svg onload="go()"></svg>', "onload"),
    ],
)
def test_an_unknown_script_within_a_page_is_an_error_that_names_it(body, said):
    with pytest.raises(BookError, match=rf"notebooks/x.html.*{said}.*book/theme/assets"):
        strict.strict(soup(body), strict.Sheet(), "../", "notebooks/x.html")


def test_the_policy_comes_before_every_script_and_allows_wasm_only_for_the_demonstration():
    for body, wasm in (("", False), ("<div class='digit-demo'></div>", True)):
        page = soup(body, "<script src='x.js'></script>")
        strict.strict(page, strict.Sheet(), "", "p.html")
        names = [
            e.get("charset") or e.get("http-equiv") or e.get("src") for e in page.head.find_all(["meta", "script"])
        ]
        assert names == ["utf-8", "Content-Security-Policy", "_static/early.js", "x.js"]
        assert ("wasm-unsafe-eval" in page.select_one("[http-equiv]")["content"]) == wasm


def test_the_header_is_no_looser_than_it_says():
    for path in ("/", "/index.html", "/notebooks/05_mnist.html"):
        said = strict.header_for(path)
        assert "unsafe-inline" not in said
        assert "'unsafe-eval'" not in said
        assert not re.search(r"https?:|file:|\*", said)
        assert {"object-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"} <= set(said.split("; "))


def test_a_page_loads_only_what_it_uses_and_no_script_holds_it_up():
    names = ("early.js", "clipboard.min.js", "scripts/bootstrap.js", "steps.js")
    page = soup(
        "<div class='highlight'><pre>x</pre></div>", "".join(f"<script src='_static/{n}'></script>" for n in names)
    )
    lean.load_only_what_is_used(page)
    assert [(e["src"], e.get("defer")) for e in page.select("script")] == [
        ("_static/early.js", None), ("_static/clipboard.min.js", "defer"),
    ]  # fmt: skip


def test_sheets_are_joined_in_order_with_their_imports_and_addresses(tmp_path):
    (tmp_path / "styles").mkdir()
    (tmp_path / "basic.css").write_text("b{color:red}")
    (tmp_path / "styles/a.css").write_text(
        '@charset "UTF-8";@import "../basic.css";a{background:url(../x.png) url(data:,)}'
    )
    (tmp_path / "c.css").write_text("c{background:url('img/y.png')}")
    joined = sheets.join(tmp_path, [tmp_path / "styles/a.css", tmp_path / "c.css"])
    assert joined.split() == [
        "b{color:red}",
        'a{background:url("x.png")',
        "url(data:,)}",
        'c{background:url("img/y.png")}',
    ]


@needs_site
def test_a_rule_that_no_page_can_use_is_left_out_and_every_other_one_stays():
    page = soup("<p class='used' data-theme='dark'>x</p>")
    css = "p{a:b}.used{a:b}.xylophone{a:b}.by-script{a:b}html[data-theme=dark] p{a:b}table{a:b}p:hover{a:b}"
    script = SITE / "_static/early.js"
    used = sheets.words(page) | {"by-script"}
    left = sheets.purge(css, used, [script], PATHS.build / "npm/node_modules", PATHS.theme / "purge.js")
    assert re.findall(r"([^{}]+)\{", left) == ["p", ".used", ".by-script", "html[data-theme=dark] p", "p:hover"]


def test_a_page_says_how_it_begins():
    page = soup(
        "<article><section><p class='run-line'>Executed on a machine with many cores, in 3 s.</p><p>"
        + "Word " * 50
        + "</p></section></article>",
        "<title>T</title>",
    )
    lean.describe(page)
    said = page.select_one("meta[name=description]")["content"]
    assert said.startswith("Word Word")
    assert said.endswith("Word …")
    assert len(said) <= 160


def png(picture):
    out = io.BytesIO()
    picture.save(out, "png")
    return out.getvalue()


def test_pictures_get_smaller_and_stay_the_same_picture():
    import numpy as np

    flat = np.random.default_rng(0).integers(0, 2, (100, 400, 3), np.uint8) * 255  # eight colours: without loss
    data = lean.smaller(png(Image.fromarray(flat)), "as it was").partition(",")[2]
    shown = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
    assert (np.asarray(shown) == flat).all()
    y, x = np.mgrid[:120, :120]
    noisy = np.stack([x + y, 2 * x, 2 * y], -1) + np.random.default_rng(0).normal(0, 6, (120, 120, 3))
    photo = noisy.clip(0, 255).astype(np.uint8)
    content = png(Image.fromarray(photo))
    data = base64.b64decode(lean.smaller(content, "as it was").partition(",")[2])
    assert len(data) < 0.5 * len(content)
    difference = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int) - photo
    assert np.sqrt((difference**2).mean()) < 8, "the noise itself has a spread of 6"
    tiny = png(Image.new("RGB", (4, 4)))
    assert lean.smaller(tiny, "as it was") == "as it was"


# --- the built site ------------------------------------------------------------------------------------------------


@needs_site
def test_no_page_transfers_more_than_600_kilobytes():
    counted = json.loads((PATHS.build / "weights.json").read_text())["pages"]  # when the site was rendered
    assert set(counted) == {
        page.relative_to(SITE).as_posix() for page in SITE.rglob("*.html") if "_static" not in page.parts
    }
    assert {page: size for page, size in counted.items() if size > weights.LIMIT} == {}


@needs_site
@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_the_policy_and_nothing_in_it_that_the_policy_forbids(page):
    text = (SITE / page).read_text(encoding="utf-8")
    assert text.count('http-equiv="Content-Security-Policy"') == 1
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"<[a-z][^<>]*\s(?:style|on[a-z]+)=\"", text)
    if not page.startswith("slides/"):
        for script in re.findall(r"<script[^>]*>", text):
            assert "defer" in script or "early.js" in script, script


@needs_site
def test_style_sheets_name_only_files_that_are_there():
    for sheet in (SITE / "_static").rglob("*.css"):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8"), flags=re.S)
        for name in re.findall(r"url\(['\"]?([^'\")]+)", text):
            if not name.startswith(("data:", "#")) and not ("KaTeX_" in name and not name.endswith("woff2")):
                assert (sheet.parent / name.split("?")[0].split("#")[0]).resolve().is_file(), f"{sheet.name}: {name}"


@needs_site
def test_the_icons_that_pages_show_are_in_the_font():
    from fontTools.ttLib import TTFont

    css = (SITE / "_static/styles/pydata-sphinx-theme.css").read_text(encoding="utf-8")
    known = TTFont(SITE / "_static/vendor/fontawesome/icons.woff").getBestCmap()
    used = set()
    for page in PAGES:
        used |= set(re.findall(r"\bfa-(?!solid|lg|regular|brands)[a-z-]+", (SITE / page).read_text(encoding="utf-8")))
    assert len(used) >= 8
    for name in used:
        rule = re.search(rf'\.{name}::?before[^{{}}]*\{{content:"\\([0-9a-f]+)"', css)
        assert rule, f"no rule for {name}"
        assert int(rule[1], 16) in known, name


# --- in a browser --------------------------------------------------------------------------------------------------


@needs_site
@pytest.mark.browser
@pytest.mark.parametrize("page", ["search.html", "slides/05_mnist.html"])  # test_site.py visits the others
def test_the_other_pages_obey_the_policy_as_well(chromium, address, page):  # noqa: F811
    with Visit(chromium, f"{address}/{page}") as visit:
        assert visit.complaints == []
        assert all(r.startswith((address, "data:")) for r in visit.requests)


@needs_site
@pytest.mark.browser
def test_the_server_sends_the_policy_and_the_browser_enforces_it(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/index.html") as visit:
        answer = visit.page.request.get(f"{address}/index.html")
        assert answer.headers["content-security-policy"] == strict.header_for("/index.html")
        visit.page.evaluate(
            """() => { const s = document.createElement('script'); s.textContent = 'window.planted = 1'; document.head.append(s);
                       const p = document.createElement('p'); p.setAttribute('style', 'color: red'); document.body.append(p); }"""
        )
        assert visit.page.evaluate("window.planted") is None
        assert {
            kind: any(f"inline {kind}" in complaint for complaint in visit.complaints) for kind in ("script", "style")
        } == {"script": True, "style": True}


@needs_site
@pytest.mark.browser
def test_the_count_from_files_is_what_a_browser_loads(chromium, address):  # noqa: F811
    counted = weights.transferred(SITE)
    for page in ("index.html", "notebooks/06_augmented_cnn.html", "errata.html"):
        with Visit(chromium, f"{address}/{page}") as visit:
            loaded = {
                SITE / r.removeprefix(address).partition("?")[0].lstrip("/")
                for r in visit.requests
                if r.startswith(address)
            }
            size = sum(weights.compressed(file) for file in loaded)
            assert abs(size - counted[page]) < 0.12 * size, f"{page}: {size} loaded, {counted[page]} counted"


@needs_site
@pytest.mark.browser
def test_a_dark_page_is_dark_before_its_scripts_run(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/index.html", theme="dark") as visit:
        visit.page.route(
            "**/*.js*", lambda route: route.continue_() if "early.js" in route.request.url else route.abort()
        )
        visit.page.reload(wait_until="commit")
        visit.page.wait_for_selector("article h1")
        assert visit.page.evaluate("document.documentElement.dataset.theme") == "dark"


@needs_site
@pytest.mark.browser
def test_formulas_look_the_same_as_with_style_attributes(chromium, address):  # noqa: F811
    """A strut has the height that KaTeX computed: the class says what the attribute said."""
    with Visit(chromium, f"{address}/notebooks/05_mnist.html") as visit:
        strut = visit.page.locator(".katex .strut").first
        height, size = strut.evaluate("e => [getComputedStyle(e).height, getComputedStyle(e).fontSize].map(parseFloat)")
        name = next(c for c in strut.get_attribute("class").split() if re.fullmatch(r"s[0-9a-f]{7}", c))
        rule = re.search(rf"\.{name}\{{height:([\d.]+)em", (SITE / "_static/inline.css").read_text(encoding="utf-8"))
        assert height == pytest.approx(float(rule[1]) * size, rel=0.01)


@needs_site
@pytest.mark.browser
def test_what_the_menus_did_works_without_them(chromium, address):  # noqa: F811
    with Visit(chromium, f"{address}/notebooks/05_mnist.html", width=390) as visit:
        with visit.page.expect_download() as download:
            visit.page.get_by_role("link", name="Download this notebook").first.click()
        assert download.value.suggested_filename == "05_mnist.ipynb"
        visit.page.locator(".primary-toggle").click()
        assert visit.page.locator("#pst-primary-sidebar-modal").evaluate("e => e.open")
        assert visit.page.get_by_role("link", name="6. An augmented CNN").first.is_visible()
        assert visit.complaints == []


def test_pages_ask_for_another_sheet_when_its_text_changes(tmp_path):
    asked = []
    for css in ("p{color:red}", "p{color:red}", "p{color:blue}"):
        page = BeautifulSoup("<head><link rel=stylesheet href=_static/old.css></head>", "html.parser")
        sheets.link_one(page, "")
        file = tmp_path / "page.html"
        file.write_text(str(page))
        sheets.write(tmp_path, css, [file])
        (link,) = BeautifulSoup(file.read_text(), "html.parser").select("link")
        asked.append(str(link["href"]))
    assert asked[0] == asked[1] != asked[2]
    assert all(re.fullmatch(r"_static/site\.css\?v=[0-9a-f]{8}", one) for one in asked)
