"""Trained chains as models: served, scored from a file and from a table, through the same code in every case."""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.runner.running import RunningRunner, StartRunner
from tests.runner.training import Commands, Task, Training, a_plan, a_table, an_example

ROWS = 120
OPTIONS = ("--target-type", "Binary", "--target-name", "churn")


def a_frame() -> pd.DataFrame:
    random = np.random.default_rng(5)
    frame = pd.DataFrame({"": [f"{number:03}" for number in range(ROWS)]})  # a column without a name, as pandas writes
    frame = frame.assign(age=random.normal(40, 10, ROWS), visits=random.integers(0, 9, ROWS))
    frame["member"] = random.random(ROWS) > 0.5
    frame["zip"] = random.choice(["0150", "0250", "8000", None], ROWS)
    frame.loc[frame.index % 7 == 3, "age"] = np.nan
    frame["churn"] = np.where(frame["visits"] + random.normal(size=ROWS) > 4, "yes", "no")
    return frame


def a_chain(commands: Commands, folder: Path, tasks: list[Task], **changes: Any) -> tuple[Training, Path]:
    training = commands.train(folder, a_plan(folder, a_frame(), tasks, "Binary", "churn", **changes))
    return training, training.chain(folder / "chain")


class Served:
    """A chain of three shipped tasks, trained and served once for the module."""

    def __init__(self, commands: Commands, start: StartRunner, folder: Path) -> None:
        tasks = [an_example("missing_values", "transform"), an_example("one_hot", "transform"), an_example("binary")]
        self.training, self.chain = a_chain(commands, folder, tasks)
        self.runner: RunningRunner = start(self.chain, (*OPTIONS, "--batch", "on"))
        self.rows = json.loads(a_frame().drop(columns="churn").to_json(orient="records", double_precision=15))
        self.expected = dict(zip(range(9, ROWS, 10), self.training.predictions("final")[:, 0], strict=True))

    def chance(self, row: dict[str, Any]) -> float:
        answer = self.runner.predict([row]).rows()[0]
        return next(float(one["value"]) for one in answer["predictionValues"] if one["label"] == "yes")


@pytest.fixture(scope="module")
def served(commands: Commands, start_shared_runner: StartRunner, tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(commands, start_shared_runner, tmp_path_factory.mktemp("served"))


def test_a_chain_answers_as_it_did_in_training(served: Served) -> None:
    for number, chance in served.expected.items():
        assert served.chance(served.rows[number]) == pytest.approx(chance, abs=1e-9)
    answer = served.runner.predict(served.rows, accept="text/csv").lines()
    assert answer[0] == "churn_yes_PREDICTION,churn_no_PREDICTION,churn_PREDICTION,THRESHOLD,POSITIVE_CLASS"
    for number, chance in served.expected.items():
        assert float(answer[1 + number].split(",")[0]) == pytest.approx(chance, abs=1e-9)


def test_columns_are_of_the_types_of_the_training(served: Served) -> None:
    row, expected = served.rows[9], served.expected[9]
    shuffled = {"extra": "x", **dict(reversed(row.items())), "churn": "yes"}
    assert served.chance(shuffled) == pytest.approx(expected, abs=1e-9)
    texts = {name: None if value is None else str(value) for name, value in row.items()}
    texts["member"] = row["member"]
    assert served.chance(texts) == pytest.approx(expected, abs=1e-9)
    with_number = [served.chance({**row, "zip": value}) for value in (8000, 8000.0, "8000")]
    assert with_number[0] == with_number[1] == with_number[2]
    assert with_number[0] != served.chance({**row, "zip": "0150"})


def test_a_missing_column_is_named(served: Served) -> None:
    row = {name: value for name, value in served.rows[0].items() if name not in {"age", "zip"}}
    answer = served.runner.predict([row])
    assert answer.status == 422
    assert "lacks the columns 'age', 'zip'" in answer.message()


def test_text_where_numbers_were(served: Served) -> None:
    answer = served.runner.predict([{**served.rows[0], "visits": "many"}])
    assert answer.status == 422
    assert "'visits' has to hold numbers" in answer.message()
    assert "many" in answer.message()
    assert served.runner.predict([served.rows[0]]).status == 200


def test_any_value_may_be_missing(served: Served) -> None:
    for name in served.rows[0]:
        assert 0 <= served.chance({**served.rows[0], name: None}) <= 1


def test_a_chain_scores_files_and_tables(served: Served, commands: Commands, tmp_path: Path) -> None:
    frame = a_frame()
    frame.to_csv(tmp_path / "rows.csv", index=False)
    done = commands.run(
        tmp_path, "score", "--code", str(served.chain), *OPTIONS,
        "--input", str(tmp_path / "rows.csv"), "--output", str(tmp_path / "scores.csv"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "scores.csv")["churn_yes_PREDICTION"].to_numpy()
    assert scores[9::10] == pytest.approx(list(served.expected.values()), abs=1e-9)
    table = a_table(tmp_path / "table", frame[["", "zip", "visits", "age", "member"]])
    options = ("--chain", str(served.chain), "--output", str(tmp_path / "scored"))
    done = commands.run(tmp_path, "predict", *options, "--table", str(table))
    assert done.returncode == 0, done.stderr
    assert np.fromfile(tmp_path / "scored/predictions.bin") == pytest.approx(scores, abs=1e-9)
    assert json.loads((tmp_path / "scored/result.json").read_text()) == {"rows": ROWS, "error": None}
    without = a_table(tmp_path / "without", frame[["", "zip", "visits", "age"]])
    done = commands.run(tmp_path, "predict", *options, "--table", str(without))
    assert done.returncode == 1
    error = json.loads((tmp_path / "scored/result.json").read_text())["error"]
    assert (error["fit"], error["task"], error["phase"]) == (None, None, "predict")
    assert "lacks the columns 'member'" in error["message"]
    assert not (tmp_path / "scored/predictions.bin").exists()
    assert commands.run(tmp_path, "predict", *options, "--table", str(tmp_path / "gone")).returncode == 2


TOUCHY = """
    from pathlib import Path

    def fit(X, y, output_dir):
        Path(output_dir, "a.txt").write_text("a")

    def load_model(code_dir):
        return 1

    def transform(X, transformer):
        assert (X["visits"] < 100).all(), "too many visits"
        return X[["visits"]]
"""


def test_what_fails_in_a_chain_is_told(commands: Commands, start_runner: StartRunner, tmp_path: Path) -> None:
    _, chain = a_chain(commands, tmp_path, [Task(TOUCHY, "transform"), an_example("binary")])
    runner = start_runner(chain, OPTIONS)
    row = json.loads(a_frame().iloc[:1].to_json(orient="records"))[0]
    answer = runner.predict([{**row, "visits": 100}])
    assert answer.status == 422
    assert answer.message() == "The task 'Task 0' failed: AssertionError: too many visits"
    assert "custom.py" in runner.log()
    assert runner.predict([row]).status == 200
    frame = a_frame().assign(visits=100)
    options = ("--chain", str(chain), "--table", str(a_table(tmp_path / "many", frame)))
    done = commands.run(tmp_path, "predict", *options, "--output", str(tmp_path / "scored"))
    assert done.returncode == 1
    error = json.loads((tmp_path / "scored/result.json").read_text())["error"]
    assert error == {"fit": None, "task": 0, "phase": "transform", "message": "AssertionError: too many visits"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target-type", "Regression"), "trained for the target type Binary, not Regression"),
        ((*OPTIONS, "--positive-class-label", "no", "--negative-class-label", "yes"), "for the labels 'yes', 'no'"),
    ],
)
def test_a_chain_is_served_for_what_it_was_trained(
    served: Served, start_runner: StartRunner, options: tuple[str, ...], words: str
) -> None:
    runner = start_runner(served.chain, options, ready=False)
    assert runner.process.wait(30) == 1
    assert words in json.loads(runner.failure_file.read_text())["message"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("modelyard-chain.json", "{", "modelyard-chain.json cannot be read"),
        ("modelyard-chain.json", '{"version": 2}', "the version 2 of the file is not known"),
    ],
)
def test_a_chain_that_is_not_whole(
    start_runner: StartRunner, tmp_path: Path, name: str, content: str, words: str
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / name).write_text(content)
    runner = start_runner(folder, OPTIONS, ready=False)
    assert runner.process.wait(30) == 1
    assert words in json.loads(runner.failure_file.read_text())["message"]


# Both tasks have modules of the same names, and classes of the same name that are pickled.
HELPER = "FACTOR = {factor}\n"
SCALER = """
    import helper
    from datarobot_drum.custom_task_interfaces import TransformerInterface

    class CustomTask(TransformerInterface):
        def fit(self, X, y, **kwargs):
            self.factor = helper.FACTOR
            self.log_message(f"the factor is {self.factor}")

        def transform(self, X):
            import lazy
            assert helper.FACTOR == lazy.FACTOR == self.factor
            return X[["visits"]] * self.factor
"""
PLAIN_SCALER = SCALER.replace("(TransformerInterface)", "").replace("self.log_message", "print")
CLASSIFIER = """
    from datarobot_drum.custom_task_interfaces import BinaryEstimatorInterface
    from sklearn.linear_model import LogisticRegression
    import numpy as np
    from pathlib import Path

    class CustomTask(BinaryEstimatorInterface):
        def fit(self, X, y, row_weights=None, **kwargs):
            assert kwargs["class_order"] == ["no", "yes"]
            self.model = LogisticRegression().fit(X, y)
            self.largest = float(X["visits"].max())

        def save(self, artifact_directory):
            np.save(Path(artifact_directory) / "coefficients.npy", self.model.coef_)
            return self.save_task(artifact_directory, exclude=["largest"])

        @classmethod
        def load(cls, artifact_directory):
            task = cls.load_task(artifact_directory)
            assert task.largest is None
            task.coefficients = np.load(Path(artifact_directory) / "coefficients.npy")
            return task

        def predict_proba(self, X, **kwargs):
            assert (self.coefficients == self.model.coef_).all()
            return self.model.predict_proba(X)
"""


def scaler(folder: Path, code: str, factor: int) -> Task:
    """A task of several files."""
    folder.mkdir(parents=True)
    (folder / "custom.py").write_text(textwrap.dedent(code))
    for name in ("helper.py", "lazy.py"):
        (folder / name).write_text(HELPER.format(factor=factor))
    return Task(folder, "transform")


def test_tasks_do_not_mix(commands: Commands, start_runner: StartRunner, tmp_path: Path) -> None:
    tasks = [
        scaler(tmp_path / "code" / "1", SCALER, 10),
        scaler(tmp_path / "code" / "10", PLAIN_SCALER, 7),
        Task(CLASSIFIER),
    ]
    training, chain = a_chain(commands, tmp_path, tasks)
    assert "the factor is 10\n" in training.log
    assert training.predictions("final").std() > 0.1
    assert (training.output / "artifacts/2/coefficients.npy").is_file()
    runner = start_runner(chain, OPTIONS)
    rows = json.loads(a_frame().to_json(orient="records", double_precision=15))
    answers = runner.predict(rows[9::10]).rows()
    values = [row["predictionValues"][0]["value"] for row in answers]
    assert values == pytest.approx(training.predictions("final")[:, 0].tolist(), abs=1e-9)


SPARSE = """
    from pathlib import Path
    import joblib
    import pandas as pd
    from scipy.sparse import issparse
    from sklearn.linear_model import LogisticRegression

    def fit(X, y, output_dir):
        {check}
        joblib.dump(LogisticRegression().fit(X, y), Path(output_dir) / "model.joblib")
"""
CHECKS = {
    "SUPPORTED": "assert isinstance(X, pd.DataFrame) and X.sparse.density < 1 and list(X)[0] == '0'",
    "REQUIRED": "assert issparse(X)",
}


@pytest.mark.parametrize("support", CHECKS)
def test_sparse_data_stay_sparse(commands: Commands, start_runner: StartRunner, tmp_path: Path, support: str) -> None:
    schema = {"input_requirements": [{"field": "sparse", "condition": "EQUALS", "value": support}]}
    estimator = Task(SPARSE.format(check=CHECKS[support]), schema=schema)
    tasks = [an_example("missing_values", "transform"), an_example("text_to_sparse", "transform"), estimator]
    training, chain = a_chain(commands, tmp_path, tasks)
    assert [task["sparse"] for task in training.fit("final")["tasks"]] == [False, True, False]
    rows = json.loads(a_frame().to_json(orient="records", double_precision=15))
    answers = start_runner(chain, OPTIONS).predict(rows[9::10]).rows()
    values = [row["predictionValues"][0]["value"] for row in answers]
    assert values == pytest.approx(training.predictions("final")[:, 0].tolist(), abs=1e-9)
