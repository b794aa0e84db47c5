"""Requests that are sent at the same moment."""

import threading
from collections.abc import Callable

import httpx

CROWD = 16


def at_once(ask: Callable[[int], httpx.Response], crowd: int = CROWD) -> list[httpx.Response]:
    """The answers to requests that as many threads send together; ``ask`` is told which one it is."""
    barrier, answers = threading.Barrier(crowd), []

    def run(number: int) -> None:
        barrier.wait()
        answers.append(ask(number))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers
