"""The examples in a real runner process: what a client gets is what the hooks say."""

import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from pathspec import GitIgnoreSpec

from tests.examples.loading import EXAMPLES, Example, free_port
from tests.runner.running import RunningRunner
from tests.waiting import wait_until

TABULAR = ["churn_model", "house_prices", "iris_species", "sensor_anomaly", "transform_scaler", "text_generation"]


def pushed_copy(example: str, folder: Path) -> Path:
    """A copy of what is pushed of an example; the server in C is built into it."""
    source = EXAMPLES / example
    ignored = GitIgnoreSpec.from_lines((source / ".modelyardignore").read_text().splitlines())
    for path in source.rglob("*"):
        name = path.relative_to(source).as_posix()
        if path.is_file() and not ignored.match_file(name) and name != "scorer":
            shutil.copy(path, folder / name)
    if example == "c_server":
        subprocess.run(["make", "-C", source, f"OUT={folder / 'scorer'}"], check=True, capture_output=True)
    return folder


def in_use(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def options(example: str) -> list[str]:
    """The runner's options, as the metadata of the example gives them."""
    metadata = yaml.safe_load((EXAMPLES / example / "model-metadata.yaml").read_text())
    target = metadata["inferenceModel"]
    chosen = ["--target-type", metadata["targetType"], "--target-name", target["targetName"]]
    for key, option in [
        ("positiveClassLabel", "--positive-class-label"),
        ("negativeClassLabel", "--negative-class-label"),
        ("predictionThreshold", "--threshold"),
    ]:
        chosen += [option, str(target[key])] if key in target else []
    return chosen + (["--class-labels", *target["classLabels"]] if "classLabels" in target else [])


@pytest.mark.parametrize("example", TABULAR)
def test_the_sample_is_answered_as_the_hooks_say(example: str, tmp_path: Path) -> None:
    runner = RunningRunner(pushed_copy(example, tmp_path), options(example), {"GREETING": "", "MAX_WORDS": "40"})
    try:
        runner.wait_ready()
        rows = runner.predict((EXAMPLES / example / "sample.csv").read_bytes()).rows()
    finally:
        runner.stop()
    folder = Example(example)
    expected = folder.predict(folder.sample())
    assert len(rows) == len(expected)
    if example == "text_generation":
        assert [row["prediction"] for row in rows] == list(expected["resultText"])
        return
    names = {"Predictions": options(example)[3]}
    got = pd.DataFrame([{value["label"]: value["value"] for value in row["predictionValues"]} for row in rows])
    np.testing.assert_allclose(got[[names.get(str(name), str(name)) for name in expected]], expected, rtol=1e-9)


def test_missing_columns_reach_the_client(tmp_path: Path) -> None:
    runner = RunningRunner(pushed_copy("churn_model", tmp_path), options("churn_model"), {})
    try:
        answer = runner.wait_ready().predict([{"age": 40}])
    finally:
        runner.stop()
    assert answer.status == 422
    assert "missing columns: household_size" in answer.message()


def test_words_are_counted_in_what_a_client_sends(tmp_path: Path) -> None:
    example = "unstructured_wordcount"
    runner = RunningRunner(pushed_copy(example, tmp_path), options(example), {})
    route = "/v1/predictionsUnstructured"
    try:
        text = runner.wait_ready().predict("Boot, Boot", "text/plain; charset=utf-8", path=route)
        raw = runner.predict(b"Boot, Boot", "application/octet-stream", path=route)
    finally:
        runner.stop()
    assert text.headers["content-type"].startswith("application/json")
    assert text.json() == {"characters": 10, "words": 2, "top": [{"word": "boot", "count": 2}]}
    assert raw.body == b"boot\t2\n"


def test_the_server_in_c_answers_through_the_runner(tmp_path: Path) -> None:
    code = pushed_copy("c_server", tmp_path)
    port = free_port()
    upstream = ["--upstream", "--upstream-port", str(port)]
    runner = RunningRunner(code, [*options("c_server"), *upstream], {})
    try:
        runner.wait_ready()
        sample = (EXAMPLES / "c_server/sample.csv").read_bytes()
        rows = runner.predict(sample).rows()
        answer = runner.predict([{"rain": 1}])
    finally:
        runner.stop()
    assert [row["prediction"] for row in rows] == pytest.approx([24.07, 63.1, 14.695])
    assert answer.status == 422
    assert "missing column: distance_km" in answer.message()
    wait_until(lambda: not in_use(port), what="the end of the server in C")
