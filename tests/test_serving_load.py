"""The load generator, against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest

from helpers.serving.load import measure


class Server:
    """Answers each request with what ``answer(number)`` gives: bytes, or None to break the connection."""

    def __init__(self, answer, delay: float = 0.0):
        self.answer, self.delay = answer, delay
        self.requests: list[bytes] = []
        self.connections = 0

    async def _serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(length))
                await asyncio.sleep(self.delay)
                reply = self.answer(len(self.requests))
                if reply is None:
                    break
                writer.write(reply)
        writer.close()

    async def _main(self, started, end):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        started.set()
        while not end.is_set():
            await asyncio.sleep(0.01)
        server.close()

    @contextlib.contextmanager
    def running(self):
        started, end = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(self._main(started, end)))
        thread.start()
        started.wait(10)
        yield self
        end.set()
        thread.join()


def reply(status: int, body: bytes = b"{}", more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_answers_are_counted_and_connections_kept():
    with Server(lambda n: reply(200)).running() as server:
        report = measure(server.url, b"hello", path="/x", clients=3, seconds=0.3, headers={"X-Mine": "1"})
    assert set(report.status) == {200}
    assert report.requests == report.status[200] == len(server.requests)
    assert server.connections == 3 + 1  # one to see whether anybody is there
    assert report.seconds >= 0.3
    assert report.rate == pytest.approx(report.requests / report.seconds)
    assert 0 < report.p50 <= report.p95 <= report.p99
    assert str(report).startswith(f"{report.rate:,.0f} answers/s; p50 ")
    assert str(report).endswith(f" ms; 200: {report.requests:,}")
    first = server.requests[0]
    assert first.startswith(b"POST /x HTTP/1.1\r\n")
    assert b"\r\nX-Mine: 1\r\n" in first
    assert b"\r\nContent-Type: application/json\r\n" in first
    assert first.endswith(b"\r\n\r\nhello")


def test_statuses_are_told_apart_and_only_good_ones_are_a_rate():
    with Server(lambda n: reply(429 if n % 2 else 200)).running() as server:
        report = measure(server.url, b"", path="/", clients=1, seconds=0.3)
    assert abs(report.status[200] - report.status[429]) <= 1
    assert report.rate == pytest.approx(report.status[200] / report.seconds)


def test_broken_connections_are_lost_and_opened_again():
    with Server(lambda n: None if n % 3 == 0 else reply(200)).running() as server:
        report = measure(server.url, b"", path="/", clients=2, seconds=0.3)
    assert report.status["lost"] > 1
    assert report.status[200] > 1
    assert report.requests == report.status.total()


def test_a_server_that_closes_after_each_answer_loses_nothing():
    with Server(lambda n: reply(200, more="Connection: close\r\n")).running() as server:
        report = measure(server.url, b"", path="/", clients=2, seconds=0.3)
    assert set(report.status) == {200}
    assert server.connections >= report.requests


def test_latency_is_that_of_one_request():
    with Server(lambda n: reply(200), delay=0.05).running() as server:
        report = measure(server.url, b"", path="/", clients=4, seconds=0.5)
    assert 50 <= report.p50 < 150  # ms; four clients wait side by side
    assert report.requests >= 4 * 4


def test_nothing_good_has_no_percentiles():
    with Server(lambda n: reply(500)).running() as server:
        report = measure(server.url, b"", path="/", clients=1, seconds=0.1)
    assert report.rate == 0
    assert report.p50 != report.p50


def test_it_works_where_an_event_loop_runs():
    async def notebook(url):
        return measure(url, b"", path="/", clients=1, seconds=0.1)

    with Server(lambda n: reply(200)).running() as server:
        assert asyncio.run(notebook(server.url)).requests > 0


def test_nobody_there_is_one_sentence():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ConnectionError, match=f"no service answers at 127.0.0.1:{port}"):
        measure(f"http://127.0.0.1:{port}", b"", path="/", seconds=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "https://x"},
        {"url": "127.0.0.1:80"},
        {"path": "x"},
        {"clients": 0},
        {"seconds": 0},
        {"seconds": float("nan")},
    ],
)
def test_wrong_arguments_are_told(wrong):
    with pytest.raises(ValueError, match="measure needs"):
        measure(**{"url": "http://127.0.0.1:1", "body": b"", "path": "/", **wrong})
