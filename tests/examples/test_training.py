"""The shipped tables and artifacts come from the shipped scripts, and the models are worth serving."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.examples.loading import EXAMPLES, Example, load

TABLES = {
    "churn_model": "churn.csv",
    "house_prices": "house_prices.csv",
    "iris_species": "iris.csv",
    "sensor_anomaly": "sensors.csv",
    "transform_scaler": "deliveries.csv",
}


def table(example: str) -> pd.DataFrame:
    return pd.read_csv(EXAMPLES / example / "training" / TABLES[example])


@pytest.mark.parametrize("example", TABLES)
def test_the_generator_makes_the_shipped_table(example: str) -> None:
    made = StringIO()
    load(EXAMPLES / example / "training/make_data.py").generate().to_csv(made, index=False, lineterminator="\n")
    assert made.getvalue() == (EXAMPLES / example / "training" / TABLES[example]).read_text()


@pytest.mark.parametrize("example", ["house_prices", "iris_species", "sensor_anomaly", "transform_scaler"])
def test_training_again_gives_the_shipped_model(example: str) -> None:
    script = load(EXAMPLES / example / "training/train.py")
    data = table(example)
    trained = script.train(script.split(data)[0] if hasattr(script, "split") else data)
    served = Example(example)
    expected = served.predict(data)
    pd.testing.assert_frame_equal(served.predict(data, trained), expected, rtol=1e-4, atol=1e-5)


def test_the_churn_script_makes_the_shipped_model(tmp_path: Path) -> None:
    output = tmp_path / "model.joblib"
    script = EXAMPLES / "churn_model/training/train.py"
    command = [sys.executable, "-W", "error", str(script), "--output", str(output)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "AUC on 1,875 held-out customers: 0.79" in said
    churn = Example("churn_model")
    data = table("churn_model")
    expected = churn.predict(data)
    pd.testing.assert_frame_equal(churn.predict(data, joblib.load(output)), expected, rtol=1e-4, atol=1e-5)


def test_churn_is_predicted_for_customers_never_seen() -> None:
    """Plausible: better than guessing, worse than a model that was told the answer."""
    _, held_out = load(EXAMPLES / "churn_model/training/train.py").split(table("churn_model"))
    likelihood = Example("churn_model").predict(held_out)["yes"]
    assert 0.75 < roc_auc_score(held_out["churned"] == "yes", likelihood) < 0.95
    share_leaving = (held_out["churned"] == "yes").mean()
    assert likelihood.mean() == pytest.approx(share_leaving, abs=0.03)


def test_house_prices_are_close_for_sales_never_seen() -> None:
    _, held_out = load(EXAMPLES / "house_prices/training/train.py").split(table("house_prices"))
    predicted = Example("house_prices").predict(held_out)["Predictions"]
    assert np.mean(np.abs(predicted / held_out["price"] - 1)) < 0.12


def test_irises_are_told_apart() -> None:
    _, held_out = load(EXAMPLES / "iris_species/training/train.py").split(table("iris_species"))
    named = Example("iris_species").predict(held_out).idxmax(axis=1)
    assert (named == held_out["species"]).mean() > 0.9


def test_faults_of_pumps_are_strange() -> None:
    sensors = table("sensor_anomaly")
    strangeness = Example("sensor_anomaly").predict(sensors)["Predictions"]
    assert roc_auc_score(sensors["fault"] != "none", strangeness) > 0.95
