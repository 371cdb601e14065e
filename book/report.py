"""What a build leaves for people and tools: ``report.json`` and ``junit.xml``."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from book import machine
from book.executor import Result
from book.files import write_atomically, write_json
from book.paths import Paths


def write(
    paths: Paths,
    results: list[Result],
    *,
    profile: str,
    jobs: int,
    wall_seconds: float,
    versions: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Write both reports and return the content of the first; ``versions`` are those of this environment, if not given."""
    report = {
        "profile": profile,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "jobs": jobs,
        "wall_seconds": round(wall_seconds, 2),
        "versions": versions or machine.versions(),
        "device": machine.device(),
        "notebooks": [asdict(result) for result in results],
    }
    write_json(paths.report, report)
    write_atomically(paths.junit, _junit(results))
    return report


def _junit(results: list[Result]) -> str:
    """One suite per notebook; one case for its execution, and one per claim."""
    root = ElementTree.Element("testsuites")
    for result in results:
        cases = [("execution", result.good, result.error or "", result.seconds)]
        cases += [(c["id"], c["passed"], f"{c['statement']} Required: {c['bound']}", 0.0) for c in result.claims]
        suite = ElementTree.SubElement(
            root, "testsuite", name=result.name, tests=str(len(cases)), errors="0", skipped="0",
            failures=str(sum(not good for _, good, _, _ in cases)), time=f"{result.seconds:.2f}",
        )  # fmt: skip
        for name, good, message, seconds in cases:
            case = ElementTree.SubElement(suite, "testcase", classname=result.name, name=name, time=f"{seconds:.2f}")
            if not good:
                text = _printable(f"{result.status}: {message}" if name == "execution" else message)
                ElementTree.SubElement(case, "failure", message=text.splitlines()[0] if text else "").text = text
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _printable(text: str) -> str:
    """Without the control characters (terminal colours) that XML cannot hold."""
    return "".join(c for c in text if c in "\n\t" or ord(c) >= 32)
