import pandas as pd

PRICE = {"1": 10.0, "2": 20.0, "A": 30.0}


def load_model(code_dir):
    return PRICE


def score(data, model, **kwargs):
    return pd.DataFrame({"Predictions": data["code"].map(model).fillna(0.0)})
