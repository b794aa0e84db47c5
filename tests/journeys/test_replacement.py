"""Changing what answers while clients ask: replacements, stops, replicas that die, and batching."""

import os
import signal
import threading
from typing import Any

import pytest

from tests.journeys.crowd import Crowd, switches
from tests.journeys.story import SCIKIT_LEARN, Story, answered
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("journeys_replacement")

NAMED = """
    def load_model(code_dir):
        return {name!r}

    def score_unstructured(model, data, **kwargs):
        return model
"""
DOUBLE = """
    import pandas as pd

    def load_model(code_dir):
        return "ready"

    def score(data, model, **kwargs):
        calls = {{"rows": []}}
        return pd.DataFrame({{"Predictions": data["x"].astype(float) * 2 + {extra}}})
"""


def a_named_package(story: Story, name: str, **version: str) -> dict[str, Any]:
    return story.a_package_of(NAMED.format(name=name), version=version, name=name)


def test_replacing_the_model_under_load_loses_nothing(story: Story) -> None:
    old, new = (a_named_package(story, name) for name in ("old", "new"))
    deployment_id = story.deploy(old)
    crowd = Crowd(story, deployment_id)
    with crowd.asking():
        crowd.await_more(300)
        location = story.replace(deployment_id, new)
        assert story.read(deployment_id)["status"] == "replacingModel"
        story.await_success(location)
        crowd.await_more(700)
    assert crowd.failures == []
    assert crowd.count >= 1000
    for told in crowd.answers:
        assert (told[0], told[-1]) == ("old", "new")
        assert switches(told) == 1, "an answer of the old model after one of the new"
    found = story.read(deployment_id)
    assert (found["status"], found["modelPackage"]["id"]) == ("active", new["id"])
    wait_until(lambda: len(story.workloads_of(deployment_id)) == 1 or None, 20, "the end of the old replica")
    story.delete(deployment_id)


BROKEN = {
    "a model that cannot be loaded": (
        NAMED.replace("return {name!r}", "raise RuntimeError('no weights today')"),
        "no weights",
    ),
    "a module that is missing": ("import nonsense_that_is_not_there", "nonsense_that_is_not_there"),
    "a process that ends": ("import os\nos._exit(7)", "exit code 7"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_replacement_that_does_not_start_leaves_the_old_model(story: Story, kind: str) -> None:
    source, reason = BROKEN[kind]
    old, broken = a_named_package(story, "old"), story.a_package_of(source)
    deployment_id = story.deploy(old)
    crowd = Crowd(story, deployment_id)
    with crowd.asking(2):
        message = story.await_failure(story.replace(deployment_id, broken))
        crowd.await_more(20)
    assert reason in message
    assert crowd.failures == []
    assert {answer for told in crowd.answers for answer in told} == {"old"}
    found = story.read(deployment_id)
    assert (found["status"], found["modelPackage"]["id"]) == ("active", old["id"])
    assert reason in story.launch_log(deployment_id)
    wait_until(lambda: len(story.workloads_of(deployment_id)) == 1 or None, 20, "the end of what did not start")
    story.delete(deployment_id)


def test_inactive_stops_and_active_starts_again(story: Story) -> None:
    deployment_id = story.deploy(a_named_package(story, "here"))
    assert story.ask(deployment_id).text == "here"
    story.await_success(story.set_status(deployment_id, "inactive"))
    assert story.read(deployment_id)["status"] == "inactive"
    refused = story.ask(deployment_id)
    assert refused.status_code == 422
    assert "inactive" in refused.json()["message"]
    assert story.workloads_of(deployment_id) == []
    answer = story.api.patch(
        f"/deployments/{deployment_id}/model/",
        json={"modelPackageId": a_named_package(story, "other")["id"], "reason": "OTHER"},
    )
    assert answer.status_code == 409
    story.await_success(story.set_status(deployment_id, "active"))
    assert story.ask(deployment_id).text == "here"
    story.delete(deployment_id)
    wait_until(lambda: story.workloads_of(deployment_id) == [] or None, 20, "the end of its replica")
    gone = story.ask(deployment_id)
    assert gone.status_code == 404, gone.text


def test_a_launch_can_be_stopped(story: Story) -> None:
    package = story.a_package_of("import time\n\ndef load_model(d):\n    time.sleep(3600)")
    deployment_id, location = story.launch(package)
    wait_until(lambda: story.workloads_of(deployment_id) or None, 30, "the model to be starting")
    starting = story.ask(deployment_id)
    assert starting.status_code == 503
    assert starting.headers["retry-after"]
    story.await_success(story.set_status(deployment_id, "inactive"))
    assert story.await_end(location).json()["status"] == "ABORTED"
    assert story.read(deployment_id)["status"] == "inactive"
    assert story.workloads_of(deployment_id) == []
    story.delete(deployment_id)


PURE = """
    import os
    import pandas as pd

    def load_model(code_dir):
        return str(os.getpid())

    def score(data, model, **kwargs):
        return pd.DataFrame({"Predictions": data["x"].astype(float) * 2})
"""


def test_with_two_replicas_one_may_be_killed(story: Story) -> None:
    package = story.a_package_of(
        PURE, environment=SCIKIT_LEARN, targetType="Regression", targetName="y", version={"replicas": "2"}
    )
    deployment_id = story.deploy(package)
    assert len(story.workloads_of(deployment_id)) == 2
    failures: list[str] = []
    counts = [0] * 4
    over = threading.Event()

    def ask(place: int) -> None:
        while not over.is_set():
            answer = story.predict(deployment_id, [{"x": counts[place]}])
            if answer.status_code != 200 or answer.json()["data"][0]["prediction"] != 2 * counts[place]:
                failures.append(f"{answer.status_code} {answer.text}")
            counts[place] += 1

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(counts))]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: min(counts) > 20, 30, "traffic")
        before = {one.id for one in story.workloads_of(deployment_id)}
        os.kill(story.workloads_of(deployment_id)[0].runner_pid(), signal.SIGKILL)
        wait_until(lambda: {one.id for one in story.workloads_of(deployment_id)} != before or None, 30, "its end")
        wait_until(lambda: len(story.workloads_of(deployment_id)) == 2 or None, 30, "a new replica")
        seen = min(counts)
        wait_until(lambda: min(counts) > seen + 20, 30, "more traffic")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert story.read(deployment_id)["status"] == "active"
    story.delete(deployment_id)


def test_two_deployments_are_changed_at_once_and_apart(story: Story) -> None:
    packages = {name: a_named_package(story, name) for name in ("one", "two", "three")}
    launched = [story.launch(packages[name], label=name) for name in ("one", "two")]
    for _, location in launched:
        story.await_success(location)
    first, second = (deployment_id for deployment_id, _ in launched)
    assert [story.ask(one).text for one in (first, second)] == ["one", "two"]
    changes = [story.replace(first, packages["three"]), story.set_status(second, "inactive")]
    busy = story.api.patch(f"/deployments/{first}/status/", json={"status": "inactive"})
    assert busy.status_code == 409
    for location in changes:
        story.await_success(location)
    assert story.ask(first).text == "three"
    assert story.ask(second).status_code == 422
    for deployment_id in (first, second):
        story.delete(deployment_id)


COUNTING = """
    import pandas as pd

    def load_model(code_dir):
        return {"calls": 0, "most": 0}

    def score(data, model, **kwargs):
        model["calls"] += 1
        model["most"] = max(model["most"], len(data))
        if data["x"].iloc[0] == -1:
            return pd.DataFrame({"Predictions": [float(model["most"])] * len(data)})
        import time
        time.sleep(0.005)
        return pd.DataFrame({"Predictions": data["x"].astype(float) ** 2})
"""


def together(story: Story, deployment_id: str, count: int = 200) -> tuple[list[float], int]:
    """What ``count`` single rows are answered by 16 clients at once, and the most rows that were scored together."""
    answers: dict[int, float] = {}
    waiting = list(range(count))

    def ask() -> None:
        while waiting:
            try:
                number = waiting.pop()
            except IndexError:
                return
            found = answered(story.predict(deployment_id, [{"x": number}]), 200)["data"]
            assert len(found) == 1
            answers[number] = found[0]["prediction"]

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    most = answered(story.predict(deployment_id, [{"x": -1}]), 200)["data"][0]["prediction"]
    return [answers[number] for number in range(count)], int(most)


def test_rows_are_scored_together_only_where_a_test_allowed_it(story: Story) -> None:
    """Settings of a deployment: ``predictionBatching.enabled``; a passed side-effects test is what permits it."""
    model = story.a_model(targetType="Regression", targetName="y")
    version = story.a_version(model["id"], {"custom.py": COUNTING}, SCIKIT_LEARN)
    package = story.a_package(version)
    untested = story.deploy(package, label="untested")
    expected = [float(number**2) for number in range(200)]
    assert together(story, untested) == (expected, 1)

    rows = "x,y\n" + "".join(f"{number},{number**2}\n" for number in range(30))
    uploaded = story.api.post("/datasets/fromFile/", files={"file": ("rows.csv", rows.encode())})
    dataset = story.await_success(uploaded.headers["Location"])
    asked = {"customModelId": model["id"], "customModelVersionId": version["id"], "datasetId": dataset["datasetId"]}
    asked["configuration"] = {"errorCheck": "fail", "longRunningService": "fail", "sideEffects": "fail"}
    test = story.await_success(story.api.post("/customModelTests/", json=asked).headers["Location"])
    assert test["testingStatus"]["sideEffects"]["status"] == "succeeded", test

    tested = story.deploy(package, label="tested")
    answers, most = together(story, tested)
    assert answers == expected
    assert most > 1, "no rows were scored together"
    switch = f"/deployments/{tested}/settings/"
    off = story.api.patch(switch, json={"predictionBatching": {"enabled": False}})
    story.await_success(off.headers["Location"])
    assert story.api.get(switch).json()["predictionBatching"] == {"enabled": False}
    assert together(story, tested) == (expected, 1)
    for deployment_id in (untested, tested):
        story.delete(deployment_id)


def test_the_end_leaves_nothing_behind(story: Story) -> None:
    for deployment in story.api.get("/deployments/?limit=100").json()["data"]:
        story.delete(deployment["id"])
    story.await_nothing_runs()
    wait_until(lambda: story.processes() == [], 10, "the end of all supervisors")
