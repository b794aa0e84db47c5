"""Events are there when their change is, and each consumer sees each of them once."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from modelyard.events.schemas import Event
from modelyard.events.service import claim_unseen, has_unseen, publish
from modelyard.events.tables import EventRow
from tests.events.conftest import Board, an_event

ROOT = Path(__file__).parents[2]


class RolledBackError(Exception):
    pass


def labels(events: list[Event]) -> list[object]:
    return [event.deployment_label for event in events]


def claimed(board: Board, consumer: str = "notifications", limit: int = 100) -> list[object]:
    with board.database.write() as session:
        return labels(claim_unseen(session, consumer, limit))


def published(board: Board) -> list[object]:
    with board.database.read() as session:
        rows = session.scalars(select(EventRow).order_by(EventRow.number))
        return [row.content["deploymentLabel"] for row in rows]


def killed(board: Board, what: str, when: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.events.program", board.url, what, when],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == -9, ended.stderr
    return ended.stdout.strip()


def test_an_event_goes_with_its_change(board: Board) -> None:
    def change() -> None:
        with board.database.write() as session:
            publish(session, an_event("never"))
            raise RolledBackError

    board.publish("one")
    with pytest.raises(RolledBackError):
        change()
    board.publish("two")
    assert published(board) == ["one", "two"]
    assert claimed(board) == ["one", "two"]


def test_each_consumer_sees_each_event_once_and_in_order(board: Board) -> None:
    board.publish("one", "two", "three")
    assert claimed(board, "mail", limit=2) == ["one", "two"]
    assert claimed(board, "jobs") == ["one", "two", "three"]
    assert claimed(board, "mail") == ["three"]
    assert claimed(board, "mail") == claimed(board, "jobs") == []
    board.publish("four")
    assert claimed(board, "mail") == claimed(board, "jobs") == ["four"]


def test_looking_writes_nothing(board: Board) -> None:
    def waiting(consumer: str) -> bool:
        with board.database.read() as session:
            return has_unseen(session, consumer)

    assert not waiting("mail")
    board.publish("one")
    assert waiting("mail")
    claimed(board, "mail")
    assert not waiting("mail")
    assert waiting("jobs")


def test_what_a_consumer_could_not_do_is_given_to_it_again(board: Board) -> None:
    def fail() -> None:
        with board.database.write() as session:
            assert labels(claim_unseen(session, "mail")) == ["one"]
            raise RolledBackError

    board.publish("one")
    with pytest.raises(RolledBackError):
        fail()
    assert claimed(board, "mail") == ["one"]


def test_a_killed_publisher_leaves_all_or_nothing(board: Board) -> None:
    killed(board, "publish", "before")
    assert published(board) == []
    killed(board, "publish", "after")
    board.publish("mine")
    assert claimed(board) == ["from a program", "mine"]


def test_a_killed_consumer_has_seen_all_or_nothing(board: Board) -> None:
    board.publish("one", "two")
    assert killed(board, "claim", "before") == "2"
    assert killed(board, "claim", "after") == "2"
    assert claimed(board, "program") == []


def test_consumers_in_several_places_share_the_events(board: Board) -> None:
    """Publishers and claimers all at once: nothing is seen twice, nothing is missed."""
    done = threading.Event()

    def tell(number: int) -> None:
        board.publish(*(f"{number}-{index}" for index in range(20)))

    def take() -> list[object]:
        found: list[object] = []
        while True:
            last_look = done.is_set()
            some = claimed(board, "shared", limit=3)
            found += some
            if last_look and not some:
                return found

    with ThreadPoolExecutor(7) as pool:
        takers = [pool.submit(take) for _ in range(3)]
        for teller in [pool.submit(tell, number) for number in range(4)]:
            teller.result()
        done.set()
        seen = [label for taker in takers for label in taker.result()]
    assert sorted(map(str, seen)) == sorted(f"{number}-{index}" for number in range(4) for index in range(20))


def test_an_event_without_what_it_is_about_is_a_mistake(board: Board) -> None:
    with board.database.write() as session, pytest.raises(ValueError, match="runFailed"):
        publish(session, Event(type="runFailed", message="x", organization_id="o" * 24))
