"""The command line: ``python -m helpers.serving MODELS``."""

from __future__ import annotations

import argparse
import functools
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from helpers.serving import logs
from helpers.serving.manifests import ENGINES, ModelError

TOKEN = "BOOK_SERVE_TOKEN"
GRACE = 10  # seconds for what is being answered when the service stops


class UsageError(Exception):
    """A mistake of the user, in one sentence."""


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; returns the exit status."""
    try:
        given = _parser().parse_args(arguments)
        _serve(given)
    except (UsageError, ModelError) as error:
        print(f"serving: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        raise UsageError(f"{message}; see --help.")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="python -m helpers.serving", description="Serve a folder of models over HTTP.")
    parser.add_argument("models", metavar="MODELS", type=Path, help="folder with one folder per model")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    parser.add_argument(
        "--port", type=_number(int, 0, 65535), default=8080, help="0 picks a free one (default: %(default)s)"
    )
    parser.add_argument("--engine", choices=ENGINES, default="litert", help="what computes (default: %(default)s)")
    parser.add_argument("--workers", type=_number(int, 1, 64), default=1, help="processes (default: %(default)s)")
    for name, kind, low, high, default, text in (
        ("max-batch", int, 1, 256, 32, "images in a request and in a batch"),
        ("queue", int, 1, 100_000, 128, "requests that may wait; more get 429"),
        ("deadline", float, 0.01, 600, 2.0, "seconds that a request may wait; later it gets 503"),
        ("max-body", int, 1000, 1_000_000_000, 2_000_000, "bytes of a request's body"),
        ("clients", int, 1, 100_000, 512, "connections of one worker; more get 503"),
        ("body-timeout", float, 0.05, 600, 5.0, "seconds for a body to arrive"),
        ("header-timeout", float, 0.05, 600, 5.0, "seconds for headers to arrive"),
    ):
        parser.add_argument(
            f"--{name}", type=_number(kind, low, high), default=default, help=f"{text} (default: %(default)s)"
        )
    parser.add_argument("--token-file", type=Path, help=f"file with the bearer token (or set {TOKEN})")
    parser.add_argument("--until-stdin-ends", action="store_true", help="stop when standard input is closed")
    return parser


def _number(kind: type, low: float, high: float):
    def read(text: str):
        try:
            value = kind(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {'a whole number' if kind is int else 'a number'} from {low} to "
                                             f"{high}, got '{text}'")  # fmt: skip
        return value

    return read


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(TOKEN) or None
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file '{file}' cannot be read ({error}).") from error
    if not token:
        raise UsageError(f"the token file '{file}' is empty.")
    return token


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.set_inheritable(True)
        # A second service would bind, too, as long as nobody listens yet.
        listener.listen(2048)
    except OSError as error:
        raise UsageError(f"cannot listen at {host}:{port} ({error.strerror or error}); is another service running? Choose "
                         "another --port, or 0 for a free one.") from error  # fmt: skip
    return listener


def _serve(given: argparse.Namespace) -> None:
    token = _token(given.token_file)
    from helpers.serving.app import Application, Options, load_models
    from helpers.serving.supervisor import run

    logs.configure()
    names = Options.__dataclass_fields__
    options = Options(token=token, **{k: v for k, v in vars(given).items() if k in names})
    # Whatever is wrong with a model is told before anything listens.
    loaded = {live.name: live.now().version for live in load_models(options)}
    listener = _listen(given.host, given.port)
    if given.until_stdin_ends:
        threading.Thread(target=_follow_stdin, name="stdin", daemon=True).start()
    what = ", ".join(f"{name} (version {version}, {given.engine})" for name, version in loaded.items())
    host = f"[{given.host}]" if ":" in given.host else given.host
    line = f"Serving {what} at http://{host}:{listener.getsockname()[1]}; stop with Ctrl-C."
    say = functools.partial(print, line, flush=True)
    if not run(Application(options, loaded), listener, workers=given.workers, grace=GRACE, ready=say):
        raise UsageError("the workers could not be started; the lines above say why.")


def _follow_stdin() -> None:
    """The process that started this one holds the other end; it is closed when that process ends, in whatever way."""
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
