"""Run by the doctor in a process of its own: what TensorFlow sees, and whether a convolution works on each card."""

import json

import tensorflow as tf

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
print("FOUND " + json.dumps(found), flush=True)
try:
    for number in range(len(gpus)):
        with tf.device(f"/GPU:{number}"):
            tf.nn.conv2d(tf.ones((1, 8, 8, 1)), tf.ones((3, 3, 1, 1)), strides=1, padding="SAME").numpy()
    found["error"] = ""
except Exception as error:
    found["error"] = " ".join(str(error).split())[:300] or type(error).__name__
print("FOUND " + json.dumps(found), flush=True)
