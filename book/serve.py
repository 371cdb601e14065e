"""Show the site on this machine, and nowhere else."""

from __future__ import annotations

import errno
import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from book import BookError, strict
from book.paths import Paths


class _Quiet(SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Content-Security-Policy", strict.header_for(self.path))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        super().end_headers()

    def log_message(self, format, *args):
        if not args or not str(args[1] if len(args) > 1 else "").startswith(("2", "3")):
            super().log_message(format, *args)


def server(paths: Paths, port: int) -> ThreadingHTTPServer:
    """A server for the built site on localhost.

    Raises
    ------
    BookError
        If there is no site yet, or the port cannot be used.
    """
    if not (paths.html / "index.html").is_file():
        raise BookError("There is no site yet; build it first: make book")
    handler = functools.partial(_Quiet, directory=str(paths.html))
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
