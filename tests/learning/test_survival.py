"""Whatever is killed, at whatever moment: each training ends, with the same model as if nothing had happened."""

import json
import os
import signal
import subprocess
import sys

from modelyard.compute.executor import Executor
from modelyard.garbage import collect
from modelyard.learning.tables import LearningModel
from tests.jobs.controller import TRAINING_PLACES
from tests.learning.builders import Lab
from tests.learning.tasks import FILL, LOGISTIC, LOGISTIC_METADATA, fitting
from tests.waiting import wait_until

SPLIT = {"method": "tvh", "validationPct": 25, "holdoutPct": 25}


def die_at(lab: Lab, place: str) -> None:
    """A controller in a process of its own, which works until it is at that place."""
    settings = json.dumps(lab.installation.application.settings.model_dump(exclude_unset=True), default=str)
    command = [sys.executable, "-m", "tests.jobs.controller", settings, place]
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL, place


def test_a_controller_that_dies_at_any_place_is_followed_by_another(lab: Lab) -> None:
    project = lab.a_project(partitioning=SPLIT)
    fill, logistic = lab.a_task(FILL, "Transform"), lab.a_task(LOGISTIC, metadata=LOGISTIC_METADATA)
    found = []
    for place in TRAINING_PLACES:
        model = lab.train(project, fill, logistic)
        die_at(lab, place)
        with lab.working():
            found.append(lab.ended(model))
        assert found[-1]["status"] == "completed", (place, found[-1]["reason"])
        assert lab.log(model).count("fitted with C") == 2, place
    assert all(one["metrics"] == found[0]["metrics"] for one in found)
    application = lab.installation.application
    collect(application.database, application.parts, application.settings, age_s=0)  # as an hour later
    assert application.parts.get(Executor).ids() == []  # type: ignore[type-abstract]
    assert not list((application.settings.data_dir / "trainings").iterdir())


def test_a_training_whose_supervisor_is_killed_begins_anew(working_lab: Lab) -> None:
    """As after a restart of the machine. It is not begun for ever."""
    lab = working_lab
    executor = lab.installation.application.parts.get(Executor)  # type: ignore[type-abstract]
    project = lab.a_project(partitioning=SPLIT)
    model = lab.train(project, lab.a_task(fitting("print('begun', flush=True); time.sleep(600)")))
    killed: set[str] = set()
    for _ in range(3):

        def begun() -> LearningModel | None:
            with lab.installation.application.database.read() as session:
                row = session.get_one(LearningModel, model["id"])
            is_new = row.workload_id is not None and row.workload_id not in killed
            return row if is_new and b"begun" in executor.logs(str(row.workload_id)).part(0, 100_000).data else None

        workload_id = str(wait_until(begun, what="the training to begin").workload_id)
        supervisor = executor.observe(workload_id).supervisor_pid
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        killed.add(workload_id)
    found = lab.ended(model)
    assert found["status"] == "errored"
    assert "its supervisor was killed" in found["reason"]
