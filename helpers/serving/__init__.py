"""A service for models that classify small images, and the tools to try it.

``python -m helpers.serving MODELS`` serves a folder of models; :func:`start` does the same from a notebook, in a process
of its own. The service speaks the Open Inference Protocol V2 (the one of KServe, Triton and MLServer).

============  =====================================================================
module        what it holds
============  =====================================================================
models        versions of a model on disk: written, verified, activated, rolled back
manifests     what a version is made of, with digests
engines       LiteRT and ONNX Runtime behind one call
drift         has the input changed since training? (population stability index)
images        a PNG from anywhere becomes a digit as the training data has them
load          a load generator: rate, status codes, percentiles
process       start and stop the service from a notebook
protocol      what a request must look like; one sentence when it does not
batching      one thread computes; whoever waits goes together
live          the active version of a model, swapped while requests come in
observers     after the answer: input statistics and the shadow version
guard         around every request: id, token, limits, log line
connections   slow and too many clients
app           one worker process
supervisor    several of them, replaced when they die
inference     the endpoints that compute
routes        the others: health, metadata, releases
operations    the OpenAPI document
metrics, logs for Prometheus, for people
__main__      the command line
============  =====================================================================
"""

from helpers.serving.process import Service, ServiceError, start

__all__ = ["Service", "ServiceError", "start"]
