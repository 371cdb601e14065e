"""Around every request: an id, the token, limits on the body, one log line, metrics, and errors of one shape.

Plain ASGI, because the wrappers of web frameworks cost more time than the inference.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import re
import time
from typing import Any

from helpers.serving import logs
from helpers.serving.metrics import Metrics
from helpers.serving.protocol import Refusal, error_body

_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_OPEN = ("/v2/health/live", "/v2/health/ready")


class Guard:
    """ASGI application around another one.

    Parameters
    ----------
    app : ASGI application
    max_body : int
        Bytes.
    body_timeout : float
        Seconds in which the whole body must arrive.
    token : str or None
        Bearer token that every request needs except those to the health endpoints.
    """

    def __init__(self, app: Any, metrics: Metrics, *, max_body: int, body_timeout: float, token: str | None):
        self._app, self._metrics = app, metrics
        self._max_body, self._body_timeout = max_body, body_timeout
        self._token = _digest(token.encode()) if token else None

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = time.perf_counter()
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if _ID.fullmatch(given) else b"%016x" % random.getrandbits(64)
        status = 0

        async def answer(message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id)]
            await send(message)

        scope.setdefault("state", {})
        try:
            self._admit(scope, headers)
            body = await self._body(headers, receive)
            await self._app(scope, receive if body is None else _replay(body, receive), answer)
        except Refusal as refusal:
            await _refuse(answer, refusal)
        except Exception as error:  # must not happen; if it does, the client learns that and the log says why
            logs.event("error", "unexpected", request_id=request_id.decode(), **logs.describe(error))
            if not status:
                await _refuse(answer, Refusal(500, "The service failed; its log says why under this request's id."))
        seconds = time.perf_counter() - start
        route = getattr(scope.get("route"), "path", "unmatched")
        self._metrics.request(route, status, seconds)
        more = {"batch": scope["state"]["batch"]} if "batch" in scope["state"] else {}
        logs.event("info", "request", request_id=request_id.decode(), method=scope["method"], route=route, status=status,
                   ms=round(1000 * seconds, 3), **more)  # fmt: skip

    def _admit(self, scope, headers: dict[bytes, bytes]) -> None:
        """Refuse a client that is one too many or has no token, before its body is read."""
        connection = scope.get("extensions", {}).get("book.connection")
        if connection is not None and connection.crowded:
            raise Refusal(503, "Too many clients are connected; try again in a second.", {"Retry-After": "1", **_CLOSE})
        if self._token is None or scope["path"] in _OPEN:
            return
        kind, _, value = headers.get(b"authorization", b"").partition(b" ")
        # Digests are compared, so that the time tells neither content nor length.
        if kind.lower() != b"bearer" or not hmac.compare_digest(_digest(value.strip()), self._token):
            raise Refusal(401, "This service needs a token: send the header 'Authorization: Bearer TOKEN'.",
                          {"WWW-Authenticate": 'Bearer realm="models"', **_CLOSE})  # fmt: skip

    async def _body(self, headers: dict[bytes, bytes], receive) -> bytes | None:
        """The whole body, bounded in bytes and in time; None if the request has none."""
        length = headers.get(b"content-length")
        if length is None and b"transfer-encoding" not in headers:
            return None
        if length is not None and length.isdigit() and int(length[:20]) > self._max_body:
            raise self._too_long()
        parts, size, more = [], 0, True
        try:
            async with asyncio.timeout(self._body_timeout):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(499, "The client has gone.")
                    part, more = message.get("body", b""), message.get("more_body", False)
                    parts.append(part)
                    size += len(part)
                    if size > self._max_body:
                        raise self._too_long()
        except TimeoutError:
            raise Refusal(408, f"The body did not arrive within {self._body_timeout:g} s.", _CLOSE) from None
        return b"".join(parts)

    def _too_long(self) -> Refusal:
        return Refusal(413, f"The body is longer than {self._max_body} bytes.", _CLOSE)


_CLOSE = {"Connection": "close"}  # the rest of the body would be taken for the next request


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _replay(body: bytes, receive):
    """A ``receive`` that gives the body once, then what the real one says (that the client has gone)."""
    given = False

    async def replay():
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _refuse(send, refusal: Refusal) -> None:
    content = json.dumps(error_body(refusal.status, refusal.sentence)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
