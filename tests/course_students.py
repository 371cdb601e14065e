"""Students of a course, made from its problem set: what each hands in, and what each must get."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nbformat

from book.course.problems import Problem, ProblemSet


def answers(problem_set: ProblemSet) -> dict[str, str]:
    """The right answer to each problem."""
    return {problem.id: problem.solution for problem in problem_set.problems}


def hand_in(course: Path, student: str, assignment: str, given: dict[str, str],
            change: Callable[[nbformat.NotebookNode], None] | None = None) -> Path:  # fmt: skip
    """Fill in the released notebook as a student would, and put it where the course expects it."""
    notebook = nbformat.read(course / "release" / assignment / f"{assignment}.ipynb", as_version=4)
    for cell in notebook.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in given:
            cell.source = given[name]
    if change:
        change(notebook)
    file = course / "submitted" / student / assignment / f"{assignment}.ipynb"
    file.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, file)
    return file


def points(problem: Problem, answer: str, set_up: str) -> int:
    """Points of an answer, found by running each test in this process; the tests before it run too."""
    space: dict = {"__name__": "__main__"}
    exec(set_up, space)
    exec(answer, space)
    total = 0
    for test in problem.tests:
        try:
            exec(test.code, space)
            total += test.points
        except Exception:
            continue
    return total


def swallow() -> str:
    """Code that cannot be interrupted."""
    return "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass\n"


# Wrong answers whose authors meddle with the kernel: the first one's errors are not shown, the second one's never happen.
QUIET = "get_ipython().showtraceback = lambda *a, **k: None\n"
TAMPERING = """from IPython.core.interactiveshell import InteractiveShell
original = InteractiveShell.run_cell_async
async def harmless(self, raw_cell, *arguments, **named):
    return await original(self, "pass", *arguments, **named)
InteractiveShell.run_cell_async = harmless
type(get_ipython()).run_cell_async = harmless
InteractiveShell.run_cell = lambda self, raw_cell, *a, **k: None
"""

# Tries everything that it must not do; each attempt that works leaves its name in the answer's docstring of deeds.
THIEF = """
import ctypes, os, signal, socket, subprocess, sys
deeds = []

def attempt(name, act):
    try:
        result = act()
    except BaseException as fault:
        print(name, "failed:", type(fault).__name__)
    else:
        deeds.append(name)
        print(name, "WORKED:", repr(result)[:300])

course = {course}
for place in ("source", "release", "instructor", "submitted", "autograded", "feedback", ".staging", "."):
    attempt("list " + place, lambda: os.listdir(os.path.join(course, place)))
for place in {files}:
    attempt("read " + place, lambda: open(place).read())
for place in {writes}:
    attempt("write " + place, lambda: open(place, "w").write("was here"))
attempt("list /", lambda: os.listdir("/"))
attempt("list home", lambda: os.listdir({home}))
attempt("list tmp", lambda: os.listdir("/tmp"))
attempt("up from here", lambda: os.listdir(os.path.join(os.getcwd(), "..")))
attempt("symlink", lambda: (os.symlink(course, "way"), os.listdir("way")))
attempt("hard link", lambda: os.link(os.path.join(course, "gradebook.db"), "book.db"))
attempt("rename", lambda: os.rename(os.path.join(course, "gradebook.db"), "book.db"))
attempt("chmod", lambda: open(os.path.join(course, "gradebook.db"), "r+b"))
attempt("program", lambda: subprocess.run(["cat", {files}[0]], check=True, capture_output=True))
attempt("tcp", lambda: socket.create_connection(("127.0.0.1", {port}), timeout=2))
attempt("unix socket", lambda: socket.socket(socket.AF_UNIX).connect({unix}))
attempt("udp", lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", {port})))
attempt("listen", lambda: socket.create_server(("127.0.0.1", 0)))
attempt("kill parent", lambda: os.kill({grader}, signal.SIGTERM))
attempt("kill launcher", lambda: os.kill(os.getppid() or {grader}, signal.SIGTERM))
attempt("environ of the grader", lambda: open("/proc/%d/environ" % {grader}, "rb").read())
attempt("command of the grader", lambda: open("/proc/%d/cmdline" % {grader}, "rb").read())
attempt("memory", lambda: len(bytearray(8 << 30)))
def fill():
    import mmap
    area = mmap.mmap(-1, 8 << 30)
    return len(area)
attempt("shared memory", fill)
def file_of_a_gigabyte():
    with open("large", "wb") as file:
        for _ in range(128):
            file.write(bytes(8 << 20))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
attempt("large file", file_of_a_gigabyte)
attempt("core", lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_DATA, (-1, -1)))
attempt("trace", lambda: ctypes.CDLL(None).ptrace(16, {grader}, 0, 0) and 1 / 0)
open("left-behind.txt", "w").write("for whoever comes next")
for stream in os.listdir("/proc/self/fd"):
    try:
        if os.readlink("/proc/self/fd/" + stream).startswith(("/", "pipe:")):
            os.write(int(stream), b'{"note": "forged"}\\n{"error": "forged"}\\n')
    except OSError:
        pass
print("DEEDS", deeds)
"""


def thief(course: Path, files: list[Path], writes: list[Path], port: int, unix: Path, grader: int) -> str:
    """A cell of a student who tries to reach what is none of theirs."""
    facts = {"course": json.dumps(str(course)), "files": json.dumps([str(file) for file in files]), "port": port,
             "unix": json.dumps(str(unix)), "writes": json.dumps([str(file) for file in writes]), "home": json.dumps(str(Path.home())), "grader": grader}  # fmt: skip
    code = THIEF
    for name, value in facts.items():
        code = code.replace("{" + name + "}", str(value))
    return code
