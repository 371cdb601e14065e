"""A page loads what it uses and no more: scripts, style sheets, icons, and pictures inside of figures."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

from bs4 import BeautifulSoup
from fontTools import subset
from PIL import Image

# Search is ours, comments and live code are not there, icons come from a font, tips are the browser's own, and nothing on
# our pages is a tab or a toggle button.
_UNUSED = ("fontawesome.js", "sphinx-thebe", "searchtools.js", "language_data.js", "searchindex.js", "doctools.js", "bootstrap.js",
           "sphinx_highlight.js", "togglebutton.js", "design-tabs.js")  # fmt: skip
# What the rest is for; without such an element a page does not load it.
_NEEDED_FOR = {
    "copybutton.js": "div.highlight pre",
    "clipboard": "div.highlight pre",
    "steps.js": ".book-steps",
}
_BLOCKING = "early.js"  # sets the theme before the page is painted
UNUSED_FILES = ("*.map", "scripts/fontawesome.js*", "scripts/bootstrap.js*", "sphinx-thebe.*", "*-macros.html", "locales",
                "searchtools.js", "language_data.js", "doctools.js", "sphinx_highlight.js", "togglebutton.*", "design-tabs.js",
                "copybutton_funcs.js", "images", "play-solid.svg", "webfonts")  # fmt: skip
_ICONS = "vendor/fontawesome/webfonts/fa-solid-900.woff2"
_ICON_RULE = re.compile(r'((?:\.fa-[\w-]+::?before,?)+)\{content:"(\\[0-9a-f]+)"\}')
_FONT_FACE = re.compile(r"@font-face\{[^}]*\}")
SMALL = 3_000  # bytes; a smaller picture is left as it is
WEBP_QUALITY = 90


def load_only_what_is_used(soup: BeautifulSoup) -> None:
    """Drop scripts that the page does not use; let no script but one hold up the page."""
    for element in soup.select("script[src], link[rel=preload]"):
        source = element.get("src") or element["href"]
        name = source.split("/")[-1].split("?")[0]
        needed = [selector for part, selector in _NEEDED_FOR.items() if name.startswith(part)]
        if (
            any(part in name for part in _UNUSED)
            or "preload" in element.get("rel", [])
            or (needed and not any(soup.select_one(selector) for selector in needed))
        ):
            element.decompose()
        elif element.name == "script" and name != _BLOCKING:
            element["defer"] = "defer"


def plain_buttons(soup: BeautifulSoup) -> None:
    """The buttons above an article: one link to the source instead of a menu; no copies of what the browser has itself."""
    for menu in soup.select(".dropdown-download-buttons"):
        link = menu.select_one("a.btn-download-source-button")
        if link is None:
            menu.decompose()
            continue
        what = "Download this notebook" if link["href"].endswith(".ipynb") else "Download the source of this page"
        new = soup.new_tag("a", href=link["href"], download=link["href"].split("/")[-1], title=what)
        new["class"], new["aria-label"] = "btn btn-sm pst-navbar-icon book-download", what
        new.append(soup.new_tag("i", attrs={"class": "fa-solid fa-download fa-lg", "aria-hidden": "true"}))
        menu.replace_with(new)
    for button in soup.select(".btn-fullscreen-button, .btn-download-pdf-button"):
        button.decompose()
    for tip in soup.select("[data-bs-toggle=tooltip]"):
        tip["title"] = tip.get("title") or tip.get("data-bs-title", "")
        for name in ("data-bs-toggle", "data-bs-placement", "data-bs-title"):
            tip.attrs.pop(name, None)


def describe(soup: BeautifulSoup) -> None:
    """A description for search engines and previews: how the page begins."""
    begin = next((" ".join(p.get_text().split()) for p in soup.select("article section > p:not(.run-line)")
                  if not p.select_one(".katex") and len(p.get_text()) > 40), None)  # fmt: skip
    begin = begin or f"{soup.title.get_text()}: an executable book on large models."
    if len(begin) > 160:
        begin = begin[:157].rsplit(" ", 1)[0] + " …"
    soup.head.append(soup.new_tag("meta", attrs={"name": "description", "content": begin}))


def smaller_pictures(soup: BeautifulSoup) -> None:
    """Pictures within pages, as a browser decodes them in fewer bytes."""
    for element in soup.select("image, img"):
        for name in ("xlink:href", "href", "src"):
            head, comma, data = element.get(name, "").partition(",")
            if comma and head.startswith("data:image/png") and head.endswith(";base64"):
                element[name] = smaller(base64.b64decode(data), element[name])


def smaller(png: bytes, otherwise: str) -> str:
    """A picture as a ``data:`` address: a PNG with up to 256 colours loses nothing, a photograph becomes WebP.

    Parameters
    ----------
    png : bytes
        The picture.
    otherwise : str
        What is returned if no other form is smaller by a tenth.
    """
    if len(png) < SMALL:
        return otherwise
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    if picture.getextrema()[3] == (255, 255):
        picture = picture.convert("RGB")
    if picture.getcolors(256) is not None:
        kind, options = "webp", {"lossless": True, "quality": 100, "method": 6, "exact": True}
    else:
        kind, options = "webp", {"quality": WEBP_QUALITY, "method": 6}
    out = io.BytesIO()
    picture.save(out, kind, **options)
    if out.tell() > 0.9 * len(png):
        return otherwise
    return f"data:image/{kind};base64," + base64.b64encode(out.getvalue()).decode()


def own_icons(site: Path, used: set[str]) -> None:
    """A font of the icons that pages use, instead of one of all icons, and a style sheet that names no others.

    Parameters
    ----------
    used : set of str
        Classes of icons that occur on pages, for instance ``fa-bars``.
    """
    sheet = site / "_static/styles/pydata-sphinx-theme.css"
    font = site / "_static" / _ICONS
    if not (sheet.is_file() and font.is_file()):
        return
    css = sheet.read_text(encoding="utf-8")

    def keep(rule: re.Match) -> str:
        names = set(re.findall(r"fa-[\w-]+", rule[1]))
        return rule[0] if names & used else ""

    css = _ICON_RULE.sub(keep, css)
    css = _FONT_FACE.sub(lambda face: "" if "Font Awesome" in face[0] else face[0], css)
    css = ('@font-face{font-display:block;font-family:"Font Awesome 6 Free";font-style:normal;font-weight:900;'
           'src:url(../vendor/fontawesome/icons.woff) format("woff")}') + css.removeprefix("\ufeff")  # fmt: skip
    others = "".join(
        file.read_text(encoding="utf-8") for file in sorted((site / "_static").glob("**/*.css")) if file != sheet
    )
    points = {int(point, 16) for point in re.findall(r'"\\(f[0-9a-f]{3})"', css + others)}
    options = subset.Options(
        flavor="woff", layout_features=[], notdef_outline=False, hinting=False, recalc_timestamp=False
    )
    source = font.with_suffix(".ttf")
    cut = subset.load_font(str(source), options)
    worker = subset.Subsetter(options)
    worker.populate(unicodes=points)
    worker.subset(cut)
    subset.save_font(cut, str(site / "_static/vendor/fontawesome/icons.woff"), options)
    sheet.write_text(_charset(css), encoding="utf-8")


def no_source_maps(static: Path) -> None:
    """The maps of other people's scripts are not in the site, so no tool should ask for them."""
    for script in static.rglob("*.js"):
        text = script.read_text(encoding="utf-8")
        if "\n//# sourceMappingURL=" in text:
            script.write_text(re.sub(r"\n//# sourceMappingURL=\S+", "", text), encoding="utf-8")


def icons(soup: BeautifulSoup) -> set[str]:
    """Classes of icons on a page."""
    return {name for element in soup.select("[class*=fa-]") for name in element["class"] if name.startswith("fa-")}


def _charset(css: str) -> str:
    """A declared character set must come first."""
    declared = '@charset "UTF-8";'
    return declared + css.replace(declared, "") if declared in css else css
