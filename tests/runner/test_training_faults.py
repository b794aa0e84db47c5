"""Tasks that go wrong: each is told with its fit, task and phase in one line, and nothing half-made is left."""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.runner.training import Commands, Task, a_plan, an_example, run_command

ROWS = 60

GOOD = """
    import os, signal, sys, time
    from pathlib import Path
    import numpy as np
    import pandas as pd

    def fit(X, y, output_dir, **kwargs):
        Path(output_dir, "a.txt").write_text("a")

    def load_model(code_dir):
        return 1

    def transform(X, transformer):
        return X.select_dtypes("number")

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": [1.0] * len(data)})
"""


def a_frame() -> pd.DataFrame:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"x": random.normal(size=ROWS), "n": range(ROWS)})
    frame["text"] = ["a b", "c", None] * (ROWS // 3)
    frame["y"] = random.normal(size=ROWS)
    frame["binary"] = [1, 0, 0] * (ROWS // 3)
    frame["several"] = ["a", "b", "c"] * (ROWS // 3)
    return frame


TARGETS = {"Regression": "y", "Binary": "binary", "Multiclass": "several"}


def fault(
    commands: Commands, folder: Path, code: str, kind: str = "estimator", target_type: str = "Regression", **more: Any
) -> dict[str, Any]:
    """The error of a training with a task whose code is that of a good one, changed by `code`."""
    task = Task(textwrap.dedent(GOOD) + textwrap.dedent(code), kind, schema=more.pop("schema", None))
    after = [] if kind == "estimator" else [Task(GOOD.replace("def transform", "def unused"))]
    frame = a_frame()[["x", "n", "text", TARGETS[target_type]]]
    training = commands.train(folder, a_plan(folder, frame, [task, *after], target_type, TARGETS[target_type], **more))
    error = training.error
    last = training.errors.strip().splitlines()[-1]
    assert last == f"[{error['fit']}] task 1 of {1 + len(after)}, Task 0 failed in {error['phase']}: {error['message']}"
    assert error["fit"] in {"fold-1", "fold-2", "final"}
    assert error["task"] == 0
    error["log"] = training.errors
    return error


FIT_FAULTS = {
    "raises": ("raise ValueError('no\\nway')", "ValueError: no way"),
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "more memory than it may"),
    "crashes": ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "leaves": ("os._exit(0)", "ended by itself with the code 0"),
    "leaves with a code": ("os._exit(9)", "ended by itself with the code 9"),
    "runs out of memory": ("bytearray(1 << 60)", "MemoryError"),
    "recurses": ("fit(X, y, output_dir)", "RecursionError"),
    "removes the folder": ("import shutil; shutil.rmtree(output_dir)", "fit removed its output_dir"),
    "links away": ("os.symlink('/etc/passwd', output_dir + '/p')", "'p' in output_dir, which is neither a file nor"),
    "leaves a pipe": ("os.mkfifo(output_dir + '/p')", "'p' in output_dir"),
}


@pytest.mark.parametrize("case", FIT_FAULTS)
def test_fit_that_fails(commands: Commands, tmp_path: Path, case: str) -> None:
    statement, words = FIT_FAULTS[case]
    error = fault(commands, tmp_path, f"def fit(X, y, output_dir, **kwargs):\n    {statement}\n")
    assert error["phase"] == "fit"
    assert words in error["message"]


def test_the_log_has_the_traceback_of_the_task_only(commands: Commands, tmp_path: Path) -> None:
    error = fault(commands, tmp_path, "def fit(X, y, output_dir, **kwargs):\n    X['gone']\n")
    assert error["message"] == "KeyError: 'gone'"
    assert "custom.py" in error["log"]
    assert "modelyard_runner/tasks" not in error["log"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def fit(X, y, output_dir): pass\ndel load_model", "fit left nothing in output_dir, and custom.py has no"),
        ("del load_model", "fit left 'a.txt' in output_dir, of no known kind: custom.py needs load_model"),
        ("def load_model(code_dir): pass", "load_model returned None"),
        ("def load_model(code_dir): return open('gone')", "FileNotFoundError"),
        ("del fit", "neither a function fit nor a class CustomTask"),
        ("def fit(X, y, output_dir, wanted): pass", "missing 1 required positional argument: 'wanted'"),
        ("fit = 3", "neither a function fit nor a class CustomTask"),
        ("score = 3", "score in custom.py is a int"),
        ("import gone", "ModuleNotFoundError: No module named 'gone'"),
        ("def (", "SyntaxError"),
        ("def init(code_dir): raise OSError('no')", "OSError: no"),
        ("class CustomTask:\n    def predict(self, X): pass", "CustomTask has no method fit"),
        ("class CustomTask:\n    def fit(self, X, y): pass", "CustomTask has no method predict"),
        (
            "class CustomTask:\n    def fit(self, X, y): self.f = lambda: 0\n    def predict(self, X): pass",
            "pickle",
        ),
        ("class CustomTask:\n    def fit(self, X): pass\n    def save(self, folder): pass", "none that loads"),
    ],
)
def test_a_task_that_is_not_whole(commands: Commands, tmp_path: Path, code: str, words: str) -> None:
    error = fault(commands, tmp_path, code)
    assert error["phase"] == "fit"
    assert words in error["message"]


TRANSFORM_FAULTS = {
    "raises": ("X['gone']", "KeyError: 'gone'"),
    "drops rows": ("X.select_dtypes('number').iloc[1:]", "rows for"),
    "sorts rows": ("X[['x']].sort_values('x')", "in another order"),
    "turns rows around": ("X[['x']][::-1]", "in another order"),
    "gives text": ("X", "text in the column 'text'; its typeSchema says data_types EQUALS NUM"),
    "gives dates": ("pd.DataFrame({'d': pd.Timestamp('2026-01-01') + pd.to_timedelta(X['n'], 'D')})", "dates"),
    "gives nothing": ("None", "transform returned None"),
    "gives a list": ("[[1]] * len(X)", "transform returned a list"),
    "gives a series": ("X['x']", "transform returned a Series"),
    "gives a cube": ("np.zeros((len(X), 2, 2))", "an array of 3 dimensions"),
    "gives no columns": ("X[[]]", "no columns"),
    "gives columns twice": ("pd.concat([X[['x']], X[['x']]], axis=1)", "several columns of the name 'x'"),
    "gives other columns": ("X[['x']].assign(**{str(len(X)): 1})", "other columns for the rows to score"),
}


@pytest.mark.parametrize("case", TRANSFORM_FAULTS)
def test_transform_that_fails(commands: Commands, tmp_path: Path, case: str) -> None:
    expression, words = TRANSFORM_FAULTS[case]
    error = fault(commands, tmp_path, f"def transform(X, transformer):\n    return {expression}\n", "transform")
    assert error["phase"] == "transform"
    assert words in error["message"]


SCORE_FAULTS = {
    "raises": ("Regression", "data['gone']", "KeyError"),
    "kills": ("Regression", "os.kill(os.getpid(), 9)", "was killed"),
    "nan": ("Regression", "[float('nan')] * n", "NaN"),
    "rows": ("Regression", "[1.0] * (n + 1)", "rows for"),
    "sorts rows": ("Regression", "data['x'].sort_values()", "in another order"),
    "nothing": ("Regression", "None", "NoneType"),
    "text": ("Regression", "['high'] * n", "'high'"),
    "columns": ("Regression", "pd.DataFrame({'a': [1.0] * n, 'b': 1.0})", "'a', 'b'"),
    "sum": ("Binary", "pd.DataFrame({'0': [0.5] * n, '1': 0.75})", "sum up to 1.25"),
    "range": ("Binary", "pd.DataFrame({'0': [-0.5] * n, '1': 1.5})", "from 0 to 1"),
    "wrong classes": ("Binary", "pd.DataFrame({'a': [0.5] * n, 'b': 0.5})", "'a', 'b'"),
    "missing class": ("Multiclass", "pd.DataFrame({'a': [0.5] * n, 'b': 0.5})", "the class labels are 'a', 'b', 'c'"),
    "nan of a class": ("Multiclass", "pd.DataFrame({'a': [0.5] * n, 'b': 0.5, 'c': float('nan')})", "NaN"),
    "sum of several": ("Multiclass", "np.array([[0.5, 0.5, 0.5]] * n)", "sum up to 1.5"),
}


@pytest.mark.parametrize("case", SCORE_FAULTS)
def test_predictions_that_are_none(commands: Commands, tmp_path: Path, case: str) -> None:
    target_type, expression, words = SCORE_FAULTS[case]
    code = f"def score(data, model, **kwargs):\n    n = len(data)\n    return {expression}\n"
    error = fault(commands, tmp_path, code, target_type=target_type)
    assert error["phase"] == "predict"
    assert words in error["message"]


def test_a_model_that_knows_other_classes(commands: Commands, tmp_path: Path) -> None:
    code = """
        del load_model, score

        def fit(X, y, output_dir, **kwargs):
            import joblib
            from sklearn.linear_model import LogisticRegression
            joblib.dump(LogisticRegression().fit(X[["x"]], y == 1), Path(output_dir) / "model.joblib")
    """
    error = fault(commands, tmp_path, code, target_type="Binary")
    assert "The model's classes are 'False', 'True'; the class labels set are '1', '0'" in error["message"]


SCHEMAS = {
    "numbers wanted": ("input", "data_types", "EQUALS", "NUM", "the task was given text in the column 'text'"),
    "no text": ("input", "data_types", "NOT_IN", ["CAT"], "the task was given text in the column 'text'"),
    "sparse wanted": ("input", "sparse", "EQUALS", "REQUIRED", "the task was given dense data"),
    "no gaps": ("input", "contains_missing", "EQUALS", "FORBIDDEN", "missing values in 'text'"),
    "more columns": ("input", "number_of_columns", "GREATER_THAN", 3, "given 3 columns"),
    "one of": ("input", "number_of_columns", "IN", [1, 2], "number_of_columns IN 1, 2"),
    "always sparse": ("output", "sparse", "EQUALS", "ALWAYS", "transform returned dense data"),
    "fewer": ("output", "number_of_columns", "LESS_THAN", 2, "transform returned 2 columns"),
}


@pytest.mark.parametrize("case", SCHEMAS)
def test_what_the_type_schema_forbids(commands: Commands, tmp_path: Path, case: str) -> None:
    side, field, condition, value, words = SCHEMAS[case]
    schema = {f"{side}_requirements": [{"field": field, "condition": condition, "value": value}]}
    error = fault(commands, tmp_path, "", "transform", schema=schema)
    assert error["phase"] == ("fit" if side == "input" else "transform")
    assert words in error["message"]
    assert f"{field} {condition}" in error["message"]


def test_one_failing_fit_ends_the_others(commands: Commands, tmp_path: Path) -> None:
    code = """
        def fit(X, y, output_dir, **kwargs):
            if len(X) < 40:
                raise ValueError("too few")
            time.sleep(600)
    """
    error = fault(commands, tmp_path, code)
    assert error["message"] == "ValueError: too few"


def test_a_process_that_a_task_leaves_behind_is_ended(commands: Commands, tmp_path: Path) -> None:
    code = f"""
        import subprocess

        def score(data, model, **kwargs):
            process = subprocess.Popen(["sleep", "600"])
            Path({str(tmp_path)!r}, "left").write_text(str(process.pid))
            return [1.0] * len(data)
    """
    task = Task(textwrap.dedent(GOOD) + textwrap.dedent(code))
    frame = a_frame()[["x", "y"]]
    fits = [{"id": "final", "train": [0], "score": [1]}]
    training = commands.train(tmp_path, a_plan(tmp_path, frame, [task], "Regression", "y", fits=fits))
    assert training.code == 0
    status = Path("/proc", (tmp_path / "left").read_text(), "stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] in "ZX"


def test_a_process_forked_off_does_not_go_on_with_the_training(commands: Commands, tmp_path: Path) -> None:
    code = """
        def fit(X, y, output_dir, **kwargs):
            Path(output_dir, "a.txt").write_text("a")
            os.fork()
    """
    task = Task(textwrap.dedent(GOOD) + textwrap.dedent(code))
    fits = [{"id": "final", "train": [0], "score": [1]}]
    plan = a_plan(tmp_path, a_frame()[["x", "y"]], [task], "Regression", "y", fits=fits)
    training = commands.train(tmp_path, plan)
    assert training.code == 0, training.errors
    assert len(training.progress()) == 2


def test_a_later_task_is_named(commands: Commands, tmp_path: Path) -> None:
    tasks = [an_example("missing_values", "transform"), an_example("one_hot", "transform")]
    tasks.append(Task(textwrap.dedent(GOOD) + "def fit(X, y, output_dir):\n    1 / 0\n"))
    plan = a_plan(tmp_path, a_frame()[["x", "text", "y"]], tasks, "Regression", "y", keepTransforms=True)
    training = commands.train(tmp_path, plan)
    assert training.error["task"] == 2
    assert "task 3 of 3, Task 2 failed in fit: ZeroDivisionError" in training.errors


WRONG_PLANS: dict[str, tuple[dict[str, Any], str]] = {
    "no tasks": ({"tasks": []}, "any number of transforms, then one estimator"),
    "no fits": ({"fits": []}, "fits"),
    "an id that leaves the folder": ({"fits": [{"id": "../x", "train": [0], "score": [1]}]}, "'../x'"),
    "no target": ({"target": None}, "the target is missing"),
    "a column too many": ({"features": ["x", "gone"]}, "no column 'gone'"),
    "no workers": ({"workers": 0}, "workers is 0"),
    "a target type that is not trained": ({"targetType": "TextGeneration"}, "TextGeneration"),
    "an unknown target type": ({"targetType": "Guess"}, "Guess"),
    "no partition": ({"partition": "gone.bin"}, "gone.bin"),
    "no table": ({"table": "gone"}, "gone"),
    "calibration of numbers": ({"calibrate": True}, "only anomaly scores are calibrated"),
}


@pytest.mark.parametrize("case", WRONG_PLANS)
def test_a_plan_that_is_wrong(commands: Commands, tmp_path: Path, case: str) -> None:
    changes, words = WRONG_PLANS[case]
    plan = a_plan(tmp_path, a_frame()[["x", "y"]], [Task(GOOD)], "Regression", "y")
    training = commands.train(tmp_path, {**plan, **changes})
    assert training.code == 2
    assert words in training.errors
    assert training.errors.count("\n") == 1
    assert not (training.output / "result.json").exists()


def test_files_that_are_not_whole(commands: Commands, tmp_path: Path) -> None:
    plan = a_plan(tmp_path, a_frame()[["x", "y"]], [Task(GOOD)], "Regression", "y")
    (tmp_path / "partition.bin").write_bytes(bytes(10))
    assert "has 5 rows, the table 60" in commands.train(tmp_path, plan).errors
    (tmp_path / "table/table.bin").write_bytes(bytes(64))
    assert "cannot be read" in commands.train(tmp_path, plan).errors
    (tmp_path / "table/columns.json").write_text("{")
    assert commands.train(tmp_path, plan).code == 2


def test_the_command_itself(tmp_path: Path) -> None:
    done = run_command("train", "--plan", str(tmp_path / "gone.json"), "--output", str(tmp_path / "output"))
    assert done.returncode == 2
    assert "No such file" in done.stderr
    plan = a_plan(tmp_path, a_frame()[["x", "y"]], [Task(GOOD + "    print('hello')\n")], "Regression", "y")
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    done = run_command("train", "--plan", str(tmp_path / "plan.json"), "--output", str(tmp_path / "output"))
    assert done.returncode == 0, done.stderr
