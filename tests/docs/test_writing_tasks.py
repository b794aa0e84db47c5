"""The tasks on the page about tasks can be trained as they stand there."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from tests.runner.training import Commands, Task, a_plan

PAGE = Path(__file__).parents[2] / "docs" / "writing-tasks.md"
ROWS = 60


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def a_frame() -> pd.DataFrame:
    sold = ["no", "yes", "yes"] * 20
    frame = pd.DataFrame({"x": np.random.default_rng(2).normal(size=ROWS), "text": "a", "sold": sold})
    return frame.assign(price=frame["x"] * 2).assign(x=frame["x"].where(frame.index % 7 != 3))


def test_the_tasks_of_the_page(tmp_path: Path) -> None:
    transform, estimator, as_class = blocks("python")
    schema = yaml.safe_load(blocks("yaml")[0])["typeSchema"]
    schema["input_requirements"] = [one for one in schema["input_requirements"] if one["field"] == "data_types"]
    commands = Commands()
    first = Task(transform, "transform", schema=schema)
    for target_type, target, last in (("Binary", "sold", estimator), ("Regression", "price", as_class)):
        folder = tmp_path / target
        frame = a_frame()[["x", "text", target]]
        training = commands.train(folder, a_plan(folder, frame, [first, Task(last)], target_type, target))
        assert len(training.predictions("final")) == ROWS // 10
    commands.stop()


def test_what_the_schema_of_the_page_refuses(tmp_path: Path) -> None:
    transform, _, as_class = blocks("python")
    schema = yaml.safe_load(blocks("yaml")[0])["typeSchema"]
    commands = Commands()
    tasks = [Task(transform, "transform", schema=schema), Task(as_class)]
    training = commands.train(tmp_path, a_plan(tmp_path, a_frame(), tasks, "Regression", "price"))
    commands.stop()
    assert training.error["message"].startswith("the task was given missing values in 'x'; its typeSchema says")
