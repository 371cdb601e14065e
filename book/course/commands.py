"""The steps of ``python -m book course``, each the story of what it does."""

from __future__ import annotations

import argparse

from book.course import grading, kit
from book.paths import Paths


def make(options: argparse.Namespace, paths: Paths) -> int:
    """Make or renew a course."""
    made = kit.make(paths, options.chapters, options.output)
    for name in made.renewed:
        print(f"{name}: made.")
    for name in made.unchanged:
        print(f"{name}: unchanged.")
    for note in made.notes:
        print(note)
    print(f"The course is in {made.folder}; read its README.md.")
    return 0


def grade(options: argparse.Namespace, paths: Paths) -> int:
    """Grade what has been handed in; one line for each submission."""
    count = stopped = 0
    for report in grading.grade(
        options.folder, assignment=options.assignment, student=options.student, seconds=options.seconds,
        memory_mib=options.memory_mib, unsafe=options.unsafe, force=options.force,
    ):  # fmt: skip
        if "note" in report:
            print(f"  {report['note']}", flush=True)
            continue
        count += 1
        stopped += report["state"] != "graded"
        says = [report["state"] + (" (unchanged)." if report["kept"] else "."), report["reason"]]
        says.append("Worth a look." if report["review"] else "")
        print(f"  {report['student']}, {report['assignment']}: {' '.join(filter(None, says))}", flush=True)
    print(f"{count} submissions, {stopped} of them not graded in full.")
    return 0


def feedback(options: argparse.Namespace, paths: Paths) -> int:
    """Write the pages for students."""
    pages = list(grading.feedback(options.folder, assignment=options.assignment, student=options.student,
                                  show_hidden=options.show_hidden))  # fmt: skip
    print(f"{len(pages)} pages in {options.folder / 'feedback'}.")
    return 0


def grades(options: argparse.Namespace, paths: Paths) -> int:
    """Write the grades as CSV."""
    rows = grading.grades(options.folder, options.output)
    print(f"{len(rows)} grades in {options.output}.")
    return 0
