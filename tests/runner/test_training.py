"""Chains that train as they should: what tasks are given, what is predicted, what is kept."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from modelyard_runner.models.columns import Kind, Schema
from modelyard_runner.models.frames import frame_of_csv
from tests.runner.training import TIME_LIMIT_S, Commands, Task, a_plan, an_example, folds
from tests.waiting import wait_until

ROWS = 200

# Notes what `fit` was given; predicts the mean, or the shares of the classes.
NOTES = """
    import json
    from pathlib import Path
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        weights = kwargs.get("row_weights")
        notes = {
            "columns": {name: str(kind) for name, kind in X.dtypes.items()},
            "first": json.loads(X.iloc[:3].to_json(orient="values")),
            "y": None if y is None else y.tolist()[:3],
            "names": sorted(kwargs),
            "class_order": kwargs.get("class_order"),
            "weights": None if weights is None else list(weights[:3]),
            "parameters": kwargs["parameters"],
        }
        Path(output_dir, "notes.json").write_text(json.dumps(notes))

    def load_model(code_dir):
        return json.loads(Path(code_dir, "notes.json").read_text())

    def score(data, model, **kwargs):
        labels = kwargs.get("class_labels") or [kwargs.get("positive_class_label"), kwargs.get("negative_class_label")]
        if labels[0] is None:
            return pd.DataFrame({"Predictions": [1.5] * len(data)})
        return pd.DataFrame({label: [1 / len(labels)] * len(data) for label in labels})

    def transform(X, transformer):
        return X
"""
ADD_ONE = """
    from pathlib import Path

    def fit(X, y, output_dir):
        Path(output_dir, "one.txt").write_text("1")
        with Path(__file__).with_name("fitted").open("a") as file:
            file.write("x")

    def load_model(code_dir):
        return int(Path(code_dir, "one.txt").read_text())

    def transform(X, transformer):
        return X.select_dtypes("number") + transformer
"""


def a_frame(rows: int = ROWS) -> pd.DataFrame:
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"age": random.normal(40, 10, rows), "visits": random.integers(0, 9, rows)})
    frame["member"] = random.random(rows) > 0.5
    frame["city"] = random.choice(["Oslo", "Rome", None], rows)
    frame.loc[frame.index % 7 == 3, "age"] = np.nan
    frame["price"] = frame["visits"] * 3.0 + random.normal(0, 0.1, rows)
    frame["churn"] = np.where(frame["visits"] + random.normal(size=rows) > 4, "yes", "no")
    return frame


def notes_of(commands: Commands, folder: Path, frame: pd.DataFrame, *arguments: Any, **changes: Any) -> dict[str, Any]:
    # without the transform hook: it is for transforms, and would be called before `score`
    code = NOTES[: NOTES.index("    def transform")]
    plan = a_plan(folder, frame, [Task(code, parameters={"depth": 3})], *arguments, **changes)
    training = commands.train(folder, plan)
    assert training.code == 0, training.log + training.errors
    found: dict[str, Any] = json.loads((training.output / "artifacts/0/notes.json").read_text())
    return found


def test_fit_sees_what_a_csv_file_would_give(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame().drop(columns="churn")
    notes = notes_of(commands, tmp_path, frame, "Regression", "price")
    schema = Schema({"age": Kind.NUMBER, "visits": Kind.NUMBER, "member": Kind.BOOLEAN, "city": Kind.TEXT})
    read = frame_of_csv(frame.drop(columns="price").to_csv(index=False).encode(), schema)
    assert notes["columns"] == {name: str(kind) for name, kind in read.dtypes.items()}
    assert notes["first"] == json.loads(read.iloc[:3].to_json(orient="values"))
    assert notes["y"] == frame["price"].tolist()[:3]
    assert notes["names"] == ["parameters"]
    assert notes["parameters"] == {"depth": 3}


@pytest.mark.parametrize(
    ("values", "labels", "y", "order"),
    [
        (["no", "yes"], ["yes", "no"], ["no", "yes", "no"], ["no", "yes"]),
        ([0, 1], ["1", "0"], [0, 1, 0], [0, 1]),
        ([0.0, 1.0], ["1", "0"], [0.0, 1.0, 0.0], [0.0, 1.0]),
        ([False, True], ["True", "False"], ["False", "True", "False"], ["False", "True"]),
    ],
)
def test_classes_have_the_type_of_the_target(
    commands: Commands, tmp_path: Path, values: list[Any], labels: list[str], y: list[Any], order: list[Any]
) -> None:
    frame = pd.DataFrame({"x": np.arange(ROWS), "t": (values * ROWS)[:ROWS], "w": np.linspace(1, 2, ROWS)})
    notes = notes_of(commands, tmp_path, frame, "Binary", "t", labels=labels, weights="w")
    assert notes["y"] == y
    assert notes["class_order"] == order
    assert [type(value) for value in notes["class_order"]] == [type(value) for value in order]
    assert notes["weights"] == frame["w"].tolist()[:3]
    assert notes["names"] == ["class_order", "parameters", "row_weights"]


def test_a_transform_is_told_nothing_of_classes_and_weights(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame().drop(columns="price").assign(w=1)
    schema = {"output_requirements": [{"field": "data_types", "condition": "NOT_EQUALS", "value": "IMG"}]}
    estimator = Task(NOTES[: NOTES.index("    def transform")])
    tasks = [Task(NOTES, "transform", schema=schema), estimator]
    training = commands.train(tmp_path, a_plan(tmp_path, frame, tasks, "Binary", "churn", weights="w"))
    assert training.code == 0, training.log + training.errors
    first, second = (json.loads((training.output / f"artifacts/{place}/notes.json").read_text()) for place in (0, 1))
    assert first["names"] == ["parameters"]
    assert second["names"] == ["class_order", "parameters", "row_weights"]
    assert first["columns"] == second["columns"]


def test_held_out_rows_are_predicted_by_what_was_fitted_without_them(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()[["visits", "price"]]
    parts = np.array([-2 if row % 20 == 4 else -1 if row % 10 == 9 else row % 3 for row in range(ROWS)])
    task = """
        from pathlib import Path
        import joblib
        from sklearn.linear_model import LinearRegression

        def fit(X, y, output_dir):
            joblib.dump(LinearRegression().fit(X, y), Path(output_dir) / "line.joblib")
    """
    plan = a_plan(tmp_path, frame, [Task(task)], "Regression", "price", partition=parts.tolist(), fits=folds(3))
    training = commands.train(tmp_path, plan)
    for name, train, score in (("fold-1", [1, 2], 0), ("fold-3", [0, 1], 2), ("final", [0, 1, 2], -1)):
        rows = frame[np.isin(parts, train)]
        line = LinearRegression().fit(rows[["visits"]], rows["price"])
        expected = line.predict(frame.loc[parts == score, ["visits"]])
        assert training.predictions(name)[:, 0] == pytest.approx(expected, abs=1e-12)
        told = training.fit(name)
        assert (told["rows"], told["trainRows"]) == (len(expected), len(rows))
        assert 20e6 < told["peakMemoryBytes"] < 2e9
    assert {path.name for path in training.output.iterdir()} == {
        "artifacts",
        "predictions",
        "progress.jsonl",
        "result.json",
    }
    assert [path.name for path in (training.output / "artifacts/0").iterdir()] == ["line.joblib"]
    assert "[fold-1] task 1 of 1, Task 0: fitting on 113 rows \u00d7 1 columns\n" in training.log
    lines = training.progress()
    assert {(line["fit"], line["task"], line["phase"]) for line in lines} == {
        (fit, 0, phase) for fit in ("fold-1", "fold-2", "fold-3", "final") for phase in ("fit", "predict")
    }


def test_no_rows_to_score_is_no_hindrance(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()
    plan = a_plan(
        tmp_path,
        frame,
        [an_example("missing_values", "transform"), an_example("one_hot", "transform"), an_example("binary")],
        "Binary",
        "churn",
        partition=[0] * ROWS,
        fits=[{"id": "final", "train": [0], "score": [-1]}],
        keepTransforms=True,
    )
    training = commands.train(tmp_path, plan)
    assert len(training.predictions("final")) == 0
    assert not (training.output / "transforms/final/0/score").exists()


def test_kept_transforms_are_not_fitted_again(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()
    tasks = [
        an_example("missing_values", "transform"),
        an_example("text_to_sparse", "transform"),
        an_example("binary"),
    ]
    plan = a_plan(tmp_path, frame, tasks, "Binary", "churn", keepTransforms=True)
    first = commands.train(tmp_path, plan, "first")
    assert [task["cached"] for task in first.fit("fold-1")["tasks"]] == [False] * 3
    kept = first.output / "transforms"
    cached = {fit["id"]: [str(kept / fit["id"] / str(place)) for place in (0, 1)] for fit in plan["fits"]}
    second = commands.train(tmp_path, {**plan, "cached": cached}, "second")
    assert [task["cached"] for task in second.fit("fold-1")["tasks"]] == [True, True, False]
    assert [task["sparse"] for task in second.fit("final")["tasks"]] == [False, True, False]
    assert second.fit("final")["tasks"][1]["columns"] == first.fit("final")["tasks"][1]["columns"]
    for name in ("fold-1", "fold-2", "final"):
        assert second.predictions(name).tobytes() == first.predictions(name).tobytes()
    assert sum(line["cached"] for line in second.progress()) == 12
    assert not (second.output / "transforms").exists()
    for place in (0, 1, 2):
        names = [sorted(path.name for path in (one.output / f"artifacts/{place}").iterdir()) for one in (first, second)]
        assert names[0] == names[1] != []


def test_a_cached_transform_does_not_run(commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()[["visits", "price"]]
    plan = a_plan(
        tmp_path, frame, [Task(ADD_ONE, "transform"), an_example("regression")], "Regression", "price",
        keepTransforms=True, fits=[{"id": "final", "train": [0], "score": [1]}],
    )  # fmt: skip
    first = commands.train(tmp_path, plan, "first")
    fitted = tmp_path / "tasks/0/fitted"
    assert fitted.read_text() == "x"
    cached = {"final": [str(first.output / "transforms/final/0")]}
    second = commands.train(tmp_path, {**plan, "cached": cached}, "second")
    assert second.predictions("final").tobytes() == first.predictions("final").tobytes()
    assert fitted.read_text() == "x"
    third = commands.train(tmp_path, {**plan, "cached": {"final": [str(tmp_path / "gone")]}}, "third")
    assert "cannot be read" in third.error["message"]
    fewer = [{"id": "final", "train": [0], "score": [-1]}]
    fourth = commands.train(tmp_path, {**plan, "cached": cached, "fits": fewer}, "fourth")
    assert "is of other rows" in fourth.error["message"]


def test_what_fit_changes_in_its_rows_stays_there(commands: Commands, tmp_path: Path) -> None:
    vandal = """
        from pathlib import Path

        def fit(X, y, output_dir):
            X["visits"] = 0
            X.loc[:, "age"] = 1.0
            X["new"] = 1
            y[:] = 0
            Path(output_dir, "a.txt").write_text("a")

        def load_model(code_dir):
            return 1

        def transform(X, transformer):
            assert "new" not in X.columns and X["visits"].nunique() > 1
            return X[["visits"]]
    """
    frame = a_frame()[["age", "visits", "price"]]
    tasks = [Task(vandal, "transform"), an_example("regression")]
    training = commands.train(tmp_path, a_plan(tmp_path, frame, tasks, "Regression", "price"))
    assert training.predictions("final").std() > 1


def test_anomaly_scores_are_calibrated_by_the_training_rows(commands: Commands, tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(3).normal(size=(600, 2)), columns=["x", "y"])
    frame.loc[9] = 9.0
    task = an_example("anomaly", trees=50)
    plain = commands.train(tmp_path, a_plan(tmp_path, frame, [task], "Anomaly", None), "plain")
    done = commands.train(tmp_path, a_plan(tmp_path, frame, [task], "Anomaly", None, calibrate=True), "calibrated")
    raw, mapped = plain.predictions("final")[:, 0], done.predictions("final")[:, 0]
    assert (np.argsort(raw, kind="stable") == np.argsort(mapped, kind="stable")).all()
    assert 0 <= mapped.min() < 0.1
    assert mapped[0] == 1.0  # row 9, the strangest of all
    assert np.median(done.predictions("fold-1")) == pytest.approx(0.5, abs=0.12)
    quantiles = json.loads((done.output / "artifacts/calibration.json").read_text())["quantiles"]
    assert quantiles == sorted(quantiles)
    chain = done.chain(tmp_path / "chain")
    told = commands.run(
        tmp_path, "predict", "--chain", str(chain), "--table", plan_table(done), "--output", str(tmp_path / "scored")
    )
    assert told.returncode == 0, told.stderr
    scored = np.fromfile(tmp_path / "scored/predictions.bin")
    assert scored[9::10] == pytest.approx(mapped)
    assert scored.max() == 1.0


def plan_table(training: Any) -> str:
    return str(training.plan["table"])


def test_fits_run_beside_each_other(commands: Commands, tmp_path: Path) -> None:
    """Each of two fits waits for the other's file."""
    waits = """
        import os, time
        from pathlib import Path

        def fit(X, y, output_dir, parameters):
            folder = Path(parameters["meeting"])
            (folder / str(os.getpid())).touch()
            deadline = time.monotonic() + 30
            while len(list(folder.iterdir())) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            Path(output_dir, "a.txt").write_text("a")

        def load_model(code_dir):
            return 1

        def score(data, model):
            return [0.5] * len(data)
    """
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    task = Task(waits, parameters={"meeting": str(meeting)})
    training = commands.train(tmp_path, a_plan(tmp_path, a_frame()[["age", "price"]], [task], "Regression", "price"))
    assert (training.predictions("final") == 0.5).all()


def test_many_rows_are_scored_block_by_block(commands: Commands, tmp_path: Path) -> None:
    code = """
        from pathlib import Path

        def fit(X, y, output_dir):
            Path(output_dir, "a.txt").write_text("a")

        def load_model(code_dir):
            return 1

        def score(data, model):
            print("block", len(data))
            assert data.index[0] == 0
            return data["x"]
    """
    frame = pd.DataFrame({"x": np.arange(110_000.0), "y": 1.0})
    fits = [{"id": "final", "train": [1], "score": [0]}]
    parts = [0] * 109_000 + [1] * 1_000
    plan = a_plan(tmp_path, frame, [Task(code)], "Regression", "y", partition=parts, fits=fits)
    training = commands.train(tmp_path, plan)
    assert (training.predictions("final")[:, 0] == frame["x"][:109_000]).all()
    assert [line for line in training.log.splitlines() if "block" in line] == [
        "block 50000",
        "block 50000",
        "block 9000",
    ]


def test_random_numbers_are_the_same_each_time(commands: Commands, tmp_path: Path) -> None:
    dice = """
        import random
        from pathlib import Path
        import numpy as np

        def fit(X, y, output_dir):
            Path(output_dir, "dice.txt").write_text(f"{random.random() + np.random.rand()}")

        def load_model(code_dir):
            return float(Path(code_dir, "dice.txt").read_text())

        def score(data, model):
            return [model] * len(data)
    """
    plan = a_plan(tmp_path, a_frame()[["age", "price"]], [Task(dice)], "Regression", "price")
    one, other = (commands.train(tmp_path, plan, name).predictions("final")[0, 0] for name in ("one", "other"))
    assert one == other


def test_told_to_stop_it_takes_its_fits_along(tmp_path: Path) -> None:
    hangs = """
        import os, time
        from pathlib import Path

        def fit(X, y, output_dir, parameters):
            Path(parameters["at"]).write_text(str(os.getpid()))
            time.sleep(600)
    """
    task = Task(hangs, parameters={"at": str(tmp_path / "at")})
    plan = a_plan(tmp_path, a_frame()[["age", "price"]], [task], "Regression", "price", workers=1)
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    command = [sys.executable, "-m", "modelyard_runner", "train", "--plan", str(tmp_path / "plan.json")]
    process = subprocess.Popen([*command, "--output", str(tmp_path / "output")], stdout=subprocess.DEVNULL)
    fit = int(wait_until(lambda: (tmp_path / "at").exists() and (tmp_path / "at").read_text(), what="a fit"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(TIME_LIMIT_S) == 128 + signal.SIGTERM
    with pytest.raises(ProcessLookupError):
        os.kill(fit, 0)
    assert not (tmp_path / "output/result.json").exists()
