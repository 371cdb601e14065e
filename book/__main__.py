"""Command line: ``python -m book <command>``.

Exit status: 0 all well; 1 something in the book failed (a notebook, a claim, the site); 2 the request cannot be
carried out as given; 130 stopped by the user.
"""

from __future__ import annotations

import argparse
import errno
import sys
from pathlib import Path

from book import BookError
from book.paths import REPOSITORY, Paths


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.command == "setup":  # with the system's Python: only the standard library is there
            from book import environment

            every = [name for name in environment.engines() if name not in environment.LARGE]
            for engine in every if options.engine == "all" else [options.engine]:
                environment.ensure(engine=engine)
            return 0
        if options.command == "doctor":  # likewise, and in the environments of the engines
            from book import doctor

            return doctor.main()
        if options.command == "card":  # likewise
            from book.card import receipt

            return receipt.main(Paths(options.root.resolve()), options.backend, options.seconds, options.keep)
        from book import commands

        return getattr(commands, options.command)(options, Paths(options.root.resolve()))
    except BookError as error:
        print(f"book: {_as_typed(str(error))}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("book: stopped.", file=sys.stderr)
        return 130
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if error.errno is None or (error.filename is None and not full):
            raise
        what = f"'{error.filename}'" if error.filename else "the build folder"
        print(f"book: {what} cannot be written or read ({error.strerror}); finished notebooks are kept. "
              "Put it right and run the command again.", file=sys.stderr)  # fmt: skip
        return 1


def _as_typed(text: str) -> str:
    """Commands in a message, with the Python that the user has just typed."""
    from book.gpu.findings import python_as_typed

    return text.replace("python -m book", f"{python_as_typed()} -m book")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="book", description="Execute and render Large Models in Practice.")
    parser.add_argument("--root", type=Path, default=REPOSITORY, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text)

    executing = argparse.ArgumentParser(add_help=False)
    executing.add_argument("--profile", default="quick", help="quick (two cores, default) or full (a GPU workstation)")
    executing.add_argument("--only", action="append", default=[], metavar="NAME",
                           help="only these notebooks: a name, its beginning, or a pattern; may be repeated")  # fmt: skip
    executing.add_argument("--jobs", type=int, metavar="N", help="notebooks at a time (default: one per core)")
    executing.add_argument("--force", action="store_true", help="execute even what is unchanged")
    executing.add_argument("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE",
                           help="set a parameter of the notebooks that have it; may be repeated")  # fmt: skip
    executing.add_argument("--time-limit", type=float, metavar="S", help="seconds per notebook before it is stopped")

    commands.add_parser("build", parents=[executing], help="execute, check and render: the whole book")
    commands.add_parser("execute", parents=[executing], help="execute notebooks and collect their claims")
    backend = commands.add_parser(
        "backend", parents=[executing], help="execute the chapters that are pure Keras on another backend"
    )
    backend.add_argument(
        "backend", help="jax or torch: in the environment .venv-jax or .venv-torch, without TensorFlow"
    )
    backend.add_argument(
        "--keep", action="store_true", help="keep what held and what it took as data, for the execution page"
    )
    command("render", "render the site from what is executed")
    for kind, text in (("pdf", "print the site into one PDF, with bookmarks"), ("epub", "the site as one EPUB")):
        printing = command(kind, text)
        printing.add_argument("--output", type=Path, metavar="FILE", help="the file to write (default: in _build)")
        printing.add_argument("--only", action="append", default=[], metavar="NAME",
                              help="only these pages: a name as in _toc.yml, its beginning, or a pattern; may be repeated")  # fmt: skip
    command("check", "hold sources, claims, errata and coverage against each other")
    links = command("links", "check the form of every reference, and with --live whether its address answers")
    links.add_argument("--live", action="store_true", help="ask every address; without a network this is no failure")
    links.add_argument("--seconds", type=float, default=15.0, metavar="S", help="patience with one server (default 15)")
    serve = command("serve", "show the site on this machine")
    serve.add_argument("--port", type=int, default=8000, help="port on localhost (default 8000; 0 for any free one)")
    command("zip", "pack the site into one ZIP, for reading without a network")
    lighthouse = command("lighthouse", "audit pages of the site with Lighthouse; 1 if a score is below 95")
    lighthouse.add_argument(
        "--pages", nargs="+", default=[], metavar="PAGE", help="addresses in the site (default: five)"
    )
    lighthouse.add_argument(
        "--runs", type=int, default=3, metavar="N", help="audits of each page; the median counts (default 3)"
    )
    lab = command("lab", "open JupyterLab with the helpers importable")
    lab.add_argument("rest", nargs="*", help="passed to JupyterLab (after --)")
    command("clean", "remove everything that was built")
    bench = command("bench", "measure the builder, the reference network and the service, as ratios")
    bench.add_argument("parts", nargs="*", help="only these: executor, book, helpers, network, serving (default: all)")
    bench.add_argument("--models", type=Path, help="folder of models for serving (default: that of the built book)")
    _course(command("course", "make the material of a course; grade what students hand in"))
    command("doctor", "say whether the graphics card is used, and if not, what to do")
    card = command("card", "how fast two models of the book train on this machine's card or processor")
    card.add_argument("--backend", default="jax", help="jax (default) or tensorflow")
    card.add_argument("--seconds", type=float, default=300.0, metavar="S", help="time to use, about (default 300)")
    card.add_argument("--keep", action="store_true", help="keep what was measured as data, for the execution page")
    receipts = command("receipts", "keep time, memory and claims of the last build as data, for the execution page")
    receipts.add_argument("--measure", action="store_true", help="first execute every notebook anew, one at a time")
    receipts.add_argument("--profile", default="quick", help="with --measure: quick (default) or full")
    receipts.add_argument("--show", action="store_true", help="only show the receipts that are there")
    setup = command("setup", "create .venv from the lock file, if it is not there")
    setup.add_argument("--engine", metavar="NAME", help="create the environment of an engine instead, or of 'all'")
    return parser


def _course(course: argparse.ArgumentParser) -> None:
    steps = course.add_subparsers(dest="step", required=True, metavar="step")

    def step(name: str, text: str) -> argparse.ArgumentParser:
        return steps.add_parser(name, help=text, description=text)

    make = step(
        "make", "make or renew a course: students' and instructor's notebooks, slides, what the autograder needs"
    )
    make.add_argument("--chapters", nargs="+", default=[], metavar="CHAPTER",
                      help="numbers or names of chapters (default: all with a problem set)")  # fmt: skip
    make.add_argument("--output", type=Path, default=Path("course"), metavar="DIR", help="folder (default: course)")
    grade = step("grade", "grade what students have handed in, each in a kernel that is locked in")
    feedback = step("feedback", "write a page for each graded submission")
    for one in (grade, feedback):
        one.add_argument("folder", type=Path, metavar="DIR", help="the course")
        one.add_argument("--assignment", metavar="NAME", help="only this assignment")
        one.add_argument("--student", metavar="NAME", help="only this student")
    grade.add_argument("--seconds", type=float, default=30.0, metavar="S",
                       help="time limit of a cell; a notebook may use four times as much (default 30)")  # fmt: skip
    grade.add_argument("--memory-mib", type=int, default=1024, metavar="N", help="memory of a process (default 1024)")
    grade.add_argument("--force", action="store_true", help="grade again what is unchanged")
    grade.add_argument(
        "--unsafe", action="store_true", help="do not lock students' code in; only for code that you trust"
    )
    feedback.add_argument(
        "--show-hidden", action="store_true", help="show hidden tests and all outputs to the students"
    )
    grades = step("grades", "write the grades as CSV")
    grades.add_argument("folder", type=Path, metavar="DIR", help="the course")
    grades.add_argument("--output", type=Path, default=Path("grades.csv"), metavar="FILE", help="default: grades.csv")


if __name__ == "__main__":
    sys.exit(main())
