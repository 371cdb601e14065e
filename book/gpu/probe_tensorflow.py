"""Run by the doctor in a process of its own: what TensorFlow sees, and whether each card does every kind of work.

The kinds fail for different reasons: a convolution is done by cuDNN, a product of elements by kernels of TensorFlow's own,
and a compiled function by XLA. Keras compiles the training of most models.
"""

import json

import tensorflow as tf


def tell(**more: str) -> None:
    print("FOUND " + json.dumps(found | more), flush=True)


info = tf.sysconfig.get_build_info()
gpus = tf.config.list_physical_devices("GPU")
found = {
    "version": tf.__version__,
    "cuda_build": bool(info.get("is_cuda_build")),
    "cuda": info.get("cuda_version", ""),
    "cudnn": info.get("cudnn_version", ""),
    "capabilities": list(info.get("cuda_compute_capabilities", [])),
    "gpus": [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus],
}
WORK = {
    "a convolution": lambda x: tf.nn.conv2d(x, tf.ones((3, 3, 1, 1)), strides=1, padding="SAME"),
    "a product of elements": lambda x: x * x,
    "a compiled function": tf.function(lambda x: tf.reduce_sum(x * x), jit_compile=True),
}
work = ""
try:
    for number in range(len(gpus)):
        with tf.device(f"/GPU:{number}"):
            for work, function in WORK.items():
                tell(work=work)
                function(tf.ones((1, 8, 8, 1))).numpy()
    tell()
except Exception as error:
    tell(work=work, error=" ".join(str(error).split())[:300] or type(error).__name__)
