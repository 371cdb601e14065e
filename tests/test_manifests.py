"""Manifests and configurations in ``engines/``: their engines can read them, and they say what the service needs.

They are read in KServe's environment, into the typed models and message types of the packages there.
"""

import copy
import json
import re
import subprocess
from pathlib import Path

import httpx
import onnx
import pytest
import yaml
from onnx import TensorProto

from book.paths import REPOSITORY
from helpers import serving
from helpers.serving.__main__ import GRACE, _parser

FOLDER = REPOSITORY / "engines"
MANIFESTS = ("kserve/inferenceservice.yaml", "kserve/inferenceservice-canary.yaml", "kubernetes/own-service.yaml")
CONFIGURATIONS = ("triton/digits/config.pbtxt", "tensorflow-serving/models.config")


def documents(name: str) -> list[dict]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


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
    ("kubernetes/own-service.yaml", "port: 80,", "port: eighty,"),  # in the second document of its file
    ("kserve/inferenceservice.yaml", "    model:\n", "    model:\n      env: none\n"),
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


def test_triton_is_told_the_models_own_input_and_output(kserve_python, engine_models):
    config = as_dict(kserve_python, "triton/digits/config.pbtxt")
    model = onnx.load(engine_models / "digits/1/model.onnx").graph
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


def test_probes_ask_what_our_service_answers(engine_models):
    asked = {
        found["httpGet"]["path"]
        for name in MANIFESTS
        for document in documents(name)
        for found in _probes(document)
    }  # fmt: skip
    assert asked == {"/v2/health/live", "/v2/health/ready"}
    with serving.start(engine_models, engine="onnx") as own:
        for path in asked:
            assert httpx.get(own.url + path).status_code == 200


def _probes(node: object) -> list[dict]:
    if isinstance(node, list):
        return [found for one in node for found in _probes(one)]
    if not isinstance(node, dict):
        return []
    here = [one for key, one in node.items() if key.endswith("Probe")]
    return here + [found for one in node.values() for found in _probes(one)]
