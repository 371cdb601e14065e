"""KServe's server: its environment, and the same model and the same request behind it as behind our own service.

What needs ``.venv-kserve`` is skipped where it is absent; with ``CI`` set the environment is made.
"""

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import httpx
import numpy as np
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from serving_fixtures import images, logits

from book import BookError, environment
from book.paths import REPOSITORY
from conftest import wait_until
from helpers import serving
from helpers.serving import engines, kserve, models

FOLDER = REPOSITORY / "engines"
LOCK = (FOLDER / "kserve/requirements.lock").read_text(encoding="utf-8")


# -- the environment -----------------------------------------------------------------------------------------------------
def test_lock_fits_its_requirements_and_has_hashes_only():
    locked = {canonicalize_name(n): Version(v) for n, v in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.M)}
    lines = (FOLDER / "kserve/requirements.in").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip()]
    assert len(wanted) >= 5
    for requirement in wanted:
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier
    for entry in re.split(r"\n(?=\S)", LOCK.strip()):
        assert re.match(r"[\w.-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", LOCK)
    assert "tensorflow" not in locked  # only its message types


def test_every_installed_package_is_made_for_the_pythons_of_the_book(kserve_python):
    """Resolvers take no notice of an upper bound on Python, pip does: such a lock installs nowhere."""
    code = (
        "from importlib.metadata import distributions; from packaging.specifiers import SpecifierSet\n"
        "for d in distributions():\n"
        "    wanted = SpecifierSet(d.metadata.get('Requires-Python') or '')\n"
        "    print(d.name, *(v for v in ('3.11.0', '3.12.0', '3.13.0') if v not in wanted))"
    )
    lines = subprocess.run(
        [str(kserve_python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(lines) > 50
    assert [line for line in lines if " " in line] == []


def test_setup_of_an_unknown_engine_is_one_sentence():
    with pytest.raises(BookError, match=r"no engine 'trition'.*choose from: .*\bkserve\b.*, all\.$"):
        environment.ensure(engine="trition")


def test_setup_of_an_engine_leaves_a_current_environment_alone(monkeypatch, tmp_path):
    """Its stamp is that of its own lock; the book's lock does not matter."""
    made = []
    monkeypatch.setattr(
        environment.venv, "create", lambda folder, **_: made.append(folder) or (_ for _ in ()).throw(OSError)
    )
    (tmp_path / "requirements.lock").write_text("y==2\n")
    lock = tmp_path / "engines/kserve/requirements.lock"
    python = tmp_path / ".venv-kserve/bin/python"
    for path, text in ((lock, "x==1\n"), (python, "")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    digest = hashlib.sha256(b"x==1\n").hexdigest()
    stamp = tmp_path / ".venv-kserve/book-lock.sha256"
    stamp.write_text(f"{digest} {sys.version_info[0]}.{sys.version_info[1]}\n")
    assert environment.ensure(tmp_path, engine="kserve") == python
    assert not made
    lock.write_text("x==2\n")
    with pytest.raises(BookError, match=r"\.venv-kserve' cannot be created"):
        environment.ensure(tmp_path, engine="kserve")
    assert made == [tmp_path / ".venv-kserve"]
    assert not stamp.exists()


def test_without_its_environment_kserve_says_how_to_make_it(monkeypatch, tmp_path):
    monkeypatch.setattr(kserve, "_ENVIRONMENT", tmp_path / "none")
    assert not kserve.available()
    with pytest.raises(
        kserve.KServeError, match=r"absent or out of date; make it with: python3 -m book setup --engine"
    ):
        kserve.start(tmp_path)


def test_an_environment_of_another_lock_does_not_count(monkeypatch, tmp_path):
    monkeypatch.setattr(kserve, "_ENVIRONMENT", tmp_path)
    monkeypatch.setattr(kserve, "_PYTHON", tmp_path / "python")
    (tmp_path / "python").write_text("")
    (tmp_path / "book-lock.sha256").write_text(hashlib.sha256(LOCK.encode()).hexdigest() + " 3.11\n")
    assert kserve.available()
    (tmp_path / "book-lock.sha256").write_text(hashlib.sha256(b"older").hexdigest() + " 3.11\n")
    assert not kserve.available()


# -- the same model, the same bytes --------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["litert", "onnx"])
def server(request, kserve_python, engine_models):
    with kserve.start(engine_models, engine=request.param) as running:
        running.engine = request.param
        yield running


@pytest.fixture(scope="module")
def one_server(kserve_python, engine_models):
    with kserve.start(engine_models, engine="onnx") as running:
        yield running


IMAGES = images(3, seed=12)
_JSON = {"content-type": "application/json"}


def v2(**changes) -> bytes:
    tensor = {"name": "image", "shape": [3, 28, 28], "datatype": "UINT8", "data": IMAGES.ravel().tolist(), **changes}
    return json.dumps({"id": "three", "inputs": [tensor]}).encode()


def post(url: str, path: str, body: bytes) -> httpx.Response:
    return httpx.post(url + path, content=body, headers=_JSON, timeout=20)


def test_the_same_request_gets_the_same_logits_everywhere(server, engine_models):
    expected = logits(IMAGES, 1)
    v1 = json.dumps({"instances": IMAGES.tolist()}).encode()
    in_process = engines.load(engine_models / "digits", 1, server.engine)(IMAGES)
    with serving.start(engine_models, engine=server.engine) as own:
        for path, body in (("/v2/models/digits/infer", v2()), ("/v1/models/digits:predict", v1)):
            ours, theirs = (post(url, path, body) for url in (own.url, server.url))
            assert (ours.status_code, theirs.status_code) == (200, 200)
            np.testing.assert_allclose(_logits(theirs.json()), _logits(ours.json()), atol=1e-5, rtol=0)
            np.testing.assert_allclose(_logits(theirs.json()), in_process, atol=1e-5, rtol=0)
            np.testing.assert_allclose(_logits(theirs.json()), expected, atol=1e-4, rtol=0)


def _logits(answer: dict) -> np.ndarray:
    if "predictions" in answer:
        return np.array(answer["predictions"])
    assert answer["model_name"] == "digits"
    assert answer["model_version"] == "1"
    assert answer["id"] == "three"
    (output,) = answer["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("logits", "FP32", [3, 10])
    return np.reshape(output["data"], output["shape"])


def test_nested_data_and_a_missing_id_are_accepted(one_server):
    nested = json.loads(v2(data=IMAGES.tolist()))
    del nested["id"]
    answer = post(one_server.url, "/v2/models/digits/infer", json.dumps(nested).encode())
    assert answer.status_code == 200
    same = post(one_server.url, "/v2/models/digits/infer", v2()).json()
    assert answer.json()["outputs"] == same["outputs"]


def test_metadata_is_that_of_the_manifest(one_server, engine_models):
    manifest = models.read_manifest(engine_models / "digits", "1")
    answer = httpx.get(one_server.url + "/v2/models/digits").json()
    assert answer["inputs"] == [manifest["input"]]
    assert answer["outputs"] == [manifest["output"]]


FLAT = IMAGES.ravel().tolist()
WRONG = {
    "another name": v2(name="picture"),
    "another datatype": v2(datatype="FP32"),
    "another shape": v2(shape=[3, 784]),
    "no images": v2(shape=[0, 28, 28], data=[]),
    "a value too few": v2(data=FLAT[:-1]),
    "256": v2(data=[*FLAT[:-1], 256]),
    "-1": v2(data=[*FLAT[:-1], -1]),
    "a fraction": v2(data=[*FLAT[:-1], 0.5]),
    "not a number": v2(data=[*FLAT[:-1], float("nan")]),
    "a huge number": v2(data=[*FLAT[:-1], 10**30]),
    "text": v2(data=[*FLAT[:-1], "7"]),
    "null": v2(data=[*FLAT[:-1], None]),
    "true for each": v2(data=[True] * len(FLAT)),
    "ragged": v2(data=[[1], [2, 3]]),
    "a mapping": v2(data={"a": 1}),
    "no input": b'{"inputs": []}',
    "two inputs": json.dumps({"inputs": json.loads(v2())["inputs"] * 2}).encode(),
    "empty": b"{}",
    "no JSON": b"{",
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_v2_requests_are_the_clients_fault(one_server, what):
    answer = post(one_server.url, "/v2/models/digits/infer", WRONG[what])
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) in ({"error"}, {"detail"})  # detail: FastAPI's own, before the model is asked


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"instances": 1}', b'{"instances": null}', b'{"instances": []}', b'{"instances": [[1, 2], [3]]}',
     b'{"instances": {"a": 1}}', json.dumps({"instances": (IMAGES[:1] / 2).tolist()}).encode(),
     json.dumps({"instances": IMAGES[:1, :27].tolist()}).encode()],
)  # fmt: skip
def test_wrong_v1_requests_are_the_clients_fault(one_server, body):
    answer = post(one_server.url, "/v1/models/digits:predict", body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def test_an_unknown_model_is_not_found(one_server):
    assert post(one_server.url, "/v2/models/letters/infer", v2()).status_code == 404
    assert post(one_server.url, "/v1/models/letters:predict", b'{"instances": []}').status_code == 404


# -- a good citizen ------------------------------------------------------------------------------------------------------
def test_kserve_listens_on_this_machine_only_and_talks_to_nobody(one_server):
    found = [c for process in _family(one_server.pid) for c in process.net_connections("inet")]
    assert [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN] == ["127.0.0.1"]
    assert {c.raddr.ip for c in found if c.raddr} <= {"127.0.0.1"}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_stop_ends_the_process_well_and_frees_the_port(kserve_python, engine_models):
    with kserve.start(engine_models, engine="onnx") as running:
        family = _family(running.pid)
        assert httpx.get(running.url + "/v2/health/ready").status_code == 200
    assert not [process for process in family if process.is_running()]
    assert running.stop() == 0  # a second time does no harm
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url + "/v2/health/ready")


def test_the_server_ends_with_whoever_started_it(kserve_python, engine_models):
    code = (
        "import sys, time; from helpers.serving import kserve\n"
        "server = kserve.start(sys.argv[1], engine='onnx'); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(engine_models)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
                              env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    try:
        (started,) = _family(int(parent.stdout.readline()))[:1]
        assert started.is_running()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        parent.stdout.close()
    try:
        wait_until(
            lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE, "the server to end", 30
        )
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            started.kill()


@pytest.mark.parametrize(
    ("where", "engine", "words"),
    [("models", "litert-float", "last words: Version 1 of digits has no file for the engine 'litert-float'"),
     ("none", "onnx", "last words: The folder of models"), ("damaged", "onnx", "last words: The file '"),
     ("models", "magic", "error: argument --engine: invalid choice: 'magic'")],
)  # fmt: skip
def test_a_start_that_fails_says_why_in_one_line(kserve_python, engine_models, tmp_path, where, engine, words):
    given = engine_models if where == "models" else tmp_path / where
    if where == "damaged":
        models.write_version(
            given / "digits",
            "1",
            {"onnx": engine_models / "digits/1/model.onnx"},
            labels=list("0123456789"),
            statistics={},
        )
        with (given / "digits/1/model.onnx").open("ab") as file:
            file.write(b"x")
    begun = time.monotonic()
    with pytest.raises(kserve.KServeError) as caught:
        kserve.start(given, engine=engine)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert time.monotonic() - begun < 30


def test_a_start_that_takes_too_long_leaves_nothing_behind(kserve_python, engine_models):
    before = set(psutil.Process().children())
    with pytest.raises(kserve.KServeError, match=r"was not ready within 0\.01 s"):
        kserve.start(engine_models, engine="onnx", seconds=0.01)
    assert set(psutil.Process().children()) <= before
