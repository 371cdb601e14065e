"""The commands, each the story of what it does."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager

from filelock import FileLock, Timeout
from rich.console import Console

from book import BookError, executor, machine, report, sources
from book.paths import Paths
from book.progress import Progress


def build(options: argparse.Namespace, paths: Paths) -> int:
    """Execute, check and render."""
    started = time.monotonic()
    from book import check as checks
    from book import render as renderer

    paths.prepare()
    with _alone(paths):
        status = _execute(options, paths)
        if status:
            return status
        faults = checks.faults(paths, partial=bool(options.only))
        if faults:
            return _show_faults(faults)
        site = renderer.render(paths)
    print(f"The book is in {paths.show(site / 'index.html')} ({time.monotonic() - started:.1f} s). "
          "To read it: make serve, or open the file in a browser.")  # fmt: skip
    return 0


def execute(options: argparse.Namespace, paths: Paths) -> int:
    """Execute notebooks and write the reports."""
    paths.prepare()
    with _alone(paths):
        return _execute(options, paths)


def backend(options: argparse.Namespace, paths: Paths) -> int:
    """Execute the chapters that are pure Keras on another backend, and on request keep what came of it."""
    from book import backends

    there, chosen = backends.choose(options, paths)
    there.prepare()
    with _alone(there), backends.kernel(there, chosen, options.jobs) as chosen:
        status, results = _run(options, there, chosen, backends.facts(there))
    if status:
        return status
    if options.keep:
        kept = backends.keep(paths, there, results)
        print(
            f"Receipt: {paths.show(kept)}. Commit it as it is; 'python -m book render' shows it on the execution page."
        )
    return 0


def render(options: argparse.Namespace, paths: Paths) -> int:
    """Render the site from the executed notebooks that are there."""
    from book import render as renderer

    paths.prepare()
    with _alone(paths):
        site = renderer.render(paths)
    print(f"The book is in {paths.show(site / 'index.html')}.")
    return 0


def pdf(options: argparse.Namespace, paths: Paths) -> int:
    """The book as one PDF, from the rendered site."""
    return _one_file("pdf", options, paths)


def epub(options: argparse.Namespace, paths: Paths) -> int:
    """The book as one EPUB, from the rendered site."""
    return _one_file("epub", options, paths)


def check(options: argparse.Namespace, paths: Paths) -> int:
    """Hold sources, claims, errata and coverage against each other, without executing anything."""
    from book import check as checks

    faults = checks.faults(paths, partial=False)
    if faults:
        return _show_faults(faults)
    print("Sources, claims, errata and coverage agree.")
    return 0


def links(options: argparse.Namespace, paths: Paths) -> int:
    """Check the form of every reference, and on request whether its address answers; one line for each problem."""
    from book import links as checker
    from book import resources

    if options.seconds <= 0:
        raise BookError(f"--seconds {options.seconds:g} leaves no time to answer; give a positive number.")
    every = checker.collect(paths, resources.read(paths).links())
    found = checker.problems(every)
    if options.live:
        answers = checker.ask(every, seconds=options.seconds)
        silent, network = checker.verdict(answers)
        found += silent
        if network:
            print(f"{len(answers)} addresses asked, {len(silent)} of them dead or silent.")
        elif answers:
            print("There seems to be no network: no address answered. Only the form was checked.")
    if found:
        return _show_faults(found)
    print(f"{len(every)} references are well formed.")
    return 0


def serve(options: argparse.Namespace, paths: Paths) -> int:
    from book import serve as server

    return server.serve(paths, options.port)


def zip(options: argparse.Namespace, paths: Paths) -> int:
    """The site as one file to read without a network."""
    from book import offline

    made = offline.archive(paths)
    print(f"The site is in {paths.show(made)} ({made.stat().st_size / 1e6:.1f} MB). Unpack it and open index.html.")
    return 0


def lighthouse(options: argparse.Namespace, paths: Paths) -> int:
    from book import lighthouse as auditor

    return auditor.audit(paths, options.pages, options.runs)


def lab(options: argparse.Namespace, paths: Paths) -> int:
    """JupyterLab in the notebooks' folder, with the helpers importable."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(paths.root), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "jupyter", "lab", f"--notebook-dir={paths.root}", *_QUIET_LAB, *options.rest]
    return subprocess.run(command, env=environment, check=False).returncode


def clean(options: argparse.Namespace, paths: Paths) -> int:
    """Remove the build folder; refused while a build is at work in it."""
    if not paths.build.exists():
        print("There is nothing to remove.")
        return 0
    with _alone(paths, wait=False):
        for entry in paths.build.iterdir():
            if entry.name != _LOCK:
                shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()
    shutil.rmtree(paths.build, ignore_errors=True)
    print(f"Removed {paths.show(paths.build)}.")
    return 0


def bench(options: argparse.Namespace, paths: Paths) -> int:
    from book import bench as benchmark

    return benchmark.main(paths, options.parts, options.models)


def course(options: argparse.Namespace, paths: Paths) -> int:
    """Make a course, grade it, give feedback, write grades."""
    from book.course import commands as steps

    return getattr(steps, options.step)(options, paths)


def receipts(options: argparse.Namespace, paths: Paths) -> int:
    """Keep the last build, or with --measure a new one, as a receipt; or show those that are there."""
    from book import receipts as keeper

    if options.measure and options.show:
        raise BookError("--measure makes a receipt and --show only shows; give one of them.")
    if not options.show:
        keeper.check_card()
    if options.measure:
        paths.prepare()
        anew = argparse.Namespace(profile=options.profile, only=[], jobs=1, force=True, parameters=[], time_limit=None)
        with _alone(paths):
            status = _execute(anew, paths)
        if status:
            return status
    if not options.show:
        print(f"Receipt: {paths.show(keeper.write(paths))}. Commit it as it is; 'python -m book render' shows it on the "
              "execution page.")  # fmt: skip
    for line in keeper.lines(keeper.read_all(paths)) or ["There is no receipt yet."]:
        print(line)
    return 0


def _one_file(kind: str, options: argparse.Namespace, paths: Paths) -> int:
    from book.printing import command

    if not (paths.html / "index.html").is_file():
        raise BookError("There is no site yet to make the book from; build it first: make book.")
    with _alone(paths):
        command.make(kind, paths, options.output, options.only)
    return 0


def _execute(options: argparse.Namespace, paths: Paths) -> int:
    return _run(options, paths, [sources.load(path) for path in sources.select(paths, options.only)])[0]


def _run(
    options: argparse.Namespace,
    paths: Paths,
    chosen: list[sources.Source],
    versions: dict[str, str] | None = None,
) -> tuple[int, list[executor.Result]]:
    """Execute, write the reports, and say how it ended: the exit status, and what became of each notebook."""
    console = Console(stderr=False)
    parameters = sources.overrides(chosen, options.profile, options.parameters)
    started = time.monotonic()
    print(f"Notebooks: {len(chosen)}, profile {options.profile}.", flush=True)
    interrupted = False
    with Progress(console) as progress:
        try:
            results = executor.execute(
                paths, chosen, parameters, jobs=options.jobs, force=options.force, time_limit=options.time_limit,
                progress=progress, versions=versions,
            )  # fmt: skip
        except executor.Interrupted as stop:
            results, interrupted = stop.results, True
    wall = time.monotonic() - started
    report.write(paths, results, profile=options.profile, jobs=options.jobs or machine.cores(), wall_seconds=wall,
                 versions=versions)  # fmt: skip
    bad = [r for r in results if not r.good]
    claims = sum(len(r.claims) for r in results if r.good)
    fresh = sum(r.status == "ok" for r in results)
    print(f"{len(results) - len(bad)} of {len(results)} notebooks good ({fresh} executed now), {claims} claims hold, "
          f"{wall:.1f} s. Report: {paths.show(paths.report)}", flush=True)  # fmt: skip
    if interrupted:
        print("book: stopped; finished notebooks are kept, run the command again to go on.", file=sys.stderr)
        return 130, results
    return (1 if bad else 0), results


def _show_faults(faults: list[str]) -> int:
    for fault in faults:
        print(f"book: {fault}", file=sys.stderr)
    return 1


_LOCK = ".lock"
# Nothing calls home: JupyterLab asks for no news and no newer version of itself.
_QUIET_LAB = ("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", "--LabApp.news_url=None")


@contextmanager
def _alone(paths: Paths, *, wait: bool = True):
    """Let one build at a time work in a build folder; a second one waits, and then finds the work done."""
    lock = FileLock(paths.build / _LOCK)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if not wait:
                raise BookError(f"A build is at work in '{paths.show(paths.build)}'; wait until it ends.") from None
            print(f"Another build is at work in {paths.show(paths.build)}; waiting for it.", flush=True)
            lock.acquire()
        yield
    finally:
        lock.release()
