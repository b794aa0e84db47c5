"""Schemathesis asks every operation of the document for what fits it and what does not: no answer leaves the document.

The same requests each time; ``--fuzz-examples`` and ``--fuzz-seed`` ask for others.
"""

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.generation import GenerationMode

from modelyard.app import endpoints
from modelyard.jobs.tables import CustomJobRun
from modelyard.kernel.http import API_PREFIX
from modelyard.kernel.routing import Endpoint
from tests.api_client import IN_PROCESS_HOST, Api
from tests.conftest import ADMIN_TOKEN, Installation
from tests.contract.inventory import Inventory, fill
from tests.described import answer_errors, read_document

METHODS = ("GET", "POST", "PATCH", "PUT", "DELETE")
"""In this order, so that what exists is there until the end."""


@pytest.fixture
def inventory(installation: Installation) -> Inventory:
    """One resource of each kind; the run of the job has ended, or a log that is followed would never end."""
    found = fill(installation)
    with installation.application.database.write() as session:
        run = session.get_one(CustomJobRun, found.ids["customJobRunId"])
        run.status, run.ended_at = "canceled", datetime.now(UTC)
    return found


def operations() -> Iterator[tuple[Endpoint, Any]]:
    schema = schemathesis.openapi.from_dict(read_document())
    known = {(found.ok().method.upper(), found.ok().path): found.ok() for found in schema.get_all_operations()}
    for endpoint in sorted(endpoints(), key=lambda one: METHODS.index(one.method)):
        yield endpoint, known[endpoint.method, API_PREFIX + endpoint.path]


@pytest.mark.timeout(600)  # of a busy machine, or of more examples than usual; these take 30 s
def test_no_answer_is_outside_of_the_document(inventory: Inventory, pytestconfig: pytest.Config) -> None:
    examples, begin = int(pytestconfig.getoption("--fuzz-examples")), int(pytestconfig.getoption("--fuzz-seed"))
    answered: list[str] = []
    for endpoint, operation in operations():
        path = API_PREFIX + inventory.path(endpoint)
        takes = endpoint.parameters.keys() & {"query", "body", "form"} or "{" in endpoint.path
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if takes else (GenerationMode.POSITIVE,):
            ask = functools.partial(answer_to, method=endpoint.method, path=path, api=inventory.api)
            answered += run_examples(ask, operation.as_strategy(generation_mode=mode), examples, begin)
    wrong = [errors for errors in answered if errors]
    assert len(answered) > len(endpoints())
    assert not wrong, "\n".join(wrong[:20])


def run_examples(ask: Callable[[Any], str], strategy: Any, examples: int, begin: int) -> list[str]:
    """Return the results of ``ask`` for as many examples of the strategy, always the same ones."""
    results: list[str] = []

    def run(case: schemathesis.Case) -> None:
        results.append(ask(case))

    seeded = seed(begin)(given(strategy)(run))
    settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(seeded)()
    return results


def answer_to(case: schemathesis.Case, method: str, path: str, api: Api) -> str:
    """What is wrong with the answer to a made up request for a resource that exists; nothing if it is right."""
    parts = case.as_transport_kwargs(base_url=f"http://{IN_PROCESS_HOST}")
    sent = {name: parts.get(name) for name in ("params", "json", "data", "files")}
    prepared = requests.Request(
        method, f"http://{IN_PROCESS_HOST}{path}", headers=parts.get("headers"), **sent
    ).prepare()
    headers = {name: value for name, value in prepared.headers.items() if name.lower() != "content-length"}
    headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"
    answer = api.client.request(method, prepared.url, headers=headers, content=prepared.body, follow_redirects=False)
    errors = answer_errors(method, path, answer, with_shape=True)
    return f"{method} {prepared.url} {str(prepared.body)[:500]}: {errors}\n{answer.text[:300]}" if errors else ""
