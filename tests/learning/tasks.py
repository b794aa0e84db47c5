"""The code of small tasks, good and bad."""

FILL = """
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        pd.to_pickle(X.median(numeric_only=True), output_dir + "/medians.pkl")

    def load_model(input_dir):
        return pd.read_pickle(input_dir + "/medians.pkl")

    def transform(X, transformer):
        return X[list(transformer.index)].fillna(transformer)
"""
LOGISTIC = """
    import pickle
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fit(X, y, output_dir, class_order, row_weights, parameters, **kwargs):
        model = make_pipeline(StandardScaler(), LogisticRegression(C=parameters["C"]))
        model.fit(X, y, logisticregression__sample_weight=row_weights)
        print("fitted with C =", parameters["C"], "weights", row_weights is not None)
        with open(output_dir + "/model.pkl", "wb") as file:
            pickle.dump(model, file)
"""
LOGISTIC_METADATA = """
    name: logistic
    type: training
    targetType: binary
    hyperparameters:
      - {name: C, type: float, min: 0.001, max: 1000, default: 1.0}
      - {name: solver, type: select, values: [lbfgs, saga], default: lbfgs}
"""
MEAN = """
    import json
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        with open(output_dir + "/mean.json", "w") as file:
            json.dump(float(y.mean()), file)

    def load_model(input_dir):
        with open(input_dir + "/mean.json") as file:
            return json.load(file)

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": [model + 0.001 * number for number in range(len(data))]})
"""
DISTANCE = """
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        assert y is None
        pd.to_pickle(X[["age"]].mean(), output_dir + "/center.pkl")

    def load_model(input_dir):
        return pd.read_pickle(input_dir + "/center.pkl")

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": (data["age"] - model["age"]).abs()})
"""
SHARES = """
    import json
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        with open(output_dir + "/shares.json", "w") as file:
            json.dump({str(label): share for label, share in y.value_counts(normalize=True).items()}, file)

    def load_model(input_dir):
        with open(input_dir + "/shares.json") as file:
            return json.load(file)

    def score(data, model, **kwargs):
        return pd.DataFrame([model] * len(data))
"""
NOTHING_ELSE = """
    def load_model(input_dir):
        return "model"

    def score(data, model, **kwargs):
        import pandas as pd
        return pd.DataFrame({"yes": [0.4] * len(data), "no": [0.6] * len(data)})
"""


def scoring(body: str) -> str:
    """An estimator whose ``score`` is this."""
    return f"""
    import numpy as np
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        open(output_dir + "/nothing.txt", "w").close()

    def load_model(input_dir):
        return "model"

    def score(data, model, **kwargs):
        {body}
"""


def fitting(body: str) -> str:
    """An estimator whose ``fit`` is this."""
    return f"""
    import os, signal, time

    def fit(X, y, output_dir, **kwargs):
        {body}
{NOTHING_ELSE}"""
