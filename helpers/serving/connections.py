"""Connections that are slow, broken or too many: what must be decided before there is a request.

The server's own protocol reads a request's headers for as long as it takes, so that a client that sends one byte a minute
holds a connection for ever; here they have a deadline. Unreadable requests get the error shape of every other one.
"""

from __future__ import annotations

import json

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from helpers.serving import logs

MAX_HEADERS = 32_768  # bytes
LINGER = 0.5  # seconds that an idle connection stays open when the service stops


class Connection(HttpToolsProtocol):
    """One client, as a protocol class for uvicorn.

    It puts itself into ``scope["extensions"]["book.connection"]``, with ``crowded`` (one client too many: it gets 503) and
    ``gone()`` (nobody waits for the answer any more). How many clients there may be stands in the application's options.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        options = self.config.app.options
        self.clients, self.header_timeout = options.clients, options.header_timeout
        self.crowded = self.last = False
        self._timer, self._header_bytes, self._begun = None, 0, False

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        self.crowded = len(self.connections) > self.clients
        if len(self.connections) > 2 * self.clients:  # even refusing politely takes memory
            transport.abort()
            return
        self._await_headers()

    def connection_lost(self, exc) -> None:
        self._headers_arrived()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The service stops and listens no longer. A request may be on its way on this connection, so that it stays open a
        moment; its next answer says that it is the last."""
        self.last = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER, super().shutdown)
        else:
            super().shutdown()

    def gone(self) -> bool:
        return self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        if self._timer is not None:
            self._header_bytes += len(data)
        super().data_received(data)
        if self._timer is not None and self._header_bytes > MAX_HEADERS and not self.transport.is_closing():
            self._end(431, f"The request's headers are longer than {MAX_HEADERS} bytes.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self.scope["extensions"] = {"book.connection": self}
        if self._timer is None:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_arrived()
        self._begun = False
        super().on_headers_complete()
        if self.last:
            self.cycle.keep_alive = False

    def _unsupported_upgrade_warning(self) -> None:
        """Anybody may ask for another protocol and gets HTTP; that is no news."""

    def send_400_response(self, msg: str) -> None:
        self._end(400, "The request is not HTTP that can be read.")

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._timer = self.loop.call_later(self.header_timeout, self._late)

    def _headers_arrived(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if not self.transport.is_closing():
            if not self._begun:  # it never asked for anything
                self.transport.close()
                return
            self._end(408, f"The request's headers did not arrive within {self.header_timeout:g} s.")

    def _end(self, status: int, sentence: str) -> None:
        """Answer without a request and close, unless another answer is being written on this connection."""
        self._headers_arrived()
        logs.event("warning", "request refused", status=status, error=sentence)
        if self.cycle is None or self.cycle.response_complete:
            content = json.dumps({"error": sentence}).encode()
            self.transport.write(
                STATUS_LINE[status] + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
                + str(len(content)).encode() + b"\r\n\r\n" + content
            )  # fmt: skip
        self.transport.close()
