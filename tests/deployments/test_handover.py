"""Launches outlive the controller that began them."""

import threading

from modelyard.compute.services.service import replicas_of
from tests.deployments.serving import ECHO, Workshop
from tests.waiting import wait_until


def test_another_controller_finishes_a_launch_without_starting_the_model_again(workshop: Workshop) -> None:
    made = workshop.a_deployment(workshop.a_package_of("import time\ntime.sleep(2)\n" + _plain(ECHO)))
    engine = workshop.installation.application.engine()
    first = threading.Thread(target=engine.run, daemon=True)
    first.start()
    started = wait_until(lambda: _replica_ids(workshop, made["id"]), 60.0, "the first replica")
    engine.stop()
    first.join(20)
    assert not first.is_alive()
    assert workshop.read(made["id"])["status"] == "launching"
    with workshop.working():
        assert workshop.await_success(made["location"]).json()["status"] == "active"
        assert _replica_ids(workshop, made["id"]) == started
        assert workshop.ask(made["id"], "world").body == b"hello world"


def _plain(source: str) -> str:
    return "\n".join(line[4:] for line in source.splitlines())


def _replica_ids(workshop: Workshop, deployment_id: str) -> list[str]:
    with workshop.installation.application.database.read() as session:
        return [replica.id for replica in replicas_of(session, deployment_id)]
