"""What each check says of good models and of bad ones; every model runs in the sandbox."""

import threading
import time
from typing import Any

import pytest

from modelyard.compute.executor import Executor
from tests.environments.contexts import zipped
from tests.models.testing.conftest import CSV, Bench
from tests.waiting import wait_until

ALL = {
    "errorCheck": "fail",
    "longRunningService": "fail",
    "nullValueImputation": "fail",
    "sideEffects": "fail",
    "predictionVerificationCheck": "fail",
    "performanceCheck": "fail",
    "stabilityCheck": "fail",
}


def parameters(dataset_id: str, **stability: Any) -> dict[str, Any]:
    return {
        "predictionVerificationCheck": {
            "datasetId": dataset_id,
            "predictionsColumn": "y",
            "matchingRate": 1.0,
            "comparisonPrecision": 1e-6,
        },
        "performanceCheck": {"maxResponseTime": 10, "maxExecutionTime": 60, "numParallelUsers": 3},
        "stabilityCheck": {
            "numPredictions": 20,
            "passingRate": 0.95,
            "numParallelUsers": 2,
            "minPayloadSize": 1,
            "maxPayloadSize": 50,
            **stability,
        },
    }


def statuses(test: dict[str, Any]) -> dict[str, str]:
    return {check: found["status"] for check, found in test["testingStatus"].items()}


def test_a_good_model_passes_all_seven(bench: Bench) -> None:
    version = bench.a_version()
    test = bench.run(version, configuration=ALL, parameters=parameters(bench.dataset_id))
    assert statuses(test) == dict.fromkeys(ALL, "succeeded"), str(test["testingStatus"])
    assert test["overallStatus"] == "succeeded"
    assert test["completedAt"] is not None
    assert test["customModelImageId"] == version["id"]
    assert "120" in test["testingStatus"]["errorCheck"]["message"]
    log = bench.api.get(f"/customModelTests/{test['id']}/log/")
    assert "the model was loaded" in log.text
    assert f"testing-{test['id']}.log" in log.headers["content-disposition"]
    tail = bench.api.get(f"/customModelTests/{test['id']}/tail/?lines=4").json()["log"]
    assert "stabilityCheck: succeeded" in tail
    assert len(tail.splitlines()) == 4


BROKEN = {
    "import": ("import nonsense_that_is_not_there", "longRunningService", "nonsense_that_is_not_there"),
    "load": (
        "def load_model(code_dir):\n    raise RuntimeError('no weights today')",
        "longRunningService",
        "no weights",
    ),
    "score": (
        "def load_model(d):\n    return 1\ndef score(data, model, **kw):\n    raise ValueError('cannot add up')",
        "errorCheck",
        "cannot add up",
    ),
    "rows": (
        (
            "import pandas as pd\ndef load_model(d):\n    return 1\n"
            "def score(data, model, **kw):\n    return pd.DataFrame({'Predictions': [1.0]})"
        ),
        "errorCheck",
        "rows",
    ),
    "death": (
        "import os\ndef load_model(d):\n    return 1\ndef score(data, model, **kw):\n    os._exit(3)",
        "errorCheck",
        "exit code 3",
    ),
    "memory": (
        (
            "def load_model(d):\n    return 1\n"
            "def score(data, model, **kw):\n    x = [bytearray(50_000_000) for _ in range(100)]\n    return x"
        ),
        "errorCheck",
        "memory",
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_model_fails_with_its_reason(bench: Bench, kind: str) -> None:
    source, check, reason = BROKEN[kind]
    test = bench.run(bench.a_version(source), maximumMemory=512 * 1024 * 1024)
    assert test["overallStatus"] == "failed", test
    assert test["testingStatus"][check]["status"] == "failed", test
    assert reason in test["testingStatus"][check]["message"], test["testingStatus"][check]
    if check == "longRunningService":
        assert test["testingStatus"]["errorCheck"]["status"] == "aborted"


def test_missing_values_name_the_feature(bench: Bench) -> None:
    source = """
        import pandas as pd

        def load_model(d):
            return 1

        def score(data, model, **kw):
            if data["colour"].isna().any():
                raise ValueError("what colour?")
            return pd.DataFrame({"Predictions": data["x"].fillna(0).astype(float)})
    """
    test = bench.run(bench.a_version(source), configuration={"nullValueImputation": "warn"})
    assert test["overallStatus"] == "warning"
    message = test["testingStatus"]["nullValueImputation"]["message"]
    assert "colour" in message
    assert "what colour?" in message


def test_rows_that_depend_on_each_other_are_found(bench: Bench) -> None:
    source = """
        import pandas as pd

        def load_model(d):
            return 1

        def score(data, model, **kw):
            return pd.DataFrame({"Predictions": data["x"].astype(float) - data["x"].astype(float).mean()})
    """
    version = bench.a_version(source)
    test = bench.run(version, configuration={"sideEffects": "fail"})
    assert statuses(test)["sideEffects"] == "failed"
    assert "alone" in test["testingStatus"]["sideEffects"]["message"]


@pytest.mark.parametrize(
    ("cells", "answer"),
    [
        (["1"] * 60 + ["A"], 'data["code"].map({1: 10.0, 2: 20.0, "A": 30.0}).fillna(0.0)'),
        (["1"] * 60, 'data["code"].astype(str).map({"1": 10.0}).fillna(0.0)'),
        (["1"] * 60 + ["A"], "[float(data['code'].dtype == object)] * len(data)"),
    ],
)
def test_a_model_that_looks_at_the_types_of_other_rows_is_found(bench: Bench, cells: list[str], answer: str) -> None:
    """Only the first of these models gives a row the same beside a text and a fraction as alone."""
    uploaded = bench.api.post(
        "/datasets/fromFile/", files={"file": ("codes.csv", "\n".join(["code", *cells]).encode())}
    )
    bench.installation.run_operations()
    source = f"""
        import pandas as pd

        def load_model(d):
            return 1

        def score(data, model, **kw):
            return pd.DataFrame({{"Predictions": {answer}}})
    """
    body = {"datasetId": uploaded.json()["catalogId"], "configuration": {"sideEffects": "fail"}}
    test = bench.run(bench.a_version(source), **body)
    assert statuses(test)["sideEffects"] == ("succeeded" if "fillna" in answer and "astype" not in answer else "failed")


def test_the_rows_of_one_column_are_counted_alike(bench: Bench) -> None:
    """A blank line is a row of the dataset, and is answered."""
    uploaded = bench.api.post("/datasets/fromFile/", files={"file": ("one.csv", b"x\n1\n\n3\n\n")})
    bench.installation.run_operations()
    assert bench.api.get(f"/datasets/{uploaded.json()['catalogId']}/").json()["rowCount"] == 4
    test = bench.run(bench.a_version(), datasetId=uploaded.json()["catalogId"], configuration={"errorCheck": "fail"})
    assert test["overallStatus"] == "succeeded", test["testingStatus"]


def test_wrong_predictions_are_counted(bench: Bench) -> None:
    csv = CSV.replace("\n0.5,", "\n99,")
    uploaded = bench.api.post("/datasets/fromFile/", files={"file": ("wrong.csv", csv.encode())})
    bench.installation.run_operations()
    asked = parameters(uploaded.json()["catalogId"])
    asked["predictionVerificationCheck"]["matchingRate"] = 1.0
    version = bench.a_version()
    test = bench.run(version, configuration={"predictionVerificationCheck": "fail"}, parameters=asked)
    assert "119 of 120" in test["testingStatus"]["predictionVerificationCheck"]["message"]
    assert test["overallStatus"] == "failed"
    asked["predictionVerificationCheck"]["matchingRate"] = 0.9
    test = bench.run(version, configuration={"predictionVerificationCheck": "fail"}, parameters=asked)
    assert test["overallStatus"] == "succeeded"


def test_slow_and_unstable_models_are_found(bench: Bench) -> None:
    source = """
        import time
        import pandas as pd

        def load_model(d):
            return 1

        def score(data, model, **kw):
            if len(data) == 120:
                time.sleep(1.5)
            if len(data) > 20 and len(data) != 120:
                raise ValueError("too many for me")
            return pd.DataFrame({"Predictions": data["x"].astype(float)})
    """
    asked = parameters(bench.dataset_id)
    asked["performanceCheck"] = {"maxResponseTime": 1, "maxExecutionTime": 60, "numParallelUsers": 1}
    config = {"performanceCheck": "fail", "stabilityCheck": "warn"}
    test = bench.run(bench.a_version(source), configuration=config, parameters=asked)
    assert statuses(test)["performanceCheck"] == "failed"
    assert statuses(test)["stabilityCheck"] == "warning"
    assert "too many for me" in test["testingStatus"]["stabilityCheck"]["message"]


def test_code_in_an_archive_is_not_found_and_the_log_says_so(bench: Bench) -> None:
    version = bench.a_version()
    only = zipped({"churn/custom.py": b"def score(data, model):\n    return data\n"})
    path = f"/customModels/{version['customModelId']}/versions/"
    fields = {"isMajorUpdate": "false", "baseEnvironmentId": bench.environment_id, "filePath": "model.zip"}
    made = bench.api.post(path, data=fields, files={"file": ("model.zip", only)})
    assert made.status_code == 201, made.text
    packed = made.json()
    assert [item["filePath"] for item in packed["items"]] == ["model.zip"]
    refused = bench.api.post(f"{path}{packed['id']}/dependencyBuild/")
    assert (refused.status_code, "churn/custom.py in it is not used" in refused.json()["message"]) == (422, True)
    test = bench.run(packed)
    assert test["overallStatus"] == "failed"
    log = bench.api.get(f"/customModelTests/{test['id']}/log/").text
    assert "model.zip is an archive and stays one file: the churn/custom.py in it is not used" in log


def test_without_a_dataset_an_unstructured_model_is_only_started(bench: Bench) -> None:
    source = "def score_unstructured(model, data, **kw):\n    return 'x'\ndef load_model(d):\n    return 1"
    version = bench.a_version(source, targetType="Unstructured", targetName=None)
    test = bench.run(version, datasetId=None, configuration=ALL)
    assert test["overallStatus"] == "succeeded"
    assert statuses(test) == {**dict.fromkeys(ALL, "skipped"), "longRunningService": "succeeded"}
    assert test["datasetId"] is None
    assert "no dataset" in test["testingStatus"]["errorCheck"]["message"]
    assert "unstructured" in test["testingStatus"]["sideEffects"]["message"]


def test_the_error_check_of_an_unstructured_model_sends_the_datasets_bytes(bench: Bench) -> None:
    source = """
        def load_model(d):
            return 1

        def score_unstructured(model, data, **kw):
            print(len(data), "were sent", flush=True)
            if b"colour" not in (data if isinstance(data, bytes) else data.encode()):
                raise ValueError("no header")
            return data
    """
    version = bench.a_version(source, targetType="Unstructured", targetName=None)
    test = bench.run(version, configuration=ALL)
    assert statuses(test)["errorCheck"] == "succeeded", test["testingStatus"]
    assert f"{len(CSV)} bytes" in test["testingStatus"]["errorCheck"]["message"]
    assert f"{len(CSV)} were sent" in bench.api.get(f"/customModelTests/{test['id']}/log/").text
    assert test["customModelImageId"] == version["id"]
    refusing = bench.a_version(source.replace("colour", "nothing"), targetType="Unstructured", targetName=None)
    failed = bench.run(refusing, configuration=ALL)
    assert (failed["overallStatus"], failed["customModelImageId"]) == ("failed", None)
    assert "no header" in failed["testingStatus"]["errorCheck"]["message"]
    quick = bench.run(version, configuration={"errorCheck": "skip"})
    assert quick["testingStatus"]["errorCheck"]["message"] == "Skipped, as the configuration of the test says."


def test_a_cancel_is_at_once_and_leaves_nothing_running(bench: Bench) -> None:
    source = """
        import time

        def load_model(d):
            return 1

        def score(data, model, **kw):
            time.sleep(600)
    """
    version = bench.a_version(source)
    started = bench.start(version)
    listed = f"/customModelTests/?customModelId={version['customModelId']}"
    test_id = bench.api.get(listed).json()["data"][0]["id"]
    engine = bench.installation.application.engine()
    running = threading.Thread(target=engine.run)
    running.start()
    try:
        test = f"/customModelTests/{test_id}/"

        def is_checking() -> bool:
            found = bench.api.get(test).json()
            return bool(found["testingStatus"]["errorCheck"]["status"] == "in_progress")

        wait_until(is_checking, 60, "the first check")
        time.sleep(0.5)  # the request is in the model now
        assert bench.start(version).status_code == 422
        assert bench.api.delete(test).status_code == 204
        found = bench.api.get(test).json()
        assert found["overallStatus"] == "canceled"
        assert found["testingStatus"]["errorCheck"]["status"] == "canceled"
        assert found["testingStatus"]["longRunningService"]["status"] == "succeeded"
        assert bench.api.delete(test).status_code == 409
        wait_until(lambda: bench.api.get(started.headers["Location"]).json()["status"] == "ABORTED", 20, "the end")
        executor = bench.installation.application.parts.get(Executor)  # type: ignore[type-abstract]
        assert not [one for one in executor.ids() if executor.observe(one).is_alive]
    finally:
        engine.stop()
        running.join(20)


def test_what_is_wrong_with_a_request_is_said_at_once(bench: Bench) -> None:
    version = bench.a_version()
    assert bench.start(version, datasetId=None).json()["errors"].keys() == {"datasetId"}
    assert bench.start(version, datasetId="0" * 24).status_code == 404
    answer = bench.start(
        version,
        configuration={"predictionVerificationCheck": "fail"},
        maximumMemory=256 * 1024 * 1024,
        resourceBundleId="cpu.nano",
    )
    assert answer.status_code == 422
    assert set(answer.json()["errors"]) == {"parameters.predictionVerificationCheck", "maximumMemory"}
    answer = bench.start(version, environmentVersionId="0" * 24)
    assert answer.json()["errors"].keys() == {"environmentVersionId"}
    asked = parameters(bench.dataset_id)
    asked["predictionVerificationCheck"]["predictionsColumn"] = "nowhere"
    answer = bench.start(version, configuration={"predictionVerificationCheck": "fail"}, parameters=asked)
    assert answer.status_code == 422
    assert "nowhere" in answer.text
    stranger = bench.installation.a_user("stranger", organization="elsewhere")
    assert stranger.get(f"/customModelTests/?customModelId={version['customModelId']}").status_code == 404
    test = bench.run(version)
    assert stranger.get(f"/customModelTests/{test['id']}/").status_code == 404
    for lines in ("0", "1001", "x", "-1"):
        assert bench.api.get(f"/customModelTests/{test['id']}/tail/?lines={lines}").status_code == 400
    assert bench.api.get("/customModelTests/").status_code == 422
