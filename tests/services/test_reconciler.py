"""The reconciler with real workloads: starting, dying, replacing, stopping, taking over."""

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from modelyard.compute.process_executor import ProcessExecutor
from modelyard.compute.services.decisions import START_ATTEMPTS
from modelyard.compute.services.service import (
    ServiceStatus,
    remove_service,
    revert_service,
    scale_service,
    stop_service,
)
from modelyard.compute.services.tables import Replica, ReplicaState, Service, ServiceState
from modelyard.compute.workload import OpenedVariables
from modelyard.kernel.errors import Conflict
from modelyard.kernel.ids import new_id
from modelyard.kernel.outages import StoreOutage
from modelyard.operations.owners import lease_owner
from tests.services.conftest import ServicesBench


def is_ready(status: ServiceStatus | None) -> bool:
    return status is not None and status.state is ServiceState.READY


def test_it_comes_up_and_goes_down(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, replicas=2)
    status = bench.until(service_id, is_ready)
    assert (status.ready_replicas, status.serving_generation) == (2, 1)
    assert bench.words(service_id) == ["hello", "hello"]
    with bench.database.write() as session:
        scale_service(session, service_id, 1)
    bench.until(service_id, lambda status: bool(status and status.ready_replicas == 1 and len(bench.alive()) == 1))
    with bench.database.write() as session:
        stop_service(session, service_id)
    bench.until(service_id, lambda status: bool(status and status.state is ServiceState.STOPPED))
    assert bench.alive() == []
    bench.put(service_id, "again")
    bench.until(service_id, is_ready)
    assert bench.words(service_id) == ["again"]
    with bench.database.write() as session:
        remove_service(session, service_id)
    bench.until(service_id, lambda status: status is None)
    assert bench.executor.ids() == []


def test_a_replica_that_dies_is_replaced(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, replicas=2)
    bench.until(service_id, is_ready)
    victim, survivor = bench.ready(service_id)
    bench.kill(victim.id)
    bench.until(service_id, lambda status: bool(status and status.ready_replicas == 1))
    bench.until(service_id, is_ready)
    assert survivor.id in {replica.id for replica in bench.ready(service_id)}
    assert len(bench.alive()) == 2
    with bench.database.read() as session:
        ended = session.get_one(Replica, victim.id)
    assert ended.state == ReplicaState.ENDED.value
    assert "killed" in str(ended.reason)


def test_a_replica_that_says_it_is_stuck_is_replaced(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, replicas=2, stuck_timeout_s=0.5)
    bench.until(service_id, is_ready)
    victim, survivor = bench.ready(service_id)
    folder = bench.executor.address(victim.id)
    assert folder is not None
    (folder / "stuck").touch()
    bench.until(service_id, lambda status: bool(status and status.ready_replicas == 1))
    bench.until(service_id, lambda status: is_ready(status) and len(bench.alive()) == 2)
    assert survivor.id in {replica.id for replica in bench.ready(service_id)}
    with bench.database.read() as session:
        ended = session.get_one(Replica, victim.id)
    assert "held up" in str(ended.reason)


def test_a_new_generation_takes_over_when_it_is_ready(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, "old")
    bench.until(service_id, is_ready)
    (old,) = bench.ready(service_id)
    generation = bench.put(service_id, "new")
    seen = set()

    def is_done(status: ServiceStatus | None) -> bool:
        assert status is not None
        with bench.database.read() as session:
            serving = session.get_one(Service, service_id).serving_generation
        answering = [one for one in bench.ready(service_id) if one.generation == serving]
        assert answering, "at every moment somebody answers"
        seen.add(serving)
        return status.state is ServiceState.READY and status.serving_generation == generation

    bench.until(service_id, is_done)
    assert seen == {1, 2}
    assert bench.words(service_id) == ["new"]
    bench.until(service_id, lambda _status: not bench.executor.observe(old.id).is_alive)


def test_a_generation_that_does_not_come_up_leaves_the_old_one_alone(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, "old")
    bench.until(service_id, is_ready)
    bench.put(service_id, "broken")
    status = bench.until(service_id, lambda status: bool(status and status.state is ServiceState.FAILED))
    assert status.reason == "I am broken"
    assert bench.words(service_id) == ["old"]
    with bench.database.read() as session:
        tried = session.query(Replica).filter_by(service_id=service_id, generation=2).count()
    assert tried == START_ATTEMPTS
    with bench.database.write() as session:
        revert_service(session, service_id)
    bench.until(service_id, is_ready)
    assert bench.words(service_id) == ["old"]


def test_what_never_gets_ready_is_given_up(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id, start_timeout_s=0.3, health_path="/", socket_name="nowhere.sock")
    status = bench.until(service_id, lambda status: bool(status and status.state is ServiceState.FAILED))
    assert "not ready after 0 s" in str(status.reason) or "was not ready" in str(status.reason)
    bench.until(service_id, lambda _status: not bench.alive())


def test_a_replica_that_was_only_written_down_is_started_by_the_next_controller(
    bench: ServicesBench, service_id: str
) -> None:
    bench.put(service_id)
    with bench.database.write() as session:
        service = session.get_one(Service, service_id)
        session.add(
            Replica(
                id=new_id(),
                service_id=service_id,
                generation=service.generation,
                state=ReplicaState.STARTING.value,
                created_at=service.updated_at,
            )
        )
    bench.until(service_id, is_ready)
    assert len(bench.alive()) == 1


def test_of_two_reconcilers_one_works(bench: ServicesBench, service_id: str) -> None:
    bench.put(service_id)
    bench.until(service_id, is_ready)
    other = bench.a_reconciler("elsewhere/1/0.00")
    before = bench.alive()
    bench.kill(before[0])
    for _ in range(5):
        other.run()
    assert bench.ready(service_id), "the other one did not look"
    bench.until(service_id, is_ready)


def test_credentials_are_opened_at_each_start_and_stored_nowhere(bench: ServicesBench, service_id: str) -> None:
    asked = []

    def variables(acts_for: str | None, ids: Mapping[str, str]) -> OpenedVariables:
        asked.append((acts_for, dict(ids)))
        return OpenedVariables({"WORD": "not this", "OTHER": "x"}, {"WORD": "nor this", "KEY": "the-secret"})

    bench.materials = replace(bench.materials, variables=variables)
    bench.reconciler = bench.a_reconciler(lease_owner())
    bench.put(service_id, credentials={"KEY": "some-id"}, acts_for="somebody")
    bench.until(service_id, is_ready)
    assert bench.words(service_id) == ["hello"], "what the spec says itself counts more"
    [replica] = bench.ready(service_id)
    workload = bench.executor.describe(replica.id)
    assert workload is not None
    assert (workload.literals, workload.secrets) == ({"OTHER": "x"}, {"KEY": ""})
    bench.kill(replica.id)
    bench.until(service_id, lambda status: not is_ready(status))
    bench.until(service_id, is_ready)
    assert asked == [("somebody", {"KEY": "some-id"})] * 2


def test_a_start_that_cannot_be_made_is_tried_again_and_given_up(bench: ServicesBench, service_id: str) -> None:
    asked = []

    def variables(acts_for: str | None, ids: Mapping[str, str]) -> OpenedVariables:
        asked.append(acts_for)
        raise Conflict(f"there is no {ids['KEY']}")

    bench.materials = replace(bench.materials, variables=variables)
    bench.reconciler = bench.a_reconciler(lease_owner())
    bench.put(service_id, credentials={"KEY": "some-id"}, acts_for="somebody")
    status = bench.until(service_id, lambda status: bool(status and status.state is ServiceState.FAILED))
    assert status.reason == "there is no some-id"
    assert len(asked) == START_ATTEMPTS
    assert bench.executor.ids() == []


def test_it_waits_for_disk_space_and_starts_by_itself(bench: ServicesBench, service_id: str) -> None:
    assert isinstance(bench.executor, ProcessExecutor)
    bench.executor.min_free_bytes = 1 << 60
    bench.put(service_id)
    for _ in range(START_ATTEMPTS + 1):
        bench.reconciler.run()
    status = bench.status(service_id)
    assert status is not None
    assert status.state is ServiceState.LAUNCHING
    assert str(status.reason).startswith("waiting for disk space: ")
    assert bench.executor.ids() == []
    bench.executor.min_free_bytes = 0
    status = bench.until(service_id, is_ready)
    assert status.reason is None


def test_an_outage_of_one_service_is_logged_once_and_an_error_names_its_service(
    bench: ServicesBench, service_id: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = new_id()
    bench.put(service_id)
    bench.put(other)
    errors: list[Exception] = [StoreOutage("connection refused")] * 3 + [ZeroDivisionError()]

    def step(stepped: str) -> bool:
        if stepped == service_id and errors:
            raise errors.pop(0)
        return False

    monkeypatch.setattr(bench.reconciler, "step", step)
    for _ in range(5):
        bench.reconciler.run()
    assert [record.message.partition(":")[0] for record in caplog.records if record.levelno >= logging.WARNING] == [
        "services cannot be looked after",
        f"service {service_id} cannot be looked after",
        "services cannot be looked after",
    ]
