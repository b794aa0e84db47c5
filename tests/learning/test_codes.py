"""Codes that look like numbers: a column of texts is one in predictions, too, as it is for a deployed model."""

import gzip

import pytest

from tests.learning.builders import Lab
from tests.learning.test_training import predictions

LENGTHS = """
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        open(output_dir + "/nothing.txt", "w").close()

    def load_model(input_dir):
        return "model"

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": [0.0 if code != code else float(len(code)) for code in data['a "code"']]})
"""


@pytest.fixture
def coded(working_lab: Lab) -> tuple[Lab, dict[str, object]]:
    lines = ['"a ""code""",y', *(f"{['0150', 'A1', '2.50'][number % 3]},{number}" for number in range(30))]
    project = working_lab.a_project(
        datasetId=working_lab.a_dataset(lines, "codes.csv"),
        target="y",
        partitioning={"method": "cv", "folds": 2, "holdoutPct": 0},
    )
    return working_lab, working_lab.trained(project, working_lab.a_task(LENGTHS, "Regression"))


def test_codes_keep_their_zeros(coded: tuple[Lab, dict[str, object]]) -> None:
    lab, model = coded
    content = b'n,"a ""code"""\n1,0150\n2,\n3,0002.50\n'
    for name, file in (("more.csv", content), ("more.csv.gz", gzip.compress(content))):
        answer = lab.api.post("/datasets/fromFile/", files={"file": (name, file)})
        lab.done(answer)
        found = predictions(lab, model, answer.json()["catalogId"])
        assert [float(one["y_PREDICTION"]) for one in found] == [4.0, 0.0, 7.0]
    rows = b'{"a \\"code\\"": 150}\n{"a \\"code\\"": 2}\n'
    answer = lab.api.post("/datasets/fromFile/", files={"file": ("more.jsonl", rows)})
    lab.done(answer)
    found = predictions(lab, model, answer.json()["catalogId"])
    assert [float(one["y_PREDICTION"]) for one in found] == [3.0, 1.0]
