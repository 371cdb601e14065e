"""Existing engines: the same model and the same request behind KServe's server; manifests that their engines can read.

What needs KServe's environment is skipped where ``.venv-kserve`` is absent; with ``CI`` set the environment is made.
"""

import copy
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import numpy as np
import onnx
import psutil
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from book import BookError, environment
from book.paths import REPOSITORY
from conftest import wait_until
from helpers import serving
from helpers.serving import engines, kserve, models

FOLDER = REPOSITORY / "engines"
LOCK = (FOLDER / "kserve/requirements.lock").read_text(encoding="utf-8")
MANIFESTS = ("kserve/inferenceservice.yaml", "kserve/inferenceservice-canary.yaml", "kubernetes/own-service.yaml")
CONFIGURATIONS = ("triton/digits/config.pbtxt", "tensorflow-serving/models.config")


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    if not kserve.available():
        if not os.environ.get("CI"):
            pytest.skip("KServe's environment is absent: python3 -m book setup --engine kserve (or set CI) to run this")
        environment.ensure(engine="kserve")
    return REPOSITORY / ".venv-kserve/bin/python"


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


def test_setup_of_an_unknown_engine_is_one_sentence(tmp_path):
    with pytest.raises(BookError, match=r"no engine 'trition'.*choose from: kserve\.$"):
        environment.ensure(tmp_path, engine="trition")


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


# -- manifests -----------------------------------------------------------------------------------------------------------
def check(python: Path, *files: Path) -> subprocess.CompletedProcess:
    command = [str(python), str(FOLDER / "check.py"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_engines_can_read_their_files(kserve_python):
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*") if path.suffix in _CHECKED}
    assert found == {*MANIFESTS, *CONFIGURATIONS}
    done = check(kserve_python, *(FOLDER / name for name in sorted(found)))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


_CHECKED = {".yaml", ".yml", ".pbtxt", ".config"}
# Below these the names are the user's own, or those of resources: no schema knows them.
_FREE = {"labels", "matchLabels", "selector", "requests", "limits", "annotations"}


def fields(node: object, path: tuple = ()) -> list[tuple]:
    """Paths of all named fields of a document whose names a schema knows."""
    if isinstance(node, list):
        return [found for i, one in enumerate(node) for found in fields(one, (*path, i))]
    if not isinstance(node, dict):
        return []
    here = [] if path and path[-1] in _FREE and "matchLabels" not in node else [(*path, key) for key in node]
    return here + [found for key, one in node.items() for found in fields(one, (*path, key))]


def test_a_typo_in_any_field_of_a_manifest_is_found(kserve_python, tmp_path):
    files = []
    for name in MANIFESTS:
        for number, document in enumerate(documents(name)):
            for path in fields(document):
                broken = copy.deepcopy(document)
                node = broken
                for step in path[:-1]:
                    node = node[step]
                node[path[-1] + "s"] = node.pop(path[-1])
                files.append(tmp_path / f"{Path(name).stem}-{number}-{len(files)}.yaml")
                files[-1].write_text(f"# {path}\n" + yaml.safe_dump(broken))
    assert len(files) > 120
    done = check(kserve_python, *files)
    silent = [file.read_text().splitlines()[0] for file in files if f"{file}:" not in done.stderr]
    assert done.returncode == 1
    assert not silent


FAULTS = [
    ("kubernetes/own-service.yaml", "replicas: 2", "replicas: two"),
    ("kubernetes/own-service.yaml", "runAsNonRoot: true", "runAsNonRoot: 1"),
    ("kubernetes/own-service.yaml", "drop: [ALL]", "drop: ALL"),
    ("kubernetes/own-service.yaml", "apiVersion: apps/v1", "apiVersion: apps/v1beta1"),
    ("kubernetes/own-service.yaml", "  selector:\n    matchLabels: {app: digits}\n", ""),
    ("kserve/inferenceservice.yaml", "        name: onnx\n", "        format: onnx\n"),
    ("kserve/inferenceservice.yaml", 'modelFormat:\n        name: onnx\n        version: "1"', "modelFormat: onnx"),
    ("kserve/inferenceservice-canary.yaml", "canaryTrafficPercent: 10", "canaryTrafficPercent: a tenth"),
    ("triton/digits/config.pbtxt", "TYPE_UINT8", "UINT8"),
    ("triton/digits/config.pbtxt", "max_batch_size: 32", 'max_batch_size: "32"'),
    ("tensorflow-serving/models.config", "value: 2", "value: two"),
    ("tensorflow-serving/models.config", "    base_path", "    }\n    base_path"),
]


def test_wrong_values_and_missing_fields_are_found(kserve_python, tmp_path):
    files = []
    for number, (name, old, new) in enumerate(FAULTS):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert old in text
        files.append(tmp_path / f"{number}-{Path(name).name}")
        files[-1].write_text(text.replace(old, new, 1))
    done = check(kserve_python, *files)
    assert done.returncode == 1
    assert not [fault for file, fault in zip(files, FAULTS, strict=True) if f"{file}: " not in done.stderr]
    assert len(done.stderr.splitlines()) == len(FAULTS)  # one line each, no trace


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_typo_in_any_field_of_a_configuration_is_found(kserve_python, tmp_path, name):
    text = re.sub(r"#.*", "", (FOLDER / name).read_text(encoding="utf-8"))
    spots = [found.end() for found in re.finditer(r"\b[a-z_]+(?=\s*[:{])", text)]
    files = [tmp_path / f"{i}{Path(name).suffix}" for i in range(len(spots))]
    for file, spot in zip(files, spots, strict=True):
        file.write_text(text[:spot] + "s" + text[spot:])
    assert len(files) > 10
    done = check(kserve_python, *files)
    assert not [file.read_text() for file in files if f"{file}:" not in done.stderr]


def as_dict(python: Path, name: str) -> dict:
    """A configuration in protobuf's text format, read with the message types of its engine."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import check\n"
        "from google.protobuf import json_format, text_format\n"
        "kind = check._triton().ModelConfig if sys.argv[2].endswith('.pbtxt') else check.ModelServerConfig\n"
        "print(json_format.MessageToJson(text_format.Parse(open(sys.argv[2]).read(), kind())))"
    )
    done = subprocess.run(
        [str(python), "-c", code, str(FOLDER), str(FOLDER / name)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_triton_is_told_the_models_own_input_and_output(kserve_python, folder):
    config = as_dict(kserve_python, "triton/digits/config.pbtxt")
    model = onnx.load(folder / "digits/1/model.onnx").graph
    kinds = {TensorProto.UINT8: "TYPE_UINT8", TensorProto.FLOAT: "TYPE_FP32"}
    for given, real in ((config["input"], model.input), (config["output"], model.output)):
        (given,), (real,) = given, real
        assert given["name"] == real.name
        assert given["dataType"] == kinds[real.type.tensor_type.elem_type]
        # With a batch size the first dimension of the file is Triton's own.
        assert [int(n) for n in given["dims"]] == [d.dim_value for d in real.type.tensor_type.shape.dim][1:]
    assert config["name"] == "digits"
    assert config["maxBatchSize"] >= 1
    assert "dynamicBatching" in config


def test_tensorflow_serving_labels_versions_that_it_loads(kserve_python):
    (model,) = as_dict(kserve_python, "tensorflow-serving/models.config")["modelConfigList"]["config"]
    loaded = model["modelVersionPolicy"]["specific"]["versions"]
    assert len(loaded) == 2
    assert set(model["versionLabels"]) == {"stable", "canary"}
    assert sorted(model["versionLabels"].values()) == sorted(loaded)
    assert model["basePath"].endswith(f"/{model['name']}")


def test_canary_differs_from_stable_in_its_share_and_its_model_only():
    (stable,), (canary,) = (
        documents(f"kserve/{name}.yaml") for name in ("inferenceservice", "inferenceservice-canary")
    )
    assert 0 < canary["spec"]["predictor"].pop("canaryTrafficPercent") < 50
    stable_from, canary_from = (d["spec"]["predictor"]["model"].pop("storageUri") for d in (stable, canary))
    assert stable_from != canary_from
    assert canary == stable


def test_kubernetes_runs_our_service_safely_and_lets_it_drain():
    from helpers.serving.__main__ import GRACE, _parser

    deployment, service = documents("kubernetes/own-service.yaml")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert container["command"][:3] == ["python", "-m", "helpers.serving"]
    options = _parser().parse_args(container["command"][3:])
    (port,) = container["ports"]
    assert (options.host, options.port) == ("0.0.0.0", port["containerPort"])
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert str(options.models) in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    assert pod["terminationGracePeriodSeconds"] > container["lifecycle"]["preStop"]["sleep"]["seconds"] + GRACE
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    for amounts in container["resources"].values():
        assert set(amounts) == {"cpu", "memory"}


def test_probes_ask_what_our_service_answers(folder):
    asked = {
        found["httpGet"]["path"]
        for name in MANIFESTS
        for document in documents(name)
        for found in _probes(document)
    }  # fmt: skip
    assert asked == {"/v2/health/live", "/v2/health/ready"}
    with serving.start(folder, engine="onnx") as own:
        for path in asked:
            assert httpx.get(own.url + path).status_code == 200


def _probes(node: object) -> list[dict]:
    if isinstance(node, list):
        return [found for one in node for found in _probes(one)]
    if not isinstance(node, dict):
        return []
    here = [one for key, one in node.items() if key.endswith("Probe")]
    return here + [found for one in node.values() for found in _probes(one)]


# -- the same model, the same bytes --------------------------------------------------------------------------------------
def _linear(path: Path, weights: np.ndarray, bias: np.ndarray) -> Path:
    """logits = pixels / 255 @ weights + bias, in ONNX."""
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["products"]),
        helper.make_node("Add", ["products", "bias"], ["logits"]),
    ]
    constants = {"flat": np.array([-1, 784]), "weights": weights / np.float32(255), "bias": bias}
    graph = helper.make_graph(
        nodes, "linear",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 28, 28])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


@pytest.fixture(scope="module")
def linear() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return rng.normal(size=(784, 10)).astype(np.float32), rng.normal(size=10).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, linear) -> Path:
    """A folder of models with two versions of one model; the older one is active."""
    root = tmp_path_factory.mktemp("models")
    for version, sign in (("1", 1), ("2", -1)):
        file = _linear(root / "linear.onnx", sign * linear[0], linear[1])
        models.write_version(root / "digits", version, {"onnx": file}, labels=list("0123456789"), statistics={})
    models.activate(root / "digits", "1")
    return root


@pytest.fixture(scope="module")
def server(kserve_python, folder):
    with kserve.start(folder, engine="onnx") as running:
        yield running


IMAGES = np.random.default_rng(12).integers(0, 256, size=(3, 28, 28), dtype=np.uint8)
_JSON = {"content-type": "application/json"}


def v2(**changes) -> bytes:
    tensor = {"name": "image", "shape": [3, 28, 28], "datatype": "UINT8", "data": IMAGES.ravel().tolist(), **changes}
    return json.dumps({"id": "three", "inputs": [tensor]}).encode()


def post(url: str, path: str, body: bytes) -> httpx.Response:
    return httpx.post(url + path, content=body, headers=_JSON, timeout=20)


def test_the_same_request_gets_the_same_logits_everywhere(server, folder, linear):
    expected = IMAGES.reshape(3, 784).astype(np.float32) / 255 @ linear[0] + linear[1]
    np.testing.assert_allclose(engines.load(folder / "digits", "1", "onnx")(IMAGES), expected, atol=1e-4)
    v1 = json.dumps({"instances": IMAGES.tolist()}).encode()
    with serving.start(folder, engine="onnx") as own:
        for path, body in (("/v2/models/digits/infer", v2()), ("/v1/models/digits:predict", v1)):
            ours, theirs = (post(url, path, body) for url in (own.url, server.url))
            assert (ours.status_code, theirs.status_code) == (200, 200)
            np.testing.assert_allclose(_logits(theirs.json()), _logits(ours.json()), atol=1e-5, rtol=0)
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


def test_nested_data_and_a_missing_id_are_accepted(server):
    nested = json.loads(v2(data=IMAGES.tolist()))
    del nested["id"]
    answer = post(server.url, "/v2/models/digits/infer", json.dumps(nested).encode())
    assert answer.status_code == 200
    same = post(server.url, "/v2/models/digits/infer", v2()).json()
    assert answer.json()["outputs"] == same["outputs"]


def test_metadata_is_that_of_the_manifest(server, folder):
    manifest = models.read_manifest(folder / "digits", "1")
    answer = httpx.get(server.url + "/v2/models/digits").json()
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
def test_wrong_v2_requests_are_the_clients_fault(server, what):
    answer = post(server.url, "/v2/models/digits/infer", WRONG[what])
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) in ({"error"}, {"detail"})  # detail: FastAPI's own, before the model is asked


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b"{}", b'{"instances": 1}', b'{"instances": null}', b'{"instances": []}', b'{"instances": [[1, 2], [3]]}',
     b'{"instances": {"a": 1}}', json.dumps({"instances": (IMAGES[:1] / 2).tolist()}).encode(),
     json.dumps({"instances": IMAGES[:1, :27].tolist()}).encode()],
)  # fmt: skip
def test_wrong_v1_requests_are_the_clients_fault(server, body):
    answer = post(server.url, "/v1/models/digits:predict", body)
    assert answer.status_code == 400
    assert isinstance(answer.json()["error"], str)


def test_an_unknown_model_is_not_found(server):
    assert post(server.url, "/v2/models/letters/infer", v2()).status_code == 404
    assert post(server.url, "/v1/models/letters:predict", b'{"instances": []}').status_code == 404


# -- a good citizen ------------------------------------------------------------------------------------------------------
def test_kserve_listens_on_this_machine_only_and_talks_to_nobody(server):
    found = [c for process in _family(server.pid) for c in process.net_connections("inet")]
    assert [c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN] == ["127.0.0.1"]
    assert {c.raddr.ip for c in found if c.raddr} <= {"127.0.0.1"}


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def test_stop_ends_the_process_well_and_frees_the_port(kserve_python, folder):
    with kserve.start(folder, engine="onnx") as running:
        family = _family(running.pid)
        assert httpx.get(running.url + "/v2/health/ready").status_code == 200
    assert not [process for process in family if process.is_running()]
    assert running.stop() == 0  # a second time does no harm
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url + "/v2/health/ready")


def test_the_server_ends_with_whoever_started_it(kserve_python, folder):
    code = (
        "import sys, time; from helpers.serving import kserve\n"
        "server = kserve.start(sys.argv[1], engine='onnx'); print(server.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
                              env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    try:
        (started,) = _family(int(parent.stdout.readline()))[:1]
        assert started.is_running()
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        parent.stdout.close()
    wait_until(lambda: not started.is_running() or started.status() == psutil.STATUS_ZOMBIE, "the server to end", 30)


@pytest.mark.parametrize(
    ("where", "engine", "words"),
    [("models", "litert", "last words: Version 1 of digits has no file for the engine 'litert'"),
     ("none", "onnx", "last words: The folder of models"), ("damaged", "onnx", "last words: The file '"),
     ("models", "magic", "error: argument --engine: invalid choice: 'magic'")],
)  # fmt: skip
def test_a_start_that_fails_says_why_in_one_line(kserve_python, folder, tmp_path, where, engine, words):
    given = folder if where == "models" else tmp_path / where
    if where == "damaged":
        models.write_version(
            given / "digits", "1", {"onnx": folder / "linear.onnx"}, labels=list("0123456789"), statistics={}
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


def test_a_start_that_takes_too_long_leaves_nothing_behind(kserve_python, folder):
    with pytest.raises(kserve.KServeError, match=r"was not ready within 0\.01 s"):
        kserve.start(folder, engine="onnx", seconds=0.01)
    assert not [one for one in psutil.Process().children() if "kserve" in " ".join(one.cmdline())]
