"""Groups of worker processes, and the engines of chapter 9: the same training on each ends with the same weights.

What needs ``.venv-ray`` or ``.venv-jax`` is skipped where it is absent; with ``CI`` set the environment is made.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from book import environment
from book.paths import REPOSITORY
from conftest import wait_until
from helpers import cluster, optimisers
from helpers.network import Network
from helpers.workers import rows

TALKER = """
import json, sys, time
print("chatter of a library")
print('{"half')
for k in range(int(sys.argv[1])):
    print(json.dumps({"worker": sys.argv[2], "k": k}))
    time.sleep(0.01)
if len(sys.argv) > 3:
    raise SystemExit(sys.argv[3])
"""
SLEEPER = """
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
while True:
    print(json.dumps({"child": child.pid}))
    time.sleep(0.05)
"""


@pytest.fixture
def talker(tmp_path):
    file = tmp_path / "talker.py"
    file.write_text(TALKER)
    return file


@pytest.fixture
def sleeper(tmp_path):
    file = tmp_path / "sleeper.py"
    file.write_text(SLEEPER)
    return file


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# -- groups --------------------------------------------------------------------------------------------------------------
def test_what_workers_say_arrives_in_order_and_chatter_does_not(talker):
    with cluster.Group(talker, [["3", "a"], ["5", "b"]]) as group:
        said = group.finish(60)
        assert group.statuses() == [0, 0]
    for name, count in (("a", 3), ("b", 5)):
        assert [m["k"] for m in said if m["worker"] == name] == list(range(count))


def test_nothing_that_was_said_before_the_end_is_lost(talker):
    with cluster.Group(talker, [["50", "a"]]) as group:
        wait_until(lambda: group.statuses() == [0], "the worker to end")
        said = []
        while group.running():
            said += group.messages()
    assert len(said) == 50


def test_a_failure_names_the_worker_and_its_last_words(talker):
    with (
        cluster.Group(talker, [["1", "a"], ["1", "b", "no space left"]]) as group,
        pytest.raises(cluster.ClusterError, match=r"worker 1 ended with status 1; its last words: no space left"),
    ):
        group.finish(60)


def test_workers_that_take_too_long_are_named(sleeper):
    with (
        cluster.Group(sleeper, [[]]) as group,
        pytest.raises(cluster.ClusterError, match=r"not ended within 0\.1 s; statuses \[None\]"),
    ):
        group.finish(0.1)


def test_leaving_the_block_ends_workers_and_their_children_even_frozen_ones(sleeper):
    with cluster.Group(sleeper, [[], []]) as group:
        children = set()
        end = time.monotonic() + 60
        while len(children) < 2 and time.monotonic() < end:
            children |= {message["child"] for message in group.messages()}
        pids = [*group.pids, *children]
        assert all(map(alive, pids))
        group.freeze(0)
    assert len(pids) == 4
    assert not any(map(alive, pids))
    group.stop()  # a second time does no harm


def test_a_frozen_worker_is_silent_though_it_runs(sleeper):
    with cluster.Group(sleeper, [[], []]) as group:
        wait_until(lambda: len(group.messages()) >= 2 and group.silence() < 0.5, "both to speak")
        group.freeze(1)
        wait_until(lambda: group.silence() > 1, "the silence")
        assert group.statuses() == [None, None]
        assert group.messages()  # the other one


def test_workers_end_with_whoever_started_them(sleeper):
    code = (
        "import sys, time; from helpers import cluster\n"
        "group = cluster.Group(sys.argv[1], [[]]); print(group.pids[0], flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, str(sleeper)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY,
                              env={**os.environ, "PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    worker = int(parent.stdout.readline())
    family = [worker]
    try:
        wait_until(lambda: psutil.Process(worker).children(), "the worker's child")
        family += [child.pid for child in psutil.Process(worker).children()]
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(30)
        parent.stdout.close()
    wait_until(lambda: not alive(worker), "the worker to end", 30)
    for pid in family[1:]:  # a grandchild that ignores its parent is not the group's to find then
        if alive(pid):
            psutil.Process(pid).kill()


def test_the_addresses_that_a_worker_listens_on(tmp_path):
    file = tmp_path / "listener.py"
    file.write_text(
        "import socket, time\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "print('{}', flush=True); time.sleep(600)"
    )
    with cluster.Group(file, [[]]) as group:
        wait_until(group.messages, "the worker to listen")
        assert group.listens_on() == {"127.0.0.1"}
    assert group.listens_on() == set()


def test_programs_that_do_not_exist_are_refused(tmp_path):
    with pytest.raises(cluster.ClusterError, match="does not exist"):
        cluster.Group(tmp_path / "none.py", [[]])
    with pytest.raises(cluster.ClusterError, match=r"no worker program 'horovod'; there are .*'mirrored'"):
        cluster.program("horovod")


def test_addresses_are_local_free_and_different():
    addresses = cluster.free_addresses(20)
    assert len(set(addresses)) == 20
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", a) for a in addresses)


def test_tensorflow_config_says_who_is_who():
    config = json.loads(cluster.tensorflow_config(["a:1", "b:2"], 1)["TF_CONFIG"])
    assert config == {"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}


def test_rows_depend_on_seed_and_step_only():
    job = {"seed": 3, "batch": 16}
    first = rows(job, 5, 100)
    assert len(set(first.tolist())) == 16
    assert first.max() < 100
    np.testing.assert_array_equal(first, rows({**job, "steps": 9}, 5, 100))
    assert not np.array_equal(first, rows(job, 6, 100))
    assert not np.array_equal(first, rows({**job, "seed": 4}, 5, 100))


# -- engines -------------------------------------------------------------------------------------------------------------
def test_an_engine_counts_only_with_the_environment_of_its_lock(monkeypatch, tmp_path):
    monkeypatch.setattr(cluster, "ROOT", tmp_path)
    with pytest.raises(cluster.ClusterError, match="no engine 'ray'"):
        cluster.engine_python("ray")
    lock, folder = tmp_path / "engines/ray/requirements.lock", tmp_path / ".venv-ray"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    for path in (lock, python):
        path.parent.mkdir(parents=True)
        path.write_text("x==1\n")
    assert cluster.engine_python("ray") is None
    (folder / "book-lock.sha256").write_text(hashlib.sha256(lock.read_bytes()).hexdigest() + " 3.11\n")
    assert cluster.engine_python("ray") == python
    lock.write_text("x==2\n")
    assert cluster.engine_python("ray") is None


@pytest.mark.parametrize(("engine", "absent"), [("ray", "torch"), ("jax", "tensorflow")])
def test_locks_fit_their_requirements_and_have_hashes_only(engine, absent):
    folder = REPOSITORY / "engines" / engine
    text = (folder / "requirements.lock").read_text(encoding="utf-8")
    locked = {}
    for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.M):
        locked.setdefault(canonicalize_name(name), []).append(Version(version))
    lines = (folder / "requirements.in").read_text(encoding="utf-8").splitlines()
    for requirement in [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]:
        assert all(version in requirement.specifier for version in locked[canonicalize_name(requirement.name)])
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[\w.-]+==\S+", entry), entry[:80]
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry[:80]
    assert not re.search(r"https?:|--(extra-)?index|--find-links|file:", text)
    assert absent not in locked


@pytest.fixture(scope="module", params=["jax", "ray"])
def engine(request) -> tuple[str, Path]:
    """Name and Python of an engine; made if ``CI`` is set, else the test is skipped where it is absent."""
    if cluster.engine_python(request.param) is None:
        if not os.environ.get("CI"):
            pytest.skip(f"the environment is absent; make it with: python3 -m book setup --engine {request.param}")
        environment.ensure(engine=request.param)
    return request.param, cluster.engine_python(request.param)


def test_every_package_of_an_engine_is_made_for_the_pythons_of_the_book(engine):
    """Resolvers take no notice of an upper bound on Python, pip does: such a lock installs nowhere."""
    code = (
        "from importlib.metadata import distributions\n"
        "for d in distributions(): print(d.name, d.metadata.get('Requires-Python') or '', sep='|')"
    )
    lines = subprocess.run([str(engine[1]), "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(lines) > 15
    for line in lines:
        name, wanted = line.split("|")
        missing = [v for v in ("3.11.0", "3.12.0", "3.13.0") if v not in Requirement(f"x{wanted}").specifier]
        assert not missing or name == "scipy", (name, wanted)  # scipy is locked twice, by the version of Python


def test_two_workers_of_an_engine_reach_the_weights_of_one(engine, tmp_path):
    """The truth is NumPy, one worker; Ray runs the TensorFlow loop of the chapter, JAX runs ``fit``."""
    name, python = engine
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 20), dtype=np.float32), rng.integers(0, 3, 300).astype("int32")
    network = Network((20, 8, 3), ("relu", "softmax"), "categorical_crossentropy", seed=1)
    np.savez(tmp_path / "job.npz", x=x, y=y, **{f"w{k}": w.copy() for k, w in enumerate(network.parameters)})
    job = {"data": str(tmp_path / "job.npz"), "folder": str(tmp_path), "seed": 0, "batch": 32, "steps": 12, "every": 5,
           "learning_rate": 0.2, "momentum": 0.9}  # fmt: skip
    optimiser = optimisers.momentum(0.2, 0.9)
    state = optimiser.init(network.vector)
    for step in range(12):
        mine = rows(job, step, 300)
        _, parts = network.gradients(x[mine], y[mine])
        optimiser.update(network.vector, np.concatenate([p.ravel() for p in parts]), state)
    text, (address,) = json.dumps(job), cluster.free_addresses(1)
    program, arguments = {
        "jax": ("keras_jax", [[text, address, "0", "2"], [text, address, "1", "2"]]),
        "ray": ("ray_train", [[text, "2"]]),
    }[name]
    with cluster.Group(cluster.program(program), arguments, python=python) as group:
        said = group.finish(400)
    assert said
    for worker in (0, 1):
        with np.load(tmp_path / f"final_{worker}.npz") as saved:
            found = np.concatenate([saved[key].ravel() for key in saved.files])
        np.testing.assert_allclose(found, network.vector, atol=1e-5, rtol=0)


FIT = """
import json
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import keras, numpy as np
with strategy.scope():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
try:
    model.fit(np.ones((16, 4), "float32"), np.ones((16, 2), "float32"), batch_size=8, verbose=0)
    print(json.dumps({"outcome": "works"}))
except ValueError as error:
    print(json.dumps({"outcome": str(error)}))
"""


def test_fit_of_keras_fails_under_the_strategy_for_several_workers(tmp_path):
    """Chapter 9 says so, and writes the loop out for that reason. When this fails, the chapter can be simpler."""
    file = tmp_path / "fit.py"
    file.write_text(FIT)
    addresses = cluster.free_addresses(2)
    with cluster.Group(file, [[], []], [cluster.tensorflow_config(addresses, k) for k in (0, 1)]) as group:
        outcomes = [message["outcome"] for message in group.finish(120)]
    assert len(outcomes) == 2
    assert all(outcome.startswith("Attempt to convert a value (PerReplica") for outcome in outcomes)
