"""HTML as the site has it, turned into XHTML that an EPUB may hold."""

from __future__ import annotations

import re
import string
from urllib.parse import quote

from bs4 import Tag

# HTML does not mind the case of names, XML does: the names of SVG that are not all lower case, as far as drawings and
# diagrams use them (HTML standard, "adjust SVG attributes"). epubcheck does not miss them; our tests do.
_MIXED = (
    "clipPathUnits gradientTransform gradientUnits markerHeight markerUnits markerWidth maskContentUnits maskUnits pathLength "
    "patternContentUnits patternTransform patternUnits preserveAspectRatio refX refY spreadMethod startOffset stdDeviation "
    "textLength lengthAdjust viewBox"
)
_ATTRIBUTES = {name.lower(): name for name in _MIXED.split()}
_TAGS = {"clippath": "clipPath", "lineargradient": "linearGradient", "radialgradient": "radialGradient",
         "foreignobject": "foreignObject", "textpath": "textPath"}  # fmt: skip
_OBSOLETE = {"border", "align", "valign", "bgcolor", "width"}  # of tables
_IN_ADDRESSES = "%/:=&?~#+!$,;'@()*[]"  # an old DOI may hold < and >, which an address may not
_NOT_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def prepare(body: Tag) -> None:
    """Rework an article in place: formulas as MathML alone, names of SVG in their case, nothing that the format forbids."""
    for formula in body.select(".katex"):
        mathml = formula.find("math")
        if mathml is not None:
            _mathml(mathml, block=formula.find_parent(class_="katex-display") is not None)
            formula.replace_with(mathml.extract())
    for element in body.find_all(True):
        _names(element)
    for text in body.find_all(string=_NOT_XML):
        text.replace_with(_NOT_XML.sub("\ufffd", str(text)))


def features(body: Tag) -> str:
    """What the package document has to say of a page: whether it holds drawings, and formulas."""
    return " ".join(what for what, tag in (("mathml", "math"), ("svg", "svg")) if body.find(tag) is not None)


def serialise(body: Tag) -> str:
    """The article as XHTML."""
    body.name = "section"
    body.attrs = {"class": "article"}
    return body.decode(formatter="minimal")


def _mathml(mathml: Tag, *, block: bool) -> None:
    source = mathml.find("annotation")
    if source is not None:
        mathml["alttext"] = " ".join(source.get_text().split())
        source.decompose()
    semantics = mathml.find("semantics")
    if semantics is not None:
        semantics.unwrap()
    if block:
        mathml["display"] = "block"


def _names(element: Tag) -> None:
    element.name = _TAGS.get(element.name, element.name)
    inside_svg = element.name == "svg" or element.find_parent("svg") is not None
    if element.name == "svg":
        element["xmlns"] = "http://www.w3.org/2000/svg"
        element["xmlns:xlink"] = "http://www.w3.org/1999/xlink"
    for name in list(element.attrs):
        if inside_svg and name in _ATTRIBUTES:
            element[_ATTRIBUTES[name]] = element.attrs.pop(name)
        elif name.startswith("data-") or (
            name in _OBSOLETE and element.name in ("table", "tr", "td", "th", "colgroup", "col")
        ):
            del element[name]
        elif name == "id":
            element["id"] = xml_id(element["id"])
        elif name == "href" and not inside_svg:
            element["href"] = quote(element["href"], safe=_IN_ADDRESSES)


def xml_id(name: str) -> str:
    """An id as XML allows it."""
    allowed = string.ascii_letters + string.digits + "-_."
    return "".join(c if c in allowed else "-" for c in name)
