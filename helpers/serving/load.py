"""A load generator: so many clients, each of which asks again as soon as it has its answer (a closed loop).

It speaks HTTP over plain streams that stay open. A general client library would spend more time on a request than the
service does, and one would measure the client.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import numpy as np

PATIENCE = 30.0  # seconds that a client waits for one answer


@dataclass
class Report:
    """What a measurement saw.

    Attributes
    ----------
    requests : int
        Requests that ended, with an answer or without.
    seconds : float
        From the first request to the last answer.
    rate : float
        Answers with a status of 2xx per second.
    status : Counter
        How often each status code came; ``"lost"`` counts connections that broke before the answer was there.
    p50, p95, p99 : float
        Percentiles in milliseconds of the time to an answer with a status of 2xx; NaN if there was none.
    """

    requests: int
    seconds: float
    rate: float
    status: Counter
    p50: float
    p95: float
    p99: float

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {count:,}" for status, count in sorted(self.status.items(), key=str))
        times = f"p50 {self.p50:.2f} ms, p95 {self.p95:.2f} ms, p99 {self.p99:.2f} ms"
        return f"{self.rate:,.0f} answers/s; {times}; {counts}"


@dataclass
class _Tally:
    status: Counter = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)  # ms, of 2xx


def measure(
    url: str,
    body: bytes,
    *,
    path: str,
    clients: int = 8,
    seconds: float = 3.0,
    headers: Mapping[str, str] | None = None,
) -> Report:
    """Send the same POST request from several clients at once, for some seconds.

    Parameters
    ----------
    url : str
        Of the service, ``http://127.0.0.1:8080``.
    body : bytes
        Sent with ``Content-Type: application/json`` unless ``headers`` says otherwise.
    path : str
        For instance ``/v2/models/digits/infer``.
    clients : int
        Connections. Each has at most one request under way.
    seconds : float
        How long new requests are sent; those under way are waited for.
    headers : mapping, optional
        More headers.

    Returns
    -------
    Report

    Raises
    ------
    ConnectionError
        If the service cannot be reached at all.
    """
    place = urlsplit(url)
    if place.scheme != "http" or not place.hostname or not path.startswith("/") or clients < 1 or not seconds > 0:
        raise ValueError(f"measure needs an http:// address, a path that begins with '/', clients and seconds above zero; "
                         f"got {url!r}, {path!r}, {clients}, {seconds}")  # fmt: skip
    lines = {
        "Host": place.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    request = head.encode("latin-1") + body
    result: list = []

    def work() -> None:
        try:
            result.append(asyncio.run(_measure(place.hostname, place.port or 80, request, clients, seconds)))
        except BaseException as error:
            result.append(error)

    thread = threading.Thread(target=work, name="load")  # a notebook has an event loop of its own
    thread.start()
    thread.join()
    if isinstance(result[0], BaseException):
        raise result[0]
    return result[0]


async def _measure(host: str, port: int, request: bytes, clients: int, seconds: float) -> Report:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise ConnectionError(f"no service answers at {host}:{port} ({error})") from error
    writer.close()
    tally, start = _Tally(), time.perf_counter()
    await asyncio.gather(*(_client(host, port, request, start + seconds, tally) for _ in range(clients)))
    took = time.perf_counter() - start
    p50, p95, p99 = np.percentile(tally.latencies, [50, 95, 99]).tolist() if tally.latencies else [float("nan")] * 3
    return Report(tally.status.total(), took, len(tally.latencies) / took, tally.status, p50, p95, p99)


async def _client(host: str, port: int, request: bytes, end: float, tally: _Tally) -> None:
    reader = writer = None
    while time.perf_counter() < end:
        begin = time.perf_counter()
        try:
            if writer is None:
                reader, writer = await asyncio.wait_for(asyncio.open_connection(host, port), PATIENCE)
            writer.write(request)
            status, stays = await asyncio.wait_for(_answer(reader), PATIENCE)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            tally.status["lost"] += 1
            stays = False
            await asyncio.sleep(0.01)  # a dead service is not to be hammered
        else:
            tally.status[status] += 1
            if 200 <= status < 300:
                tally.latencies.append(1000 * (time.perf_counter() - begin))
        if not stays and writer is not None:
            writer.close()
            writer = None
    if writer is not None:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Read one answer; returns its status and whether the connection stays open."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head[9:12])
    found = head.find(b"\r\ncontent-length:")
    if found < 0:
        raise ValueError("an answer without Content-Length")
    await reader.readexactly(int(head[found + 17 : head.index(b"\r\n", found + 2)]))
    return status, b"\r\nconnection: close" not in head
