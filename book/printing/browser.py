"""The Chromium browser of this machine: a document becomes a PDF."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from book import BookError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
          "--no-first-run", "--disable-sync")  # fmt: skip
PATIENCE = 900.0  # seconds for one step; the whole book takes minutes on a slow machine


def find() -> str:
    """The browser's program.

    Raises
    ------
    BookError
        If there is none.
    """
    wanted = os.environ.get("BOOK_BROWSER")
    if wanted:
        if shutil.which(wanted) is None:
            raise BookError(f"BOOK_BROWSER names '{wanted}', which is not a program; correct it, or unset it.")
        return wanted
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise BookError("There is no Chromium browser to print with; install one, or name its program in BOOK_BROWSER.")
    return found


@contextmanager
def page(address: str) -> Iterator:
    """A page of a new browser without a network, loaded from ``address`` with all its fonts."""
    from playwright.sync_api import Error, sync_playwright

    try:
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=find(), args=list(_QUIET))
            try:
                opened = browser.new_context(offline=True, color_scheme="light").new_page()
                opened.set_default_timeout(PATIENCE * 1000)
                opened.emulate_media(media="print")
                opened.goto(address, wait_until="load")
                opened.evaluate("document.fonts.ready.then(() => true)")
                yield opened
            finally:
                browser.close()
    except Error as error:
        first = str(error).strip().splitlines()[0]
        raise BookError(
            f"Chromium could not print ({first}); is there memory for it, and is it a current version?"
        ) from error
