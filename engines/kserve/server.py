"""A folder of models behind KServe's own server, without Kubernetes: protocols V2 and V1 from one class."""

import argparse

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer, model_server
from kserve.errors import InvalidInput

from helpers.serving import engines, models


class Served(Model):
    """The active version of one model. KServe hands over the values as they came: to check them is our part."""

    def __init__(self, folder, engine: str):
        super().__init__(folder.name)
        self.run, self.ready = engines.load(folder, models.active(folder)["version"], engine), True
        self.input, self.output = self.run.manifest["input"], self.run.manifest["output"]

    def get_input_types(self) -> list[dict]:
        return [self.input]

    def get_output_types(self) -> list[dict]:
        return [self.output]

    def predict(self, payload: InferRequest | dict, headers=None) -> InferResponse | dict:
        if isinstance(payload, dict) and "instances" in payload:  # V1
            return {"predictions": self.run(self.batch(payload["instances"])).tolist()}
        given = [(one.name, one.datatype) for one in payload.inputs] if isinstance(payload, InferRequest) else payload
        if given != [(self.input["name"], self.input["datatype"])]:
            raise InvalidInput(f"Give one input '{self.input['name']}', or V1's 'instances'; got {given!s:.99}.")
        logits = self.run(self.batch(payload.inputs[0].data, payload.inputs[0].shape))
        output = InferOutput(self.output["name"], list(logits.shape), self.output["datatype"], logits.ravel().tolist())
        return InferResponse(payload.id or "", self.name, [output], self.run.manifest["version"])  # no id: error 500

    def batch(self, data: list, shape: list[int] | None = None) -> np.ndarray:
        try:
            batch = np.array(data) if shape is None else np.array(data).reshape(shape)
        except (ValueError, OverflowError) as error:
            raise InvalidInput(f"The values do not fit the shape: {error}") from error
        fits = batch.size > 0 and list(batch.shape[1:]) == self.input["shape"][1:] and batch.dtype.kind in "iu"
        if not fits or batch.min() < 0 or batch.max() > 255:
            raise InvalidInput(f"The model takes whole numbers from 0 to 255 of shape {self.input['shape']}.")
        return batch.astype(np.uint8)


class LocalServer(ModelServer):
    async def _serve(self):
        self._rest_server.config.host = "127.0.0.1"  # KServe's own choice is every address of the machine
        await super()._serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, parents=[model_server.parser])
    parser.add_argument("folder", help="of models; --engine says which of their files answers")
    parser.add_argument("--engine", choices=models.ENGINES, default="litert")
    options = parser.parse_args()
    try:
        served = [Served(folder, options.engine) for folder in models.find_models(options.folder).values()]
    except models.ModelError as error:
        parser.exit(2, f"{error}\n")
    LocalServer(enable_grpc=False).start(served)
