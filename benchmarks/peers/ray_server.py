"""Ray Serve with its defaults."""

import signal
import sys
from typing import Any

import pandas as pd
import ray
from model import fit_classifier
from ray import serve
from starlette.requests import Request


@serve.deployment
class Classifier:
    def __init__(self) -> None:
        self.model = fit_classifier()

    async def __call__(self, request: Request) -> Any:
        frame = pd.DataFrame(await request.json())
        return {"predictions": self.model.predict_proba(frame).tolist()}


if __name__ == "__main__":
    ray.init(include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    serve.run(Classifier.bind())
    signal.pause()
