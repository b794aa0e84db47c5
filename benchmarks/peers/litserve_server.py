"""LitServe with its defaults."""

import sys
from typing import Any

import litserve
import pandas as pd
from model import fit_classifier


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self.model = fit_classifier()

    def decode_request(self, request) -> pd.DataFrame:
        return pd.DataFrame(request)

    def predict(self, frame: pd.DataFrame) -> Any:
        return self.model.predict_proba(frame)

    def encode_response(self, output: Any) -> Any:
        return {"predictions": output.tolist()}


if __name__ == "__main__":
    litserve.LitServer(Api()).run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
