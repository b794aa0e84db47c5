import pandas as pd


def load_model(code_dir):
    return None


def score(data, model, **kwargs):
    return pd.DataFrame({"010": [1.0] * len(data)})
