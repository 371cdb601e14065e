"""The endpoints, on a running service."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import psutil
import pytest
from litert_file import write_litert
from PIL import Image
from serving_fixtures import LABELS, add_version, body, images, linear, logits

from conftest import REPOSITORY, wait_until
from helpers.serving import ServiceError, models, start

INFER = "/v2/models/digits/infer"
JSON = {"Content-Type": "application/json"}
TOKEN = {"Authorization": "Bearer secret-token"}


@pytest.fixture
def client(service):
    with httpx.Client(base_url=service.url, headers=TOKEN, timeout=30) as made:
        yield made


def client_of(service, **headers):
    return httpx.Client(base_url=service.url, headers=headers, timeout=30)


def infer(client, pictures, **more):
    return client.post(INFER, content=body(pictures, **more), headers=JSON)


def outputs(answer) -> np.ndarray:
    tensor = answer.json()["outputs"][0]
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])


def assert_error(answer, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    sentence = answer.json()["error"]
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


# --- answers --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [1, 3, 32])
def test_the_answer_is_the_known_one(client, n):
    pictures = images(n, seed=n)
    answer = infer(client, pictures, id="a-7")
    assert answer.status_code == 200
    content = answer.json()
    assert content["model_name"] == "digits"
    assert content["model_version"] == "1"
    assert content["id"] == "a-7"
    assert {k: v for k, v in content["outputs"][0].items() if k != "data"} == {
        "name": "logits",
        "shape": [n, 10],
        "datatype": "FP32",
    }
    np.testing.assert_allclose(outputs(answer), logits(pictures, 1), atol=1e-5)


def test_without_an_id_there_is_none(client):
    assert "id" not in infer(client, images(1)).json()


def test_the_alias_gives_the_same_numbers(client):
    pictures = images(3)
    answer = client.post("/v1/models/digits:predict", json={"instances": pictures.tolist()})
    assert np.array_equal(np.array(answer.json()["predictions"], np.float32), outputs(infer(client, pictures)))


def test_a_version_can_be_named_if_it_is_active(client):
    address = "/v2/models/digits/versions/{}/infer"
    answer = client.post(address.format(1), content=body(images(1)), headers=JSON)
    assert answer.json()["model_version"] == "1"
    for version in ("2", "9", "one"):
        answer = client.post(address.format(version), content=body(images(1)), headers=JSON)
        assert_error(answer, 404, f"Version '{version}' of 'digits' is not active; version 1 is")


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    for address in ("/v2/health/ready", "/v2/models/digits/ready", "/v2/models/digits/versions/1/ready"):
        assert client.get(address).json() == {"ready": True}
    assert client.get("/v2").json()["extensions"] == ["model_repository"]
    wanted = {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 28, 28]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
        "parameters": {"shadow": None, "labels": LABELS},
    }
    assert client.get("/v2/models/digits").json() == wanted
    assert client.get("/v2/models/digits/versions/1").json() == wanted
    status = client.get("/v1/models/digits").json()["model_version_status"]
    assert [(s["version"], s["state"]) for s in status] == [("1", "AVAILABLE")]


def test_a_picture_is_named(client, tmp_path):
    grey = np.zeros((28, 28), np.uint8)
    grey[6:20, 13:15] = 255
    Image.fromarray(grey).save(tmp_path / "one.png")
    answer = client.post(
        "/v2/models/digits/image", content=(tmp_path / "one.png").read_bytes(), headers={"Content-Type": "image/png"}
    )
    content = answer.json()
    wanted = logits(grey[None], 1)[0].astype(float)
    wanted = np.exp(wanted - wanted.max())
    assert content["label"] == str(wanted.argmax())
    assert list(content["probabilities"]) == LABELS
    np.testing.assert_allclose(list(content["probabilities"].values()), wanted / wanted.sum(), atol=1e-5)
    assert content["model_version"] == "1"


def test_a_request_keeps_its_id(client):
    assert infer(client, images(1)).headers["x-request-id"] != infer(client, images(1)).headers["x-request-id"]
    mine = client.get("/v2", headers={"X-Request-Id": "mine-1"})
    assert mine.headers["x-request-id"] == "mine-1"
    forged = client.get("/v2", headers={"X-Request-Id": 'x" onload='})
    assert re.fullmatch("[0-9a-f]{16}", forged.headers["x-request-id"])


# --- errors ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("method", "address", "status", "words"),
    [
        ("GET", "/", 404, "documentation is at /docs"),
        ("GET", "/v2/models/cats", 404, "There is no model 'cats'; there are: digits"),
        ("GET", "/v2/models/cats/ready", 404, "no model 'cats'"),
        ("GET", "/v2/models/digits/versions/2", 404, "version 1 is"),
        ("GET", "/v1/models/cats", 404, "no model 'cats'"),
        ("POST", "/v2/models/cats/infer", 404, "no model 'cats'"),
        ("POST", "/v1/models/cats:predict", 404, "no model 'cats'"),
        ("POST", "/v2/models/cats/image", 404, "no model 'cats'"),
        ("POST", "/v2/repository/models/cats/load", 404, "no model 'cats'"),
        ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", 404, ""),
        ("GET", "/static-offline-docs/..%2f..%2fapp.py", 404, ""),
        ("GET", INFER, 405, "GET is not possible"),
        ("DELETE", "/v2/models/digits", 405, "DELETE is not possible"),
        ("POST", "/v2/health/live", 405, "POST is not possible"),
    ],
)
def test_addresses_that_lead_nowhere(client, method, address, status, words):
    answer = client.request(method, address)
    assert_error(answer, status, words)
    if status == 405:
        assert answer.headers["allow"]


def test_the_media_type_must_be_right(client):
    content = body(images(1))
    for wrong in ({"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}):
        assert_error(client.post(INFER, content=content, headers=wrong), 415, "application/json")
    assert_error(client.post(INFER, content=content, headers={**JSON, "Content-Encoding": "gzip"}), 415, "compressed")
    assert (
        client.post(INFER, content=content, headers={"Content-Type": "Application/JSON; charset=utf-8"}).status_code
        == 200
    )
    assert client.post(INFER, content=content).status_code == 200
    for headers in ({}, JSON):
        assert_error(client.post("/v2/models/digits/image", content=b"x", headers=headers), 415, "image/png")


def test_bad_bodies_are_told(client):
    assert_error(client.post(INFER, content=b"{", headers=JSON), 400, "not JSON")
    assert_error(client.post(INFER, headers=JSON), 400, "not JSON")
    assert_error(infer(client, images(33)), 400, "at most 32")
    assert_error(client.post("/v1/models/digits:predict", json={"instances": 1}), 400, "'instances'")
    assert_error(client.post("/v2/repository/index", json=[]), 400, "object")
    assert_error(
        client.post("/v2/models/digits/image", content=b"x", headers={"Content-Type": "image/png"}), 400, "not a PNG"
    )


def test_every_answer_but_health_needs_the_token(service):
    with client_of(service) as stranger:
        for address in ("/v2/health/live", "/v2/health/ready"):
            assert stranger.get(address).status_code == 200
        for address in ("/v2", "/v2/models/digits", "/metrics", "/docs", "/openapi.json", "/nowhere"):
            answer = stranger.get(address)
            assert_error(answer, 401, "Authorization: Bearer TOKEN")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        for wrong in (
            "Bearer",
            "Bearer secret-toke",
            "Bearer secret-token2",
            "Basic secret-token",
            "secret-token",
        ):
            assert infer_with(stranger, wrong).status_code == 401
        assert infer_with(stranger, "bearer secret-token").status_code == 200


def infer_with(client, authorization):
    return client.post(INFER, content=body(images(1)), headers={**JSON, "Authorization": authorization})


# --- logs, metrics, documents ---------------------------------------------------------------------------------------
def test_a_log_line_says_what_happened_and_not_what_was_in_it(service, client):
    answer = client.post(
        INFER, content=body(images(2, seed=8), id="private-id"), headers={**JSON, "X-Request-Id": "line-1"}
    )
    assert answer.status_code == 200
    client.get("/v2/models/digits?password=hunter2", headers={"X-Secret": "hunter3"})
    lines = wait_until(lambda: [line for line in service.logs() if line.get("request_id") == "line-1"], "the log line")
    assert len(lines) == 1
    line = lines[0]
    assert set(line) == {"time", "level", "event", "request_id", "method", "route", "status", "ms", "batch"}
    assert (line["level"], line["event"], line["method"], line["status"], line["batch"]) == (
        "info",
        "request",
        "POST",
        200,
        2,
    )
    assert line["route"] == "/v2/models/{name}/infer"
    assert 0 < line["ms"] < 10_000
    text = json.dumps(service.logs())
    for secret in ("secret-token", "private-id", "hunter2", "hunter3"):
        assert secret not in text


def sample(client, name: str, **labels) -> float:
    """Value of a metric; 0 if it is not there."""
    for line in client.get("/metrics").text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name and dict(re.findall(r'(\w+)="(.*?)"', found[2] or "")) == labels:
            return float(found[3])
    return 0.0


def test_metrics_count(client):
    route = {"route": "/v2/models/{name}/infer", "status": "200"}
    names = ("serving_requests_total", "serving_batch_images_sum")
    before = sample(client, names[0], **route), sample(client, names[1], model="digits")
    infer(client, images(5))
    assert sample(client, names[0], **route) == before[0] + 1
    assert sample(client, names[1], model="digits") == before[1] + 5
    client.get("/no/such/place/1")
    client.get("/no/such/place/2")
    assert sample(client, "serving_requests_total", route="unmatched", status="404") >= 2
    assert sample(client, "serving_model_info", model="digits", version="1", shadow="", engine="onnx") == 1
    assert sample(client, "serving_queue_depth", model="digits") == 0
    assert sample(client, "serving_inference_seconds_count", model="digits") > 0
    assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")


def test_the_documentation_comes_from_here(client):
    page = client.get("/docs").text
    assert not re.findall(r"https?://", page)
    assert '"validatorUrl": null' in page
    for address in re.findall(r'(?:src|href)="(/[^"]+)"', page):
        assert client.get(address).status_code == 200
    document = client.get("/openapi.json").json()
    assert len(document["paths"]) >= 15
    for path in document["paths"].values():
        for operation in path.values():
            assert "422" not in operation["responses"]


# --- releases -------------------------------------------------------------------------------------------------------
def test_releases_over_http(serve, model_folder):
    with client_of(serve(model_folder, token="t"), Authorization="Bearer t") as client:
        states = lambda: {e["version"]: e["state"] for e in client.post("/v2/repository/index").json()}  # noqa: E731
        assert states() == {"1": "READY", "2": "UNAVAILABLE"}
        answer = client.post("/v2/repository/models/digits/load", json={"parameters": {"version": "2", "shadow": "1"}})
        assert answer.json() == {"name": "digits", "version": "2", "shadow": "1"}
        assert infer(client, images(1)).json()["model_version"] == "2"
        assert models.active(model_folder / "digits") == {"version": "2", "shadow": "1"}
        assert states() == {"1": "SHADOW", "2": "READY"}
        assert [e["version"] for e in client.post("/v2/repository/index", json={"ready": True}).json()] == ["2"]

        (model_folder / "digits" / "1" / "model.onnx").write_bytes(b"damaged")
        load = "/v2/repository/models/digits/load"
        assert_error(client.post(load, json={"parameters": {"version": "1"}}), 409, "is damaged")
        assert_error(
            client.post(load, json={"parameters": {"version": "9"}}), 404, "Version 9 of digits does not exist"
        )
        for wrong in ({}, {"version": "1"}, {"parameters": {"version": 1}}, {"parameters": {"version": "../1"}}):
            assert_error(client.post(load, json=wrong), 400)
        assert infer(client, images(1)).json()["model_version"] == "2"
        assert models.active(model_folder / "digits") == {"version": "2", "shadow": "1"}


def test_without_a_token_everything_is_open_but_releases(serve, model_folder):
    with client_of(serve(model_folder)) as client:
        assert infer(client, images(1)).status_code == 200
        answer = client.post("/v2/repository/models/digits/load", json={"parameters": {"version": "2"}})
        assert_error(answer, 403, "--token-file", "BOOK_SERVE_TOKEN")
        assert models.active(model_folder / "digits")["version"] == "1"


def test_a_damaged_release_is_refused_and_the_old_version_goes_on(serve, model_folder):
    service = serve(model_folder)
    digits = model_folder / "digits"
    with client_of(service) as client:
        (digits / "2" / "model.onnx").write_bytes(b"damaged")
        (digits / "active.json").write_text('{"version": "2"}')
        refused = lambda: [line for line in service.logs() if line["event"] == "version refused"]  # noqa: E731
        line = wait_until(refused, "the refusal in the log")[0]
        assert "model.onnx' is damaged" in line["error"]
        assert line["stays"] == "1"
        time.sleep(0.6)  # it is looked at again and again, and told once
        assert len(refused()) == 1
        assert infer(client, images(1)).json()["model_version"] == "1"
        add_version(digits, 3)
        models.activate(digits, 3)
        wait_until(lambda: infer(client, images(1)).json()["model_version"] == "3", "version 3")
        models.activate(digits, 1)
        wait_until(lambda: infer(client, images(1)).json()["model_version"] == "1", "the rollback")


def test_the_shadow_is_compared_and_disturbs_nothing(serve, model_folder):
    digits = model_folder / "digits"
    models.activate(digits, 1, shadow=2)
    with client_of(serve(model_folder)) as client:
        pictures = images(32, seed=5)
        agreed = int((logits(pictures, 1).argmax(1) == logits(pictures, 2).argmax(1)).sum())
        assert 0 < agreed < 32
        np.testing.assert_allclose(outputs(infer(client, pictures)), logits(pictures, 1), atol=1e-5)
        count = lambda result: sample(client, "serving_shadow_images_total", model="digits", result=result)  # noqa: E731
        wait_until(lambda: count("agreed") + count("disagreed") == 32, "the shadow")
        assert count("agreed") == agreed
        assert count("failed") == 0


def test_drift_is_seen_in_the_metrics(serve, model_folder):
    service = serve(model_folder)
    with client_of(service) as client:
        psi = lambda: sample(client, "serving_input_psi", model="digits", feature="mean_intensity")  # noqa: E731
        assert np.isnan(psi())
        for i in range(16):
            infer(client, images(32, seed=i))
        wait_until(lambda: psi() < 0.1, "a small index for the usual input")
        for _ in range(16):
            infer(client, 255 - images(32))
        wait_until(lambda: psi() > 1, "a large index for inverted input")
        assert sample(client, "serving_input_drift_alarm", model="digits") == 1
        wait_until(lambda: any(line["event"] == "input drift alarm" for line in service.logs()), "the alarm in the log")


def test_litert_serves_too(serve, tmp_path):
    source = write_litert(tmp_path / "a.tflite", *linear(1))
    models.write_version(tmp_path / "models" / "digits", 1, {"litert": source}, labels=LABELS, statistics={})
    service = serve(tmp_path / "models", engine="litert")
    with client_of(service) as client:
        np.testing.assert_allclose(outputs(infer(client, images(5))), logits(images(5), 1), atol=1e-5)
        assert client.get("/v2/models/digits").json()["platform"] == "litert"
    assert service.stop() == 0
    text = service._text(service._err)
    assert all(line.startswith("{") for line in text.splitlines()), text


def test_two_models_are_served(serve, model_folder):
    add_version(model_folder / "other", 5)
    with client_of(serve(model_folder)) as client:
        answer = client.post("/v2/models/other/infer", content=body(images(2)), headers=JSON)
        np.testing.assert_allclose(outputs(answer), logits(images(2), 5), atol=1e-5)
        assert infer(client, images(1)).json()["model_name"] == "digits"


# --- beginning and end ----------------------------------------------------------------------------------------------
def command(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "helpers.serving", *map(str, arguments)], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=60, env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_mistakes_on_the_command_line_are_one_sentence(model_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "token").write_text("\n")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        for arguments, words in (
            ([], "MODELS"),
            ([tmp_path / "nowhere"], "does not exist"),
            ([tmp_path / "empty"], "holds no model"),
            ([model_folder, "--engine", "onnx", "--port", port], f"cannot listen at 127.0.0.1:{port}"),
            ([model_folder, "--engine", "onnx", "--host", "192.0.2.1", "--port", 0], "cannot listen at 192.0.2.1"),
            ([model_folder, "--port", "70000"], "from 0 to 65535, got '70000'"),
            ([model_folder, "--queue", "0"], "--queue"),
            ([model_folder, "--deadline", "nan"], "--deadline"),
            ([model_folder, "--engine", "tensorrt"], "tensorrt"),
            ([model_folder], "no file for the engine 'litert'; it has onnx"),
            ([model_folder, "--token-file", tmp_path / "token"], "is empty"),
            ([model_folder, "--token-file", tmp_path / "no-token"], "cannot be read"),
        ):
            done = command(*arguments)
            lines = done.stderr.strip().splitlines()
            assert done.returncode == 2, (arguments, done.stderr)
            assert len(lines) == 1, done.stderr
            assert lines[0].startswith("serving: ")
            assert lines[0].endswith(".")
            assert words in lines[0]
            assert done.stdout == ""


def test_a_damaged_model_stops_the_start(model_folder):
    (model_folder / "digits" / "1" / "model.onnx").write_bytes(b"damaged")
    with pytest.raises(ServiceError, match=r"exit status 2\): The file '.*model\.onnx' is damaged"):
        start(model_folder, engine="onnx")


def test_a_graceful_stop(model_folder):
    with start(model_folder, engine="onnx") as service:
        with client_of(service) as client:
            assert infer(client, images(1)).status_code == 200
        assert psutil.pid_exists(service.pid)
        assert service.stop() == 0
        assert not psutil.pid_exists(service.pid)
        assert service.stop() == 0
        with pytest.raises(httpx.ConnectError), client_of(service) as client:
            client.get("/v2")
        events = [line["event"] for line in service.logs()]
        assert events[0] == "started"
        assert events[-1] == "stopped"


def test_ctrl_c_is_a_graceful_stop(model_folder):
    with start(model_folder, engine="onnx") as service:
        os.kill(service.pid, signal.SIGINT)
        assert service._process.wait(20) == 0


def test_the_service_ends_with_the_process_that_started_it(model_folder):
    script = (
        "import os, sys; from helpers.serving import start\n"
        f"s = start({str(model_folder)!r}, engine='onnx', workers=2); print(s.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    pid = int(done.stdout)
    wait_until(
        lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, "its end", 30
    )


def test_the_ready_line(model_folder):
    with start(model_folder, engine="onnx") as service:
        assert service._text(service._out) == f"Serving digits (version 1, onnx) at {service.url}; stop with Ctrl-C.\n"


def test_what_was_accepted_is_answered_before_the_end(model_folder):
    """Clients ask without a pause while the service stops: every request that was read gets an answer."""
    with start(model_folder, engine="onnx") as service:
        statuses, lost = [], []

        def ask():
            with client_of(service) as client:
                while True:
                    try:
                        statuses.append(infer(client, images(8)).status_code)
                    except httpx.ConnectError:
                        return
                    except httpx.HTTPError as error:
                        lost.append(error)
                        return

        askers = [threading.Thread(target=ask) for _ in range(8)]
        for asker in askers:
            asker.start()
        wait_until(lambda: len(statuses) > 50, "some answers")
        assert service.stop() == 0
        for asker in askers:
            asker.join(30)
        assert set(statuses) <= {200, 503}
        assert not lost
