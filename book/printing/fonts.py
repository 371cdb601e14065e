"""The fonts of the printed book, from npm packages, so that it looks the same on every machine."""

from __future__ import annotations

from pathlib import Path

from book.paths import Paths
from book.vendor import install

# Family, package, subset, and whether it has italics. The first that has a character draws it.
_FAMILIES = (
    ("Source Serif 4", "source-serif-4", ("latin", "latin-ext", "greek"), True),
    ("Source Sans 3", "source-sans-3", ("latin", "latin-ext", "greek"), True),
    ("Source Code Pro", "source-code-pro", ("latin", "latin-ext", "greek"), True),
    ("Noto Sans SC", "noto-sans-sc", ("chinese-simplified",), False),
)
_RANGES = {
    "latin": "U+0000-00FF, U+0131, U+0152-0153, U+02BB-02BC, U+02C6, U+02DA, U+02DC, U+0304, U+0308, U+0329, "
    "U+2000-206F, U+20AC, U+2122, U+2191, U+2193, U+2212, U+2215, U+FEFF, U+FFFD",
    "latin-ext": "U+0100-02BA, U+02BD-02C5, U+02C7-02CC, U+02CE-02D7, U+02DD-02FF, U+1E00-1E9F, U+1EF2-1EFF, U+2020, "
    "U+20A0-20AB, U+20AD-20C0, U+2113, U+2C60-2C7F, U+A720-A7FF",
    "greek": "U+0370-03FF",
    "chinese-simplified": "U+2E80-2FFF, U+3000-303F, U+31C0-31EF, U+3400-9FFF, U+F900-FAFF, U+FF00-FFEF",
}


def install_fonts(paths: Paths) -> Path:
    """Fetch the fonts once, hash-checked; returns the folder of their packages."""
    return install(paths.theme / "print", paths.build / "npm-print", "fonts for print") / "@fontsource"


def rules(folder: Path) -> str:
    """Style rules that make the fonts known."""
    found = []
    for family, package, subsets, italics in _FAMILIES:
        for subset in subsets:
            for weight in (400, 700):
                for style in ("normal", "italic") if italics else ("normal",):
                    file = folder / package / "files" / f"{package}-{subset}-{weight}-{style}.woff2"
                    if file.is_file():
                        found.append(
                            f'@font-face {{ font-family: "{family}"; font-weight: {weight}; font-style: {style}; '
                            f'src: url("{file.as_uri()}") format("woff2"); unicode-range: {_RANGES[subset]} }}'
                        )
    return "\n".join(found)
