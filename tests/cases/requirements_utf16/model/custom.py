import packaging
import pandas as pd


def load_model(code_dir):
    return float(packaging.__version__.split(".")[0])


def score(data, model, **kwargs):
    return pd.DataFrame({"Predictions": [model] * len(data)})
