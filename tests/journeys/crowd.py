"""Many clients at once, which do not stop to ask while something happens to what answers them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import httpx

from tests.journeys.story import Story
from tests.waiting import wait_until

CLIENTS = 8


@dataclass
class Crowd:
    """Clients that ask without a pause, each on its own connection, and remember what they were told in order."""

    story: Story
    deployment_id: str
    answers: list[list[str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(len(told) for told in self.answers)

    @contextmanager
    def asking(self, clients: int = CLIENTS) -> Iterator[None]:
        over = threading.Event()
        self.answers = [[] for _ in range(clients)]
        threads = [threading.Thread(target=self._ask, args=(told, over)) for told in self.answers]
        for thread in threads:
            thread.start()
        try:
            wait_until(lambda: all(self.answers) or self.failures, 30, "first answers")
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def await_more(self, count: int) -> None:
        """Until so many more requests have been answered."""
        wanted = self.count + count
        wait_until(lambda: self.count >= wanted or self.failures, 60, f"{wanted} answers")

    def _ask(self, told: list[str], over: threading.Event) -> None:
        url = f"{self.story.server.gateway_url}/api/v2/deployments/{self.deployment_id}/predictionsUnstructured"
        headers = {"Authorization": f"Bearer {self.story.api.token}", "Content-Type": "text/plain"}
        with httpx.Client(headers=headers, timeout=30) as client:
            while not over.is_set():
                try:
                    answer = client.post(url, content=b"who are you?")
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    return
                if answer.status_code != 200:
                    self.failures.append(f"{answer.status_code} {answer.text}")
                    return
                told.append(answer.text)


def switches(told: list[str]) -> int:
    return sum(before != after for before, after in pairwise(told))
