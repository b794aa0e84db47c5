"""Models that cannot be loaded, and what is served without a load_model hook."""

import importlib.util
import json
import pickle
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import KMeans
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from modelyard_runner.models.artifacts import find_artifacts
from tests.runner.running import YES_NO, StartRunner, a_code_folder
from tests.waiting import wait_until

REGRESSION = ("--target-type", "regression")
FRAME = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})


def failure(start_runner: StartRunner, files: dict[str, str | bytes], *options: str) -> str:
    """Start a runner that must not become ready; the reason it gives."""
    runner = start_runner(files, options or REGRESSION, ready=False)
    assert runner.process.wait(20) == 1
    message: str = json.loads(runner.failure_file.read_text())["message"]
    assert f"The model cannot be served: {message.splitlines()[0]}" in runner.log()
    assert not runner.socket.exists()
    return message


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def load_model(code_dir:\n", "SyntaxError"),
        ("raise SystemExit(4)\n", "SystemExit: 4"),
        ("def load_model(code_dir):\n    return open(code_dir + '/weights')\n", "load_model failed: FileNotFoundError"),
        ("def load_model(code_dir):\n    return None\n", "load_model returned None"),
        ("def load_model(code_dir):\n    return 5\n", "no method predict"),
        ("def init(**kwargs):\n    kwargs['nothing']\n", "init failed: KeyError: 'nothing'"),
        ("score = 5\n", "has to be a function"),
        ("def transform(data, model):\n    return data\n", "nothing to serve"),
    ],
)
def test_broken_code(start_runner: StartRunner, code: str, words: str) -> None:
    assert words in failure(start_runner, {"custom.py": code})


def test_user_traceback_is_in_the_log(start_runner: StartRunner) -> None:
    code = "def load_model(code_dir):\n    raise ValueError('bad weights')\n"
    runner = start_runner({"custom.py": code}, REGRESSION, ready=False)
    assert runner.process.wait(20) == 1
    assert 'custom.py", line 2, in load_model' in runner.log()


def test_wrong_artifacts(start_runner: StartRunner) -> None:
    model = pickle.dumps(LinearRegression().fit(FRAME, [1, 2, 3, 4]))
    message = failure(start_runner, {"one.pkl": model, "two.joblib": model, "requirements.txt": "scipy"})
    assert "'one.pkl', 'two.joblib'" in message
    assert "load_model" in message
    assert "Loading m.pkl failed" in failure(start_runner, {"m.pkl": b"not a pickle"})
    assert "m.pmml cannot be served as it is" in failure(start_runner, {"m.pmml": b"x"})
    assert "nothing to serve" in failure(start_runner, {"config.json": "{}", "readme.txt": "tree of files"})
    assert "start_server.sh" in failure(start_runner, {"custom.R": "x"})
    assert "does not exist" in failure(start_runner, Path("/nowhere"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("package", "name", "content"),
    [
        ("torch", "m.pth", b"x"),
        ("onnxruntime", "m.onnx", b"x"),
        ("xgboost", "m.json", b'{"learner": {}}'),
        ("lightgbm", "m.txt", b"tree\nversion=v4\n"),
    ],
)
def test_missing_library(start_runner: StartRunner, package: str, name: str, content: bytes) -> None:
    if importlib.util.find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    message = failure(start_runner, {name: content})
    assert f"{name} needs the package {package}: add it to requirements.txt" in message


def test_model_that_does_not_fit_the_target(start_runner: StartRunner) -> None:
    classes = np.array(["red", "green", "red", "green"])
    message = failure(start_runner, {"m.pkl": pickle.dumps(LogisticRegression().fit(FRAME, classes))}, *YES_NO)
    assert "'green', 'red'" in message
    assert "'yes', 'no'" in message
    model = LinearSVC().fit(FRAME, classes)
    assert "no method predict_proba" in failure(start_runner, {"m.pkl": pickle.dumps(model)}, *YES_NO)


def test_finds_artifacts_by_content(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a.json": '{"learner": 1}',
        "b.json": "{}",
        "c.txt": "tree\nversion=v4",
        "d.txt": "trees",
        "e.PKL": b"",
    }
    folder = a_code_folder(tmp_path, files)
    (folder / "nested.pkl").mkdir()
    assert [path.name for path in find_artifacts(folder)] == ["a.json", "c.txt", "e.PKL"]


def test_sklearn_classifier(start_runner: StartRunner, tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(FRAME, ["no", "no", "yes", "yes"])
    folder = a_code_folder(tmp_path / "code", {"requirements.txt": "scikit-learn"})
    joblib.dump(pipeline, folder / "model.joblib")
    runner = start_runner(folder, YES_NO)
    expected = pipeline.predict_proba(FRAME)[:, 1].tolist()
    shuffled = FRAME[["b", "a"]].assign(churn="x", extra="y").to_csv(index=False)
    for body in (FRAME.to_csv(index=False), shuffled, FRAME.to_dict("records")):
        rows = runner.predict(body).rows()
        assert [row["predictionValues"][0]["value"] for row in rows] == expected
        assert [row["prediction"] for row in rows] == ["no", "no", "yes", "yes"]
    answer = runner.predict([{"a": 1}])
    assert answer.status == 422
    assert "'b'" in answer.message()
    assert "Warning" not in runner.log()


def test_labels_come_from_the_model(start_runner: StartRunner) -> None:
    model = LogisticRegression().fit(FRAME.to_numpy(), [3, 3, 5, 7])
    runner = start_runner({"m.pkl": pickle.dumps(model)}, ("--target-type", "multiclass"))
    rows = runner.predict(FRAME.to_dict("records")).rows()
    assert [row["prediction"] for row in rows] == [str(label) for label in model.predict(FRAME.to_numpy())]
    assert sorted(value["label"] for value in rows[0]["predictionValues"]) == ["3", "5", "7"]
    assert "Warning" not in runner.log()


def test_sklearn_regression_with_hooks_around_it(start_runner: StartRunner) -> None:
    model = LinearRegression().fit(FRAME, [1.0, 2.0, 3.0, 4.0])
    code = """
        import pickle

        def load_model(code_dir):
            with open(code_dir + "/weights.bin", "rb") as file:
                return pickle.load(file)

        def transform(data, model):
            return data.rename(columns=str.lower)

        def post_process(predictions, model):
            assert list(predictions.columns) == ["Predictions"]
            return predictions.round(3) + 100
    """
    runner = start_runner({"custom.py": code, "weights.bin": pickle.dumps(model)}, REGRESSION)
    rows = runner.predict(FRAME.rename(columns=str.upper).to_csv(index=False)).rows()
    assert [row["prediction"] for row in rows] == [101, 102, 103, 104]


def test_sklearn_transform(start_runner: StartRunner) -> None:
    scaler = StandardScaler().fit(FRAME)
    runner = start_runner({"m.pkl": pickle.dumps(scaler)}, ("--target-type", "transform"))
    row = runner.predict(FRAME.to_csv(index=False)).rows()[0]
    assert [value["label"] for value in row["predictionValues"]] == ["a", "b"]
    assert row["prediction"] == scaler.transform(FRAME)[0].tolist()


def test_sklearn_anomaly_uses_predict(start_runner: StartRunner) -> None:
    model = KMeans(2, random_state=0, n_init=1).fit(FRAME)
    runner = start_runner({"m.pkl": pickle.dumps(model)}, ("--target-type", "anomaly"))
    rows = runner.predict(FRAME.to_csv(index=False)).rows()
    assert [row["prediction"] for row in rows] == model.predict(FRAME).tolist()


def test_while_loading(start_runner: StartRunner, tmp_path: Path) -> None:
    code = f"""
        import pathlib, time

        def load_model(code_dir):
            while not pathlib.Path({str(tmp_path / "go")!r}).exists():
                time.sleep(0.01)
            return "a model"

        def score(data, model):
            return [1] * len(data)
    """
    runner = start_runner({"custom.py": code}, REGRESSION, ready=False)
    wait_until(runner.socket.exists, what="the socket")
    for answer in (runner.get("/"), runner.predict([{"x": 1}])):
        assert answer.status == 503
        assert answer.headers["retry-after"] == "1"
        assert "starting" in answer.message()
    assert runner.get("/stats/").status == 200
    (tmp_path / "go").touch()
    assert runner.wait_ready().predict([{"x": 1}]).status == 200


def test_stops_while_loading(start_runner: StartRunner) -> None:
    code = "import time\n\ndef load_model(code_dir):\n    time.sleep(600)\n"
    runner = start_runner({"custom.py": code}, REGRESSION, ready=False)
    wait_until(runner.socket.exists, what="the socket")
    assert runner.stop() == 0
