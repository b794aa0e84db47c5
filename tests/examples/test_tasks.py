"""The tasks under examples/tasks: what they declare, and that they train, alone and in chains, the same each time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score

from tests.examples.loading import EXAMPLES
from tests.runner.training import Commands, Task, Training, a_plan, an_example

TARGET_TYPES = {
    "missing_values": "transform",
    "one_hot": "transform",
    "text_to_sparse": "transform",
    "regression": "regression",
    "binary": "binary",
    "multiclass": "multiclass",
    "gradient_boosting": "binary",
    "anomaly": "anomaly",
}
ROWS = 300


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    runs = Commands()
    yield runs
    runs.stop()


def metadata(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((EXAMPLES / "tasks" / name / "model-metadata.yaml").read_text())
    return content


def a_frame() -> pd.DataFrame:
    random = np.random.default_rng(11)
    frame = pd.DataFrame({"length": random.normal(10, 3, ROWS), "doors": random.integers(0, 6, ROWS)})
    frame["colour"] = random.choice(["red", "green", "blue", None], ROWS)
    frame["told"] = random.choice(["fast and loud", "quiet and slow", "loud", "slow"], ROWS)
    loud = frame["told"].str.contains("loud")
    frame["price"] = frame["length"] * 2 + 5 * loud + random.normal(0, 0.5, ROWS)
    frame["sold"] = np.where(loud ^ (random.random(ROWS) < 0.1), "yes", "no")
    frame["size"] = pd.cut(frame["length"], [-99, 8, 12, 99], labels=["small", "middle", "large"]).astype(str)
    frame.loc[frame.index % 9 == 1, "length"] = np.nan
    return frame


FEATURES = ["length", "doors", "colour", "told"]
PREPARED = [an_example("missing_values", "transform"), an_example("one_hot", "transform")]


def trained(
    commands: Commands, folder: Path, tasks: list[Task], target_type: str, target: str | None, **changes: Any
) -> Training:
    frame = a_frame()[[*FEATURES, *([target] if target else [])]]
    return commands.train(folder, a_plan(folder, frame, tasks, target_type, target, **changes))


def test_every_task_is_listed() -> None:
    folders = {path.name for path in (EXAMPLES / "tasks").iterdir() if path.is_dir()}
    assert folders == set(TARGET_TYPES)
    listed = (EXAMPLES / "tasks/README.md").read_text()
    assert all(f"[{folder}]({folder})" in listed for folder in folders)


@pytest.mark.parametrize("name", TARGET_TYPES)
def test_a_task_declares_what_it_is(name: str) -> None:
    told = metadata(name)
    assert told["type"] == "training"
    assert told["targetType"] == TARGET_TYPES[name]
    assert told["name"]
    assert told["typeSchema"]["input_requirements"]
    assert ("output_requirements" in told["typeSchema"]) == (told["targetType"] == "transform")
    code = (EXAMPLES / "tasks" / name / "custom.py").read_text()
    for parameter in told["hyperparameters"]:
        assert f'parameters["{parameter["name"]}"]' in code
        assert "default" in parameter
    if told["targetType"] != "transform":
        assert "seed" in {parameter["name"] for parameter in told["hyperparameters"]}


def test_every_kind_of_hyperparameter_is_shown() -> None:
    kinds = {parameter["type"] for name in TARGET_TYPES for parameter in metadata(name)["hyperparameters"]}
    assert kinds == {"int", "float", "select", "string", "multi"}


@pytest.mark.parametrize("parameters", [{}, {"method": "forest", "trees": 20}, {"method": "forest", "leaf": 0.1}])
def test_regression(commands: Commands, tmp_path: Path, parameters: dict[str, Any]) -> None:
    tasks = [*PREPARED, an_example("regression", **parameters)]
    one, other = (trained(commands, tmp_path / name, tasks, "Regression", "price") for name in ("one", "other"))
    frame = a_frame()
    told, known = one.predictions("final")[:, 0], frame["price"].to_numpy()[9::10]
    assert np.corrcoef(told, known)[0, 1] > 0.65
    assert told.tobytes() == other.predictions("final")[:, 0].tobytes()


@pytest.mark.parametrize("parameters", [{}, {"balance": "on", "c": 0.1}])
def test_binary(commands: Commands, tmp_path: Path, parameters: dict[str, Any]) -> None:
    training = trained(commands, tmp_path, [*PREPARED, an_example("binary", **parameters)], "Binary", "sold")
    assert auc(training) > 0.8


def auc(training: Training) -> float:
    return float(roc_auc_score(a_frame()["sold"][9::10] == "yes", training.predictions("final")[:, 0]))


def test_binary_on_sparse_words(commands: Commands, tmp_path: Path) -> None:
    words = an_example("text_to_sparse", "transform", max_words=50, longest_phrase=2)
    training = trained(commands, tmp_path, [words, an_example("binary")], "Binary", "sold")
    assert auc(training) > 0.8
    told = training.fit("final")["tasks"][0]
    assert told["sparse"]
    assert told["columns"] > 10


@pytest.mark.parametrize("parameters", [{}, {"early_stopping": 5, "l2": 1.0}, {"early_stopping": "on"}])
def test_gradient_boosting_takes_tables_as_they_are(
    commands: Commands, tmp_path: Path, parameters: dict[str, Any]
) -> None:
    task = an_example("gradient_boosting", rounds=20, **parameters)
    one, other = (trained(commands, tmp_path / name, [task], "Binary", "sold") for name in ("one", "other"))
    assert auc(one) > 0.8
    assert one.predictions("final").tobytes() == other.predictions("final").tobytes()


def test_gradient_boosting_leaves_columns_out(commands: Commands, tmp_path: Path) -> None:
    task = an_example("gradient_boosting", rounds=20, ignored="told, colour")
    assert auc(trained(commands, tmp_path, [task], "Binary", "sold")) < 0.8


def test_multiclass(commands: Commands, tmp_path: Path) -> None:
    training = trained(commands, tmp_path, [*PREPARED, an_example("multiclass", trees=30)], "Multiclass", "size")
    labels = np.array(training.plan["labels"])
    told = training.predictions("final", 3)
    assert told.sum(axis=1) == pytest.approx(1)
    assert (labels[told.argmax(axis=1)] == a_frame()["size"][9::10]).mean() > 0.7


def test_anomaly(commands: Commands, tmp_path: Path) -> None:
    tasks = [*PREPARED, an_example("anomaly", trees=30)]
    training = trained(commands, tmp_path, tasks, "Anomaly", None, calibrate=True)
    told = training.predictions("final")
    assert told.min() >= 0
    assert told.max() <= 1
    assert len(np.unique(told)) > 20


def test_row_weights_count(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()[["doors", "price"]].assign(weight=[1.0, 1.0, 0.0] * (ROWS // 3))
    frame.loc[2::3, "price"] = 1e6
    plan = a_plan(tmp_path, frame, [an_example("regression")], "Regression", "price", weights="weight")
    assert commands.train(tmp_path, plan).predictions("final").max() < 1_000


@pytest.mark.parametrize("strategy", ["median", "mean", "constant"])
def test_gaps_are_filled(commands: Commands, tmp_path: Path, strategy: str) -> None:
    filling = an_example("missing_values", "transform", strategy=strategy, constant=-1.0)
    plan_changes: dict[str, Any] = {"keepTransforms": True, "fits": [{"id": "final", "train": [0, 1], "score": [-1]}]}
    training = trained(
        commands, tmp_path, [filling, *PREPARED[1:], an_example("binary")], "Binary", "sold", **plan_changes
    )
    assert training.code == 0, training.errors
    kept = pd.read_pickle(training.output / "transforms/final/0/train/frame.pkl")  # noqa: S301
    rows = a_frame()[np.arange(ROWS) % 10 != 9].reset_index(drop=True)
    expected = {"median": rows["length"].median(), "mean": rows["length"].mean(), "constant": -1.0}[strategy]
    assert kept["length"][rows["length"].isna()].tolist() == pytest.approx([expected] * rows["length"].isna().sum())
    assert kept["colour"][rows["colour"].isna()].eq("missing").all()
    assert kept["length is missing"].sum() == rows["length"].isna().sum()


def test_frequent_values_get_columns(commands: Commands, tmp_path: Path) -> None:
    tasks = [PREPARED[0], an_example("one_hot", "transform", max_values=2), an_example("binary")]
    training = trained(commands, tmp_path, tasks, "Binary", "sold")
    # two numbers, two marks of gaps, and two values of each of two columns of texts
    assert training.fit("final")["tasks"][1]["columns"] == 8
    model = joblib.load(training.output / "artifacts/2/model.joblib")
    assert next(name for name in model.feature_names_in_ if "=" in name).startswith("colour = ")
