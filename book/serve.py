"""Show the site on this machine, and nowhere else."""

from __future__ import annotations

import errno
import functools
import gzip
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from book import BookError, strict
from book.paths import Paths

_TEXT = (".html", ".css", ".js", ".mjs", ".svg", ".json", ".ipynb")


class _Quiet(SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Content-Security-Policy", strict.header_for(self.path))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format, *args):
        if not args or not str(args[1] if len(args) > 1 else "").startswith(("2", "3")):
            super().log_message(format, *args)


class _Compressing(_Quiet):
    def do_GET(self):
        file = Path(self.translate_path(self.path))
        if file.suffix not in _TEXT or not file.is_file() or "gzip" not in self.headers.get("Accept-Encoding", ""):
            return super().do_GET()
        content = _gzip(file, file.stat().st_mtime_ns)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(file)))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@functools.cache
def _gzip(file: Path, changed: int) -> bytes:
    return gzip.compress(file.read_bytes(), 6)


def server(paths: Paths, port: int, *, compress: bool = False) -> ThreadingHTTPServer:
    """A server for the built site on localhost.

    Parameters
    ----------
    compress : bool
        Send text compressed, as a public server does.

    Raises
    ------
    BookError
        If there is no site yet, or the port cannot be used.
    """
    if not (paths.html / "index.html").is_file():
        raise BookError("There is no site yet; build it first: make book")
    handler = functools.partial(_Compressing if compress else _Quiet, directory=str(paths.html))
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except (OSError, OverflowError) as error:
        busy = getattr(error, "errno", None) == errno.EADDRINUSE
        why = "is in use" if busy else f"cannot be used ({error})"
        raise BookError(f"Port {port} {why}; choose another one with --port, or 0 for any free one.") from error


def serve(paths: Paths, port: int) -> int:
    with server(paths, port) as running:
        print(f"The book is at http://localhost:{running.server_address[1]}/ (Ctrl-C ends it).", flush=True)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0
