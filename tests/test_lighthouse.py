"""What `python -m book lighthouse` makes of reports; the audits themselves take minutes and are run by hand."""

from __future__ import annotations

import json
import urllib.request
import zlib

import pytest
from test_site import PATHS

from book import BookError, lighthouse, serve
from book.__main__ import main
from book.paths import Paths


def report(performance, *, title="Slow", weight=10, score=0.5):
    categories = {name: {"score": 1, "auditRefs": []} for name in lighthouse.CATEGORIES}
    categories["performance"] = {"score": performance, "auditRefs": [{"id": "a", "weight": weight}]}
    return {"categories": categories, "audits": {"a": {"score": score, "title": title, "displayValue": "3 s"}}}


@pytest.fixture
def site(tmp_path):
    paths = Paths(tmp_path)
    paths.html.mkdir(parents=True)
    (paths.html / "index.html").write_text("<h1>Book</h1>" * 100)
    return paths


def test_the_median_counts_and_the_spread_is_shown():
    scores = lighthouse.median_scores([report(0.90), report(0.99), report(0.96)])
    assert scores["performance"] == pytest.approx((96, 90, 99))
    assert lighthouse._cell(scores["performance"]) == "96 [90-99]"
    assert lighthouse._cell(scores["seo"]) == "100"
    assert lighthouse.median_scores([report(None)])["performance"][0] == 0, "no score is no success"


def test_what_costs_points_is_named_and_nothing_else():
    assert lighthouse.costs([report(0.9)]) == ["performance: Slow (3 s)"]
    assert lighthouse.costs([report(0.9, weight=0)]) == []
    assert lighthouse.costs([report(0.9, score=1)]) == []
    assert lighthouse.costs([report(0.9, score=None)]) == []


@pytest.mark.parametrize(("scores", "status"), [((0.94, 0.99, 0.94), 1), ((0.94, 0.95, 0.99), 0)])
def test_the_exit_status_is_that_of_the_medians(site, monkeypatch, capsys, scores, status):
    reports = iter([report(score) for score in scores])
    asked = []
    monkeypatch.setattr(lighthouse, "browser", lambda: "chromium")
    monkeypatch.setattr(lighthouse.vendor, "install", lambda *_: None)
    monkeypatch.setattr(lighthouse, "_audit", lambda modules, chrome, address: asked.append(address) or next(reports))
    assert lighthouse.audit(site, ["index.html"], 3) == status
    assert len(asked) == 3
    assert "index.html" in capsys.readouterr().out


def test_wrong_requests_are_one_sentence(site, monkeypatch, capsys):
    for arguments, said in (
        (["--pages", "no.html"], "no page 'no.html'"),
        (["--pages", "index.html", "--runs", "0"], "--runs 0"),
    ):
        assert main(["--root", str(site.root), "lighthouse", *arguments]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    monkeypatch.delenv("BOOK_BROWSER", raising=False)
    monkeypatch.setattr(lighthouse.shutil, "which", lambda name: None)
    with pytest.raises(BookError, match="BOOK_BROWSER"):
        lighthouse.browser()


def test_the_server_compresses_only_for_who_asks(site):
    import threading

    with serve.server(site, 0, compress=True) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{running.server_address[1]}/index.html"
        plain = urllib.request.urlopen(address).read()
        packed = urllib.request.urlopen(urllib.request.Request(address, headers={"Accept-Encoding": "gzip"})).read()
        running.shutdown()
    assert len(packed) < len(plain) / 4
    assert zlib.decompress(packed, 31) == plain


def test_locks_name_no_registry_and_every_package_has_a_digest():
    for lock in (PATHS.theme / "package-lock.json", PATHS.theme / "lighthouse/package-lock.json"):
        packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
        assert all(p.get("integrity", "").startswith("sha512-") for name, p in packages.items() if name)
        assert not any("resolved" in p for p in packages.values())
