"""Clients that are hostile, slow, many or gone; workers that die; releases under load.

``BOOK_ATTACK_SECONDS=30`` makes the crowds stay for thirty seconds instead of three.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import struct
import threading
import time
import zlib

import httpx
import numpy as np
import psutil
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from PIL import Image
from schemathesis.generation.modes import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from serving_fixtures import add_version, body, images, logits

from conftest import wait_until
from helpers.serving import models
from helpers.serving.load import measure

INFER = "/v2/models/digits/infer"
SECONDS = float(os.environ.get("BOOK_ATTACK_SECONDS", "3"))
TOKEN = {"Authorization": "Bearer secret-token"}


def infer(service, pictures, **options):
    return httpx.post(service.url + INFER, content=body(pictures), timeout=30, **options)


def connect(service) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    made = socket.create_connection((host, int(port)), timeout=20)
    return made


def read_all(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def read_one(connection: socket.socket) -> bytes:
    """One answer; the connection may stay open."""
    answer = b""
    while True:
        head, end, content = answer.partition(b"\r\n\r\n")
        if end and len(content) >= int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]):
            return answer
        part = connection.recv(65536)
        if not part:
            return answer
        answer += part


def assert_raw_error(answer: bytes, status: int, words: str) -> None:
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode()), answer[:300]
    assert b"content-type: application/json" in head
    assert b"connection: close" in head.lower()
    assert words in json.loads(content)["error"]


def post(path: str, length: int | str, more: str = "") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{more}\r\n".encode()


def family(service) -> list[psutil.Process]:
    return [psutil.Process(service.pid), *psutil.Process(service.pid).children(recursive=True)]


def memory(service) -> int:
    """Resident bytes of the service, all processes together."""
    return sum(process.memory_info().rss for process in family(service))


def workers(service) -> set[int]:
    return {line["pid"] for line in service.logs() if line["event"] == "started"}


def assert_well(service) -> None:
    answer = infer(service, images(1), headers=TOKEN)
    assert answer.status_code == 200
    np.testing.assert_allclose(answer.json()["outputs"][0]["data"], logits(images(1), 1)[0], atol=1e-5)


# --- a machine that knows the OpenAPI document ----------------------------------------------------------------------
def restore(service) -> None:
    """Version 1 again: the attack may have released another one."""
    release = {"parameters": {"version": "1"}}
    answer = httpx.post(f"{service.url}/v2/repository/models/digits/load", json=release, headers=TOKEN)
    assert answer.status_code == 200
    assert_well(service)


@pytest.mark.parametrize("mode", list(GenerationMode))
@pytest.mark.parametrize("path", [{"name": "digits", "version": "1"}, None], ids=["known model", "any model"])
def test_every_operation_keeps_its_promises(service, mode, path):
    """No 5xx, only documented statuses, types and schemas; bad input refused, also where the model exists.

    That fitting input is taken cannot be asked: no schema can say that the number of values follows from the shape. But
    the example of each operation must be taken.
    """
    document = schemathesis.openapi.from_url(f"{service.url}/openapi.json", headers=TOKEN)
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) >= 15
    for operation in operations:
        json_body = any(body.media_type == "application/json" for body in operation.body)
        if mode.is_negative and not json_body:
            continue  # any name may be tried, any bytes may be a picture
        given_path = path and {p.name: path[p.name] for p in operation.path_parameters}
        promises_kept(operation.as_strategy(mode, path_parameters=given_path))
        if path and json_body and mode.is_positive:
            examples = operation.get_strategies_from_examples(path_parameters=given_path)
            assert examples
            for example in examples:
                assert promises_kept(example) == {200}
    restore(service)


def promises_kept(cases) -> set[int]:
    """Send requests and check the answers against the document; returns the statuses."""
    statuses = set()

    @given(case=cases)
    @settings(max_examples=20, suppress_health_check=list(HealthCheck))
    def attack(case):
        answer = case.call_and_validate(headers=TOKEN, excluded_checks=[positive_data_acceptance])
        statuses.add(answer.status_code)

    attack()
    return statuses


# --- bodies ---------------------------------------------------------------------------------------------------------
def test_a_body_of_100_megabytes_is_refused_unread(service):
    before = memory(service)
    answer = httpx.post(service.url + INFER, content=bytes(100_000_000), headers=TOKEN, timeout=30)
    assert answer.status_code == 413
    assert answer.json() == {"error": "The body is longer than 2000000 bytes."}
    assert memory(service) - before < 20_000_000
    assert_well(service)


def test_a_body_without_a_length_is_counted(service):
    before = memory(service)
    chunks = (bytes(100_000) for _ in range(1000))
    answer = httpx.post(service.url + INFER, content=chunks, headers=TOKEN, timeout=30)
    assert answer.status_code == 413
    assert memory(service) - before < 20_000_000
    assert_well(service)


def test_a_length_that_lies_is_of_no_use(service):
    """What follows a body that was refused must not be taken for a request."""
    with connect(service) as connection:
        smuggled = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
        connection.sendall(post(INFER, 3_000_000, f"Authorization: {TOKEN['Authorization']}\r\n") + smuggled)
        answer = read_all(connection)
    assert_raw_error(answer, 413, "longer")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("length", ["-1", "abc", "1e3", "9" * 40])
def test_a_length_that_is_none_is_refused(service, length):
    with connect(service) as connection:
        connection.sendall(post(INFER, length))
        answer = read_all(connection)
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 413 ", b"HTTP/1.1 401 "))
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
    assert_well(service)


def test_pictures_that_attack(service):
    file = io.BytesIO()
    Image.fromarray(np.eye(200, dtype=np.uint8) * 255).save(file, "PNG")
    good = file.getvalue()
    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(20_000_000))), (b"IEND", b""))
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks
    )
    before = memory(service)
    for content, status, words in (
        (good, 200, ""),
        (good[:-20], 400, "truncated"),
        (bomb, 400, "50,000 x 50,000 pixels"),
        (b"", 400, "not a PNG"),
        (b"<svg/>", 400, "not a PNG"),
    ):
        headers = {**TOKEN, "Content-Type": "image/png"}
        answer = httpx.post(f"{service.url}/v2/models/digits/image", content=content, headers=headers, timeout=30)
        assert answer.status_code == status
        assert words in answer.json().get("error", "")
    assert memory(service) - before < 20_000_000
    assert_well(service)


# --- clients that are slow or speak something else ------------------------------------------------------------------
@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    """A service that gives its clients half a second."""
    from serving_fixtures import make_models

    from helpers.serving import start

    folder = make_models(tmp_path_factory.mktemp("impatient") / "models")
    with start(folder, engine="onnx", header_timeout=0.5, body_timeout=0.5, clients=20) as running:
        yield running


def drip(connection, content: bytes) -> float:
    """Send a byte every 50 ms until the service has enough; returns the seconds."""
    start = time.monotonic()
    try:
        for byte in content:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
    except OSError:
        pass
    return time.monotonic() - start


def test_slow_headers_have_a_deadline(impatient):
    with connect(impatient) as connection:
        assert drip(connection, b"GET /v2/health/live HTTP/1.1\r\nX-Slow: " + b"a" * 100) < 3
        assert_raw_error(read_all(connection), 408, "headers did not arrive within 0.5 s")


def test_slow_headers_of_a_second_request_have_a_deadline(impatient):
    with connect(impatient) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_one(connection).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nX-Slow: ")
        start = time.monotonic()
        assert_raw_error(read_all(connection), 408, "headers")
        assert time.monotonic() - start < 3


def test_who_says_nothing_is_hung_up_on(impatient):
    with connect(impatient) as connection:
        start = time.monotonic()
        assert read_all(connection) == b""
        assert 0.3 < time.monotonic() - start < 3


def test_a_slow_body_has_a_deadline(impatient):
    with connect(impatient) as connection:
        connection.sendall(post(INFER, 100))
        assert drip(connection, b"{" * 100) < 3
        assert_raw_error(read_all(connection), 408, "body did not arrive within 0.5 s")


def test_a_body_that_is_slow_but_in_time_is_answered(impatient):
    content = body(images(1))
    with connect(impatient) as connection:
        connection.sendall(post(INFER, len(content)))
        for part in (content[:100], content[100:]):
            time.sleep(0.1)
            connection.sendall(part)
        assert read_one(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50), 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /v2 HTTP/1.1\r\nX-Long: " + b"a" * 40_000, 431),
    ],
)
def test_what_is_no_http_is_refused(impatient, content, status):
    with connect(impatient) as connection:
        connection.sendall(content)
        assert_raw_error(read_all(connection), status, "request")


def test_slow_clients_do_not_slow_the_others(impatient):
    slow = [connect(impatient) for _ in range(10)]
    for connection in slow:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nX-Slow: ")
    report = measure(impatient.url, body(images(1)), path=INFER, clients=4, seconds=0.5)
    assert set(report.status) == {200}
    for connection in slow:
        connection.close()


def test_one_client_too_many_is_told_and_the_next_ones_are_dropped(serve, tmp_path):
    """The limit is 20: the 21st is told so, the 41st is not even heard."""
    from serving_fixtures import make_models

    service = serve(make_models(tmp_path / "models"), engine="onnx", clients=20)
    crowd = [connect(service) for _ in range(45)]
    time.sleep(0.5)  # until all are accepted: who is told first would make room for the last
    try:
        answers = []
        for connection in crowd:
            try:
                connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                answers.append(read_one(connection))
            except ConnectionError:
                answers.append(b"")
        told = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
        assert sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers) == 20
        assert len(told) == 20
        assert answers.count(b"") == 5
        assert_raw_error(told[0], 503, "Too many clients")
    finally:
        for connection in crowd:
            connection.close()
    wait_until(lambda: infer(service, images(1)).status_code == 200, "the next client")


def test_who_has_gone_is_not_computed_for(serve, tmp_path):
    add_version(tmp_path / "models" / "digits", 1, detours=400)
    service = serve(tmp_path / "models", max_batch=8, deadline=20)

    def computed() -> float:
        lines = httpx.get(f"{service.url}/metrics").text.splitlines()
        return next(float(line.split()[-1]) for line in lines if line.startswith("serving_batch_images_sum"))

    content = body(images(8))
    first, *leaving = (connect(service) for _ in range(13))
    first.sendall(post(INFER, len(content)) + content)  # keeps the thread busy
    time.sleep(0.03)
    for connection in leaving:
        connection.sendall(post(INFER, len(content)) + content)
    time.sleep(0.03)
    for connection in leaving:
        connection.close()
    assert read_one(first).startswith(b"HTTP/1.1 200 ")
    assert infer(service, images(1)).status_code == 200
    assert computed() <= 8 + 1 + 8 * 6  # of the twelve that left, some had begun; by far not all
    first.close()


# --- crowds ---------------------------------------------------------------------------------------------------------
def test_200_clients_at_once(service):
    """All are answered, or told that it is too much; nobody is dropped, and memory stays where it was."""
    measure(service.url, body(images(1)), path=INFER, clients=200, seconds=0.5, headers=TOKEN)
    before = memory(service)
    report = measure(service.url, body(images(1)), path=INFER, clients=200, seconds=SECONDS, headers=TOKEN)
    assert set(report.status) <= {200, 429, 503}
    assert report.status[200] > 100
    assert memory(service) - before < 50_000_000
    assert_well(service)


def test_overload_is_refused_and_memory_stays_bounded(serve, slow_folder):
    """Fifty times more than it can compute: those it takes are answered in time, the others learn so at once."""
    service = serve(slow_folder, queue=16, deadline=0.3, max_batch=8)
    content = body(images(4))
    measure(service.url, content, path=INFER, clients=50, seconds=0.5)
    before = memory(service)
    report = measure(service.url, content, path=INFER, clients=100, seconds=SECONDS)
    assert set(report.status) <= {200, 429, 503}
    assert report.status[429] > report.status[200] > 0
    assert report.p99 < 2000  # ms; the queue is short
    assert memory(service) - before < 50_000_000
    assert infer(service, images(1)).status_code == 200


def test_the_deadline_holds_under_overload(serve, slow_folder):
    service = serve(slow_folder, queue=10_000, deadline=0.2, max_batch=4)
    report = measure(service.url, body(images(4)), path=INFER, clients=50, seconds=1.5)
    assert set(report.status) <= {200, 503}
    assert report.status[503] > 0
    assert report.p99 < 1500


# --- releases and ends under load -----------------------------------------------------------------------------------
def test_releases_under_load_drop_nothing(serve, model_folder):
    """Back and forth between two versions while clients ask; each answer is that of the version it names."""
    service, digits = serve(model_folder), model_folder / "digits"
    pictures = images(2)
    wanted = {version: logits(pictures, version) for version in "12"}
    seen, wrong, end = set(), [], threading.Event()

    def ask():
        with httpx.Client(base_url=service.url, timeout=30) as client:
            while not end.is_set():
                answer = client.post(INFER, content=body(pictures)).json()
                seen.add(answer["model_version"])
                found = np.reshape(answer["outputs"][0]["data"], (2, 10))
                if not np.allclose(found, wanted[answer["model_version"]], atol=1e-5):
                    wrong.append(answer)

    asker = threading.Thread(target=ask)
    asker.start()
    reports = []
    loader = threading.Thread(
        target=lambda: reports.append(measure(service.url, body(images(1)), path=INFER, clients=8, seconds=SECONDS))
    )
    loader.start()
    for i in range(8):
        models.activate(digits, 2 - i % 2, shadow=1 + i % 2)
        time.sleep(SECONDS / 9)
    loader.join()
    end.set()
    asker.join()
    assert set(reports[0].status) == {200}
    assert seen == {"1", "2"}
    assert not wrong
    released = [line for line in service.logs() if line["event"] == "version active"]
    assert len(released) >= 4


def test_a_killed_worker_is_replaced_under_load(serve, model_folder):
    service = serve(model_folder, workers=2)
    wait_until(lambda: len(workers(service)) == 2, "two workers")
    victim = min(workers(service))
    reports = []
    loader = threading.Thread(
        target=lambda: reports.append(measure(service.url, body(images(1)), path=INFER, clients=8, seconds=SECONDS))
    )
    loader.start()
    time.sleep(SECONDS / 4)
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(workers(service)) == 3, "the replacement")
    loader.join()
    assert set(reports[0].status) <= {200, "lost"}
    assert reports[0].status["lost"] <= 8  # at most what the dead one had in hand
    assert reports[0].status[200] > 100
    alive = {process.pid for process in family(service)}
    assert len(workers(service) & alive) == 2
    assert service.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in workers(service))


def test_workers_end_with_a_supervisor_that_is_killed(serve, model_folder):
    service = serve(model_folder, workers=2)
    wait_until(lambda: len(workers(service)) == 2, "two workers")
    os.kill(service.pid, signal.SIGKILL)
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in workers(service)), "the end of the workers", 20)


def test_a_replacement_starts_although_the_release_is_damaged(serve, model_folder):
    """A damaged release must not stop the service when a worker happens to die."""
    service = serve(model_folder, workers=2)
    wait_until(lambda: len(workers(service)) == 2, "two workers")
    (model_folder / "digits" / "2" / "model.onnx").write_bytes(b"damaged")
    (model_folder / "digits" / "active.json").write_text('{"version": "2"}')
    wait_until(lambda: sum(line["event"] == "version refused" for line in service.logs()) >= 2, "both refusals")
    os.kill(min(workers(service)), signal.SIGKILL)
    wait_until(lambda: len(workers(service)) == 3, "the replacement")
    for _ in range(6):
        assert infer(service, images(1)).json()["model_version"] == "1"
    add_version(model_folder / "digits", 3)
    models.activate(model_folder / "digits", 3)
    wait_until(lambda: all(infer(service, images(1)).json()["model_version"] == "3" for _ in range(6)), "version 3")


def test_a_graceful_stop_answers_the_queue(serve, slow_folder):
    """Ten requests wait when the signal comes; all are answered, and the health check says no meanwhile."""
    service = serve(slow_folder, max_batch=4)
    content, statuses = body(images(4)), []
    connections = [connect(service) for _ in range(10)]
    health = connect(service)
    for connection in connections:
        connection.sendall(post(INFER, len(content)) + content)
    time.sleep(0.05)
    os.kill(service.pid, signal.SIGTERM)
    time.sleep(0.02)
    health.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = read_one(health)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"stopping" in answer
    for connection in connections:
        answer = read_all(connection)
        statuses.append(answer[9:12])
        connection.close()
    health.close()
    assert statuses == [b"200"] * 10
    assert service.stop() == 0


def test_a_request_on_its_way_is_answered_at_the_end(serve, model_folder):
    """A connection that is idle when the service stops stays open a moment: its client cannot know yet."""
    service = serve(model_folder)
    content = body(images(1))
    with connect(service) as connection:
        connection.sendall(post(INFER, len(content)) + content)
        assert read_one(connection).startswith(b"HTTP/1.1 200 ")
        os.kill(service.pid, signal.SIGTERM)
        time.sleep(0.2)  # the server notices the signal within a tenth of a second
        connection.sendall(post(INFER, len(content)) + content)
        assert read_all(connection).startswith(b"HTTP/1.1 200 ")
    assert service.stop() == 0
