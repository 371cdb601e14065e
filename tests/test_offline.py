"""The ZIP is whole and reproducible; with the network refused, the worker shows what was visited, and never something old."""

from __future__ import annotations

import functools
import shutil
import threading
import zipfile
from http.server import ThreadingHTTPServer

import pytest
from test_site import PATHS, SITE, chromium  # noqa: F401  (fixtures)

from book import BookError, offline, serve
from book.paths import Paths

needs_site = pytest.mark.skipif(not (SITE / offline.WORKER).is_file(), reason="no site: run make book first")


@pytest.fixture
def small(tmp_path):
    site = Paths(tmp_path).html
    (site / "notebooks").mkdir(parents=True)
    (site / "index.html").write_text("<h1>Book</h1>")
    (site / "notebooks/01.html").write_text("<h1>One</h1>")
    return Paths(tmp_path)


def test_the_archive_is_the_same_bytes_whatever_the_clock_says(small):
    first = offline.archive(small).read_bytes()
    (small.html / "index.html").touch()
    (small.html / "index.html").chmod(0o600)
    assert offline.archive(small).read_bytes() == first
    (small.html / "index.html").write_text("<h1>Other</h1>")
    assert offline.archive(small).read_bytes() != first
    with zipfile.ZipFile(small.build / f"{offline.NAME}.zip") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"{offline.NAME}/{name}" for name in ("index.html", "notebooks/01.html")]
        assert {i.external_attr >> 16 & 0o777 for i in archive.infolist()} == {0o644}


def test_without_a_site_there_is_nothing_to_pack(tmp_path):
    with pytest.raises(BookError, match="make book"):
        offline.archive(Paths(tmp_path))


def test_the_version_of_the_worker_follows_the_content(small):
    template = PATHS.theme / offline.WORKER
    first = offline.write_worker(small.html, template)
    assert offline.write_worker(small.html, template) == first
    assert f"book-{first}" in (small.html / offline.WORKER).read_text()
    (small.html / "notebooks/01.html").write_text("<h1>1</h1>")
    assert offline.write_worker(small.html, template) != first


@pytest.fixture
def site(tmp_path):
    """A server of a few pages of the site, which a test may change and stop."""
    copy = tmp_path / "site"
    shutil.copytree(
        SITE, copy, ignore=shutil.ignore_patterns("notebooks", "problems", "slides", "_sources", "cases", "artifacts")
    )
    (copy / "notebooks").mkdir()
    shutil.copy(SITE / "notebooks/01_background.html", copy / "notebooks")
    running = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(serve._Quiet, directory=str(copy)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    running.site, running.address = copy, f"http://127.0.0.1:{running.server_address[1]}"
    yield running
    running.shutdown()
    running.server_close()


def heading(page):
    return page.locator("article h1").first.inner_text()


@needs_site
@pytest.mark.browser
def test_visited_pages_open_without_a_network_and_the_server_comes_first(chromium, site):  # noqa: F811
    context = chromium.new_context()
    page = context.new_page()
    complaints = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
    chapter = f"{site.address}/notebooks/01_background.html"
    page.goto(chapter)
    page.wait_for_selector("html[data-offline=ready]", state="attached", timeout=30_000)
    first = heading(page)
    file = site.site / "notebooks/01_background.html"
    file.write_text(file.read_text(encoding="utf-8").replace("<h1>", "<h1>NEW "), encoding="utf-8")
    page.reload()
    assert heading(page) == f"NEW {first}", "the server has a newer page"
    assert complaints == []
    context.set_offline(True)
    site.shutdown()
    site.server_close()
    page.goto(f"{site.address}/index.html")
    assert heading(page) == "Large Models in Practice"
    page.goto(f"{chapter}#main-content")
    assert heading(page) == f"NEW {first}"
    width = page.evaluate("getComputedStyle(document.querySelector('.bd-article')).fontSize")
    assert float(width.removesuffix("px")) > 16, "the style sheet was kept as well"
    page.keyboard.press("Control+k")
    page.keyboard.type("dropout")
    page.wait_for_selector("dialog [role=option]", timeout=30_000)
    context.close()
