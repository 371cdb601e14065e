"""The proof of a problem set: the stub fails, the solution passes, each planted mistake fails the test meant for it.

``python -m book.course.prove FILE`` runs one set and prints its record as JSON. The builder runs each set in a process of
its own and keeps the records by content, so that an unchanged set is not proven twice.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from book import BookError, cache, machine
from book.course import problems
from book.course.problems import Problem, ProblemSet
from book.files import sha256, write_json
from book.paths import Paths

TIME_LIMIT = 120.0  # seconds for all variants of one set


def first_failure(set_up: str, answer: str, problem: Problem) -> tuple[str, str] | None:
    """Run an answer and then the tests in order, in a fresh namespace.

    Returns
    -------
    tuple of str, optional
        Name of the first test that raises (``answer`` if the answer itself raises), and what it says. None if all pass.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    where = "answer"
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(set_up, "<set-up>", "exec"), space)
            exec(compile(answer, "<answer>", "exec"), space)
            for test in problem.tests:
                where = test.name
                exec(compile(test.code, f"<{where}>", "exec"), space)
        except Exception as error:
            return where, f"{type(error).__name__}: {error}".strip()
    return None


def prove(problem_set: ProblemSet) -> list[str]:
    """Everything that does not hold, as sentences; empty if the set is proven."""
    faults = []
    for problem in problem_set.problems:
        where = f"{problem_set.chapter}, '{problem.id}'"
        found = first_failure(problem_set.set_up, problem.solution, problem)
        if found:
            faults.append(f"{where}: the solution fails '{found[0]}' ({found[1]}).")
        found = first_failure(problem_set.set_up, problem.stub, problem)
        if found is None:
            faults.append(f"{where}: the stub passes all tests.")
        elif "NotImplementedError" not in found[1]:
            faults.append(f"{where}: the stub does not stop with NotImplementedError, but {found[1]}")
        for mistake in problem.mistakes:
            found = first_failure(problem_set.set_up, mistake.code, problem)
            if found is None:
                faults.append(f"{where}: a mistake passes all tests ({mistake.why})")
            elif found[0] != mistake.fails:
                faults.append(
                    f"{where}: a mistake fails '{found[0]}' first, not '{mistake.fails}' ({mistake.why} {found[1]})"
                )
            elif not found[1].startswith("AssertionError: "):
                faults.append(f"{where}: '{found[0]}' does not tell in a sentence what is wrong, but says {found[1]}")
    return faults


def record(problem_set: ProblemSet) -> dict[str, Any]:
    """The proof as data: counts, faults and seconds."""
    started = time.monotonic()
    faults = prove(problem_set)
    return {
        "chapter": problem_set.chapter,
        "problems": len(problem_set.problems),
        "tests": sum(len(problem.tests) for problem in problem_set.problems),
        "mistakes": sum(len(problem.mistakes) for problem in problem_set.problems),
        "faults": faults,
        "seconds": round(time.monotonic() - started, 2),
    }


def records(paths: Paths) -> list[dict[str, Any]]:
    """The proofs of all sets, each made now or kept from an earlier build of the same content."""
    files = problems.find(paths)
    with ThreadPoolExecutor(max_workers=max(1, machine.cores())) as pool:
        return list(pool.map(lambda file: _kept_or_made(paths, file), files))


def _kept_or_made(paths: Paths, file: Path) -> dict[str, Any]:
    own = [Path(problems.__file__), Path(__file__)]
    parts = [cache.shared_key(paths), *(sha256(f.read_bytes()) for f in (file, *own))]
    kept = paths.cache / "problems" / file.stem / f"{sha256(json.dumps(parts))[:24]}.json"
    try:
        return json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        pass
    problems.read(file)  # a set that breaks a rule is told in this process, in one sentence
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(paths.root), os.environ.get("PYTHONPATH", "")])}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "book.course.prove", str(file)], capture_output=True, text=True, check=False,
            timeout=TIME_LIMIT, env=environment, cwd=paths.root,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise BookError(f"The problems of '{file.name}' were not proven within {TIME_LIMIT:.0f} s.") from None
    if done.returncode != 0:
        raise BookError(f"The problems of '{file.name}' could not be proven: {done.stderr.strip().splitlines()[-1:]}")
    made = json.loads(done.stdout)
    if not made["faults"]:
        for old in kept.parent.glob("*.json"):
            old.unlink()
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_json(kept, made)
    return made


if __name__ == "__main__":
    print(json.dumps(record(problems.read(Path(sys.argv[1])))))
