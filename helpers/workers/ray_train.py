"""Ray Train starts the workers, watches them, and starts them anew after a failure."""

import json
import os
import secrets
import sys

from helpers.workers import mirrored


def train(job, workers):
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.tensorflow import TensorflowTrainer

    ray.init(  # on a real cluster: the address of its head
        num_cpus=workers,
        _node_ip_address="127.0.0.1",
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": {"CUDA_VISIBLE_DEVICES": "-1"}},
    )
    trainer = TensorflowTrainer(
        mirrored.train,  # the same function; Ray writes TF_CONFIG for each worker
        train_loop_config=job,
        scaling_config=ScalingConfig(num_workers=workers),
        run_config=RunConfig(
            storage_path=os.path.join(job["folder"], "ray"),
            failure_config=FailureConfig(max_failures=1),
        ),
    )
    trainer.fit()
    ray.shutdown()
    print(json.dumps({"ray": ray.__version__, "workers": workers}), flush=True)


if __name__ == "__main__":
    train(json.loads(sys.argv[1]), int(sys.argv[2]))
