"""Tasks that fail, lie or hang: each training says which task, where and why, and nothing half-made is left."""

from collections.abc import Callable

from tests.learning.builders import Lab, path_of
from tests.learning.tasks import FILL, LOGISTIC, LOGISTIC_METADATA, SHARES, fitting, scoring
from tests.waiting import wait_until

ESTIMATORS = {
    fitting("raise ValueError('no idea')"): ": ValueError: no idea",
    fitting("os.kill(os.getpid(), signal.SIGKILL)"): "fit of",
    fitting("os._exit(3)"): "fit of",
    fitting("open('/opt/code/tasks/0/mine.txt', 'w')"): "Read-only file system",
    fitting("bytearray(10 << 30)"): "memory",
    scoring("return pd.DataFrame({'yes': [np.nan] * len(data), 'no': [1.0] * len(data)})"): "predict of",
    scoring("return pd.DataFrame({'yes': [0.5], 'no': [0.5]})"): "1 rows",
    scoring("return pd.DataFrame({'yes': [0.7] * len(data), 'no': [0.7] * len(data)})"): "sum",
    scoring("return pd.DataFrame({'maybe': [1.0] * len(data), 'no': [0.0] * len(data)})"): "maybe",
}
TRANSFORMS = {
    FILL.replace("return X[", "return X.head(3)["): "rows",
    FILL.replace(
        "return X[list(transformer.index)].fillna(transformer)", "return X.assign(city='text')"
    ): "text in the column 'city'",
}
NUMBERS_ONLY = """
    name: fill
    typeSchema:
      output_requirements:
        - {field: data_types, condition: EQUALS, value: NUM}
"""


def test_what_bad_tasks_do_is_told(a_lab: Callable[..., Lab]) -> None:
    lab = a_lab(default_training_memory_bytes=1 << 30)
    with lab.working():
        project = lab.a_project(partitioning={"method": "cv", "folds": 2, "holdoutPct": 0})
        logistic = lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)
        chains = [(text, lab.train(project, lab.a_task(code))) for code, text in ESTIMATORS.items()]
        chains += [
            (text, lab.train(project, lab.a_task(code, "Transform", NUMBERS_ONLY), logistic))
            for code, text in TRANSFORMS.items()
        ]
        for text, model in chains:
            found = lab.ended(model)
            assert found["status"] == "errored", found
            assert text in found["reason"], (text, found["reason"])
            assert found["metrics"] == {}
            assert found["artifactSize"] is None
            assert 0 <= found["progress"]["done"] < found["progress"]["total"]
            assert found["progress"]["message"] == found["reason"]
            assert found["reason"] in lab.log(found)
            asked = lab.api.post(path_of(found) + "predictions/", json={"datasetId": project["datasetId"]})
            assert asked.status_code == 409
            assert lab.api.delete(path_of(found)).status_code == 204


def test_a_training_that_hangs_ends_at_its_time_limit(a_lab: Callable[..., Lab]) -> None:
    lab = a_lab(training_timeout_s=2)
    with lab.working():
        model = lab.ended(lab.train(lab.a_project(), lab.a_task(fitting("time.sleep(600)"))))
    assert (model["status"], "time limit" in model["reason"]) == ("errored", True)


def test_a_training_is_canceled_while_it_goes_on(working_lab: Lab) -> None:
    lab = working_lab
    model = lab.train(lab.a_project(), lab.a_task(fitting("print('fitting', flush=True); time.sleep(600)")))
    wait_until(lambda: "\nfitting" in lab.log(model), what="the task to be fitted")
    assert lab.model(model)["status"] == "training"
    assert lab.api.delete(path_of(model) + "training/").status_code == 204
    found = lab.ended(model)
    assert (found["status"], found["reason"]) == ("canceled", "canceled")
    assert "\nfitting" in lab.log(found)


def test_weights_that_are_none_are_refused_at_once(lab: Lab) -> None:
    lines = ["x,y,holes,below,nothing", *(f"{n},{'ab'[n % 2]},{n if n % 5 else ''},{n - 3},0" for n in range(40))]
    project = lab.a_project(datasetId=lab.a_dataset(lines), target="y", partitioning={"method": "cv", "folds": 2})
    shares = lab.a_task(SHARES)
    for column, text in {
        "holes": "no value in 8 rows",
        "below": "below 0, such as -3",
        "nothing": "0 in every",
    }.items():
        assert text in lab.refused(project, shares, rowWeightsColumn=column)["rowWeightsColumn"]


def test_requirements_that_cannot_be_met_are_told(working_lab: Lab) -> None:
    lab = working_lab
    task_version = lab.a_task(SHARES, requirements="no-such-package-anywhere==1.0")
    model = lab.ended(lab.train(lab.a_project(), task_version))
    assert model["status"] == "errored"
    assert "no-such-package-anywhere" in model["reason"]
