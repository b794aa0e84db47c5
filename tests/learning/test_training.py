"""Chains that are really trained, in the sandbox."""

from tests.learning.builders import Lab, path_of, sent

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
        print("fitted on", len(X), "rows")
        with open(output_dir + "/model.pkl", "wb") as file:
            pickle.dump(model, file)
"""
LOGISTIC_METADATA = """
    name: logistic
    type: training
    targetType: binary
    hyperparameters:
      - {name: C, type: float, min: 0.001, max: 1000, default: 1.0}
"""


def test_a_chain_is_trained_measured_and_predicts(working_lab: Lab) -> None:
    lab = working_lab
    project = lab.a_project()
    fill = lab.a_task(FILL, "Transform", name="Fill")
    logistic = lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA, name="Logistic")
    model = lab.trained(project, fill, {"customTaskVersionId": logistic, "parameters": {"C": 10}})
    print(model)
    print(lab.log(model))
    assert set(model["metrics"]) == {"crossValidation", "holdout"}
    assert model["metrics"]["holdout"]["AUC"] > 0.9
    answer = sent(lab.api.post(path_of(model) + "predictions/", json={"datasetId": project["datasetId"]}), 202)
    print(answer)
