"""Ray Train starts the workers of :mod:`helpers.workers.mirrored`, watches them, and starts them anew after a failure."""

import json
import os
import secrets
import sys

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer

from helpers.workers import mirrored

job, workers = json.loads(sys.argv[1]), int(sys.argv[2])
in_workers = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
ray.init(  # on a real cluster: ray.init("auto"), or an address
    num_cpus=workers,
    _node_ip_address="127.0.0.1",
    include_dashboard=False,
    log_to_driver=False,
    runtime_env={"env_vars": in_workers},
)
TensorflowTrainer(
    mirrored.train,  # Ray writes TF_CONFIG for each worker
    train_loop_config=job,
    scaling_config=ScalingConfig(num_workers=workers, resources_per_worker={"CPU": 1}),
    run_config=RunConfig(
        storage_path=os.path.join(job["folder"], "ray"), failure_config=FailureConfig(max_failures=1)
    ),
).fit()
ray.shutdown()
print(json.dumps({"ray": ray.__version__, "workers": workers}), flush=True)
