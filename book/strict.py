"""Pages under a strict content security policy: no script and no style stands in a page, and nothing comes from elsewhere."""

from __future__ import annotations

import hashlib
import re

from bs4 import BeautifulSoup

from book import BookError

# `file:` is what a page opened as a file loads; a page of a server cannot load it. Chromium needs 'wasm-unsafe-eval' to compile
# WebAssembly, which only the page with the digit demonstration does.
_SELF = "'self' file:"
_POLICY = {
    "default-src": _SELF,
    "script-src": _SELF,
    "style-src": _SELF,
    "img-src": f"{_SELF} data:",
    "media-src": f"{_SELF} data:",
    "object-src": "'none'",
    "base-uri": "'none'",
    "form-action": _SELF,
}
_WASM = "'wasm-unsafe-eval'"
_INLINE = "'unsafe-inline'"
# Inline scripts of theme and extensions that nothing on our pages needs, or that early.js and search.js replace.
_KNOWN = ("dataset.mode", "DOCUMENTATION_OPTIONS.", "togglebuttonSelector", "toggleHint", "toggleOpenOnPrint", "kernelName",
          "form.bd-search", "THEBE", "thebe")  # fmt: skip


def policy(*, wasm: bool = False, inline: bool = False, header: bool = False) -> str:
    """The content security policy.

    Parameters
    ----------
    wasm : bool
        Allow WebAssembly, for the page with the digit demonstration.
    inline : bool
        Allow scripts and styles within the page: slides, because reveal.js writes the speaker's window that way.
    header : bool
        As a server sends it: without files, and nobody may put the page into a frame of another site.
    """
    rules = dict(_POLICY)
    if wasm:
        rules["script-src"] += f" {_WASM}"
    if inline:
        rules["script-src"] += f" {_INLINE}"
        rules["style-src"] += f" {_INLINE}"
    if header:
        rules = {name: value.replace(" file:", "") for name, value in rules.items()}
        rules["frame-ancestors"] = "'self'" if inline else "'none'"  # the speaker's window frames the slides
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def header_for(path: str) -> str:
    """What a server sends with a page; each page may ask for less in its own head."""
    return policy(wasm=not path.startswith("/slides/"), inline=path.startswith("/slides/"), header=True)


class Sheet:
    """Style attributes as classes of one style sheet for the whole site."""

    def __init__(self) -> None:
        self.rules: dict[str, str] = {}

    def take(self, soup: BeautifulSoup) -> None:
        """Replace each style attribute by a class that says the same, with the same precedence over other rules."""
        for element in soup.select("[style]"):
            declarations = [d.strip() for d in element["style"].split(";") if d.strip()]
            del element["style"]
            if declarations:
                name = "s" + hashlib.sha256(";".join(declarations).encode()).hexdigest()[:7]
                self.rules[name] = ";".join(f"{d} !important" for d in declarations)
                element["class"] = [*element.get("class", []), name]

    def css(self) -> str:
        return "".join(f".{name}{{{rule}}}\n" for name, rule in sorted(self.rules.items()))


def strict(soup: BeautifulSoup, sheet: Sheet, root: str, page: str) -> None:
    """Move what stands in a page into files, and write its policy into its head.

    Parameters
    ----------
    sheet : Sheet
        Takes the style attributes.
    root : str
        From the page to the root of the site: empty, or ``../``.
    page : str
        Address of the page, for messages.

    Raises
    ------
    BookError
        If the page has a script or an event handler that is not known.
    """
    sheet.take(soup)
    for script in soup.select("script:not([src])"):
        text = (script.string or "").strip()
        if not any(word in text or word in script.get("type", "") for word in _KNOWN):
            raise BookError(f"'{page}' has a script within the page, which its policy forbids (it begins with "
                            f"'{' '.join(text.split())[:60]}'); move it into a file in book/theme/assets.")  # fmt: skip
        script.decompose()
    for style in soup.select("head style, noscript style"):
        style.decompose()
    for element in soup.find_all(True):
        for name in [name for name in element.attrs if re.fullmatch(r"on[a-z]+", name)]:
            raise BookError(f"'{page}' has an event handler within the page, which its policy forbids "
                            f"({name}=\"{element[name][:60]}\"); attach it in a file in book/theme/assets.")  # fmt: skip
    for empty in soup.select("head noscript"):
        empty.replace_with(soup.new_tag("noscript"))
        soup.head.noscript.append(soup.new_tag("link", rel="stylesheet", href=f"{root}_static/noscript.css"))
    soup.head.insert(0, soup.new_tag("script", src=f"{root}_static/early.js"))
    soup.head.insert(0, _meta(soup, policy(wasm=soup.select_one(".digit-demo") is not None)))
    charset = soup.head.find("meta", charset=True)
    if charset is not None:
        soup.head.insert(0, charset.extract())


def _meta(soup: BeautifulSoup, content: str):
    return soup.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": content})
