"""Receipts: what a whole build took on one machine, and what its claims measured there, kept as data in the repository.

A receipt is made from the report of the last build and the executed notebooks, never by hand: it carries a digest of its
own content, and one that was edited is refused. The execution page shows all receipts side by side
(:mod:`book.receipts_page`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat

from book import BookError, cache, machine, records
from book.files import digest, write_json
from book.gpu.findings import gather
from book.gpu.rules import judge
from book.machine import slug, title
from book.paths import Paths

MADE_BY = "python -m book receipts"
AGAIN = "run: python -m book receipts --measure"
FIELDS = ("what", "made_by", "date", "profile", "jobs", "device", "driver", "versions", "notebooks", "digest")
OF_A_NOTEBOOK = ("date", "seconds", "peak_memory_mib", "device_memory_mib", "device_energy_joules", "claims")


def folder(paths: Paths) -> Path:
    return paths.data / "receipts"


def write(paths: Paths) -> Path:
    """Make the receipt of the last build and put it into the folder of receipts.

    Raises
    ------
    BookError
        If the last build is no complete, good, current measurement of this machine; see :func:`make`.
    """
    receipt = make(paths, _report(paths))
    file = folder(paths) / f"{receipt['profile']}-{slug(receipt['device'])}.json"
    write_json(file, receipt)
    return file


def check_card() -> None:
    """Refuse to measure a machine whose card is not used: its receipt would be that of a processor under a card's name.

    Raises
    ------
    BookError
        If there is a card that this process may use, and the doctor does not find it at work.
    """
    if machine.gpus():
        verdict = judge(gather())
        if verdict.name != "used":
            raise BookError(f"No receipt: {verdict.sentence.rstrip('.')}; follow the advice of python -m book doctor, or hide the "
                            "card with CUDA_VISIBLE_DEVICES= to measure the processor.")  # fmt: skip


def make(paths: Paths, report: dict[str, Any]) -> dict[str, Any]:
    """The receipt of a report.

    Raises
    ------
    BookError
        If a notebook of the repository is not in the report, did not end well, was executed from other code, with
        parameters of the user, on another machine or with other versions, or with another number of jobs than the rest.
    """
    results = {result["name"]: result for result in report["notebooks"]}
    sources = {file.stem: file for file in sorted(paths.notebooks.glob("*.ipynb"))}
    _refuse("did not run in the last build", [name for name in sources if name not in results])
    _refuse("did not end well", [name for name in sources if results[name]["status"] not in ("ok", "cached")])
    _refuse("ran with parameters that were set by hand",
            [name for name in sources if set(results[name]["parameters"]) - {"PROFILE"}])  # fmt: skip
    runs = {}
    for name, file in sources.items():
        executed = paths.executed / file.name
        notebook = nbformat.read(executed, as_version=4) if executed.is_file() else None
        if notebook is None or not cache.is_current(paths, nbformat.read(file, as_version=4), notebook):
            _refuse("changed since they were executed", [name])
        runs[name] = notebook.metadata["book"]["run"]
    here = (report["device"], report["versions"])
    _refuse("were executed on another machine or with other versions",
            [name for name, run in runs.items() if (run["device"], run["versions"]) != here])  # fmt: skip
    _refuse(f"ran in another profile than {report['profile']}",
            [name for name in sources if results[name]["profile"] != report["profile"]])  # fmt: skip
    jobs = {results[name].get("jobs") for name in sources}
    if len(jobs) != 1 or None in jobs:
        raise BookError(
            f"The notebooks were measured with different numbers of jobs, so their times cannot be compared; {AGAIN}."
        )
    receipt = {
        "what": "Time, memory and claims of every notebook, from one machine.",
        "made_by": MADE_BY,
        "date": max(results[name]["date"] for name in sources),
        "profile": report["profile"],
        "jobs": jobs.pop(),
        "device": report["device"],
        "driver": machine.driver() if report["device"]["gpus"] else None,
        "versions": {**report["versions"], **(machine.cuda_libraries() if report["device"]["gpus"] else {})},
        "notebooks": {name: _notebook(results[name]) for name in sources},
    }
    return {**receipt, "digest": digest(receipt)}


def read_all(paths: Paths) -> list[dict[str, Any]]:
    """The receipts of the repository: quick before full, processors before cards.

    Raises
    ------
    BookError
        If one is damaged, was edited, or lies under a name that is not its own.
    """
    found = records.read(
        paths, folder(paths), FIELDS, lambda r: f"{r['profile']}-{slug(r['device'])}", f"{MADE_BY} --measure"
    )
    return sorted(found, key=lambda r: (r["profile"] != "quick", bool(r["device"]["gpus"]), slug(r["device"])))


def lines(found: list[dict[str, Any]]) -> list[str]:
    """The receipts for a terminal: one line each, then one for each notebook."""
    shown = []
    for r in found:
        shown.append(f"{r['profile']}: {title(r['device'])}, {r['date']}, {r['jobs']} at a time")
        shown += [f"  {name:<28} {made['seconds']:>8,.1f} s  {made['peak_memory_mib']:>8,.0f} MiB  {len(made['claims']):>3} claims"
                  for name, made in r["notebooks"].items()]  # fmt: skip
    return shown


def _report(paths: Paths) -> dict[str, Any]:
    try:
        return json.loads(paths.report.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BookError(f"There is no report of a build to make a receipt from; {AGAIN}.") from None
    except ValueError:
        raise BookError(f"The report '{paths.show(paths.report)}' cannot be read; {AGAIN}.") from None


def _notebook(result: dict[str, Any]) -> dict[str, Any]:
    claims = {c["id"]: {"value": c["value"], "kind": c["kind"], "bound": c["bound"]} for c in result["claims"]}
    return {**{name: result.get(name) for name in OF_A_NOTEBOOK if name != "claims"}, "claims": claims}


def _refuse(why: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise BookError(f"No receipt: these notebooks {why}: {', '.join(names[:3])}{more}; {AGAIN}.")
