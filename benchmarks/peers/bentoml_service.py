"""BentoML with its defaults."""

import bentoml
import numpy as np
import pandas as pd
from model import fit_classifier


@bentoml.service
class Classifier:
    def __init__(self) -> None:
        self.model = fit_classifier()

    @bentoml.api
    def predict(self, rows: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(rows)
