"""What a run may do and reach, and how its log is followed, through a real server."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from modelyard.compute.sandbox import own_addresses
from tests.jobs.builders import Yard, made, path_of, plain_environment
from tests.servers import Server, a_server
from tests.waiting import wait_until

ASKING = """
import json, os, urllib.error, urllib.request
url, token = os.environ["DATAROBOT_ENDPOINT"], os.environ["DATAROBOT_API_TOKEN"]
def ask(method, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": "Bearer " + token, "Content-Type": "application/json"}
    request = urllib.request.Request(url + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return [answer.status, json.loads(answer.read() or b"null")]
    except urllib.error.HTTPError as error:
        return [error.code, error.read().decode()]
with open(os.environ["MODELYARD_OUTPUT_DIR"] + "/answers.json", "w") as file:
    json.dump([ask(*one) for one in json.load(open("questions.json"))] + [token], file)
"""
REACHING = """
import json, os, socket
found = {}
for place in json.load(open("places.json")):
    host, _, port = place.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=3):
            found[place] = "reached"
    except OSError as error:
        found[place] = type(error).__name__
with open(os.environ["MODELYARD_OUTPUT_DIR"] + "/found.json", "w") as file:
    json.dump(found, file)
"""


@dataclass(frozen=True)
class Served(Yard):
    """A yard behind a server in processes of its own."""

    server: Server = None  # type: ignore[assignment]

    def follow(self, run: dict[str, Any], **query: Any) -> Iterator[tuple[float, str]]:
        """The lines of the event stream with the time at which each came."""
        headers = {"Authorization": f"Bearer {self.api.token}"}
        url = f"{self.server.url}/api/v2{path_of(run)}logs/"
        with httpx.stream("GET", url, params={"follow": "true"} | query, headers=headers, timeout=60) as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                yield time.time(), line


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shared_images: dict[str, Path]) -> Iterator[Served]:
    with a_server(tmp_path_factory.mktemp("jobs") / "data", **shared_images) as server:
        api = server.api
        yield Served(api, plain_environment(api), server=server)


def answers(yard: Yard, questions: list[Any]) -> list[Any]:
    """What the API answers to a run, and then the run's token."""
    job = yard.a_job({"main.py": ASKING, "questions.json": json.dumps(questions)})
    run = yard.run(job)
    assert run["status"] == "succeeded", yard.log(run)
    found: list[Any] = json.loads(yard.artifacts(run)["answers.json"])
    return found


def test_a_run_works_with_its_creators_rights_and_no_more(served: Served) -> None:
    api = served.api
    user = made(api.post("/users/", json={"username": "worker"}))
    token = made(api.post("/apiTokens/", json={"name": "t", "userId": user["id"]}))["token"]
    worker = Served(api.as_(token), served.environment_id, server=served.server)
    admins_job = served.a_job(name="of the administrator")
    *found, lent = answers(
        worker,
        [
            ["GET", "/customJobs/"],
            ["GET", f"/customJobs/{admins_job['id']}/"],
            ["POST", "/customJobs/", {"name": "made by a run"}],
            ["POST", "/apiTokens/", {"name": "more"}],
            ["GET", "/users/"],
        ],
    )
    listed, hidden, made_there, *refused = found
    assert (listed[0], [one["name"] for one in listed[1]["data"]]) == (200, ["Job"])
    assert hidden[0] == 404
    assert made_there[0] == 201
    assert [status for status, _ in refused] == [403, 403]
    assert made(worker.api.get("/customJobs/"), 200)["totalCount"] == 2, "what it makes is its creator's"
    assert api.as_(lent).get("/customJobs/").status_code == 401, "its token ended with it"
    *found, lent = answers(
        served, [["GET", "/customJobs/"], ["POST", "/users/", {"username": "x"}], ["GET", "/deletedDeployments/"]]
    )
    assert [status for status, _ in found] == [200, 403, 403], "nor does an administrator's run administer"
    assert lent not in served.server.log()


def test_none_reaches_the_api_alone_and_public_no_port_of_the_host(served: Served) -> None:
    own = [network.removesuffix("/32") for network in own_addresses()]
    with socket.create_server(("0.0.0.0", 0)) as other:  # noqa: S104 # so that every address can be tried
        port = other.getsockname()[1]
        hosts = ["127.0.0.1", "10.0.2.2", *own]
        places = [f"{host}:{one}" for host in hosts for one in (port, served.server.gateway_port)]
        outside = [f"{host}:{one}" for host in own for one in (served.server.port,)]
        files = {"main.py": REACHING, "places.json": json.dumps(places + outside)}
        runs = {
            policy: served.start(served.a_job(files, resources={"egressNetworkPolicy": policy}))
            for policy in ("none", "public")
        }
        for policy, run in runs.items():
            ended = served.ended(run)
            assert ended["status"] == "succeeded", served.log(run)
            found = json.loads(served.artifacts(run)["found.json"])
            assert [place for place, how in found.items() if how == "reached"] == [], policy
    job = {"main.py": ASKING, "questions.json": '[["GET", "/customJobs/"]]'}
    run = served.run(served.a_job(job, resources={"egressNetworkPolicy": "public"}))
    assert json.loads(served.artifacts(run)["answers.json"])[0][0] == 200, "the API is reached all the same"


SPEAKING = """
import sys, time
time.sleep(0.3)
for number in range(20):
    print(number, time.time(), flush=True)
    time.sleep(0.05)
print("a\\rb")
sys.stdout.write("last")
sys.exit(4)
"""


def test_lines_are_sent_as_they_come(served: Served) -> None:
    run = served.start(served.a_job(SPEAKING))
    late: list[list[tuple[float, str]]] = []
    come = []
    for at, line in served.follow(run):
        come.append((at, line))
        if line.startswith("data: 10 "):
            thread = threading.Thread(target=lambda: late.append(list(served.follow(run, tail="3"))))
            thread.start()
    thread.join()
    lines = [line.removeprefix("data: ") for _, line in come if line.startswith("data: ")]
    assert [line.split()[0] for line in lines] == [*map(str, range(20)), "a", "b", "last", '{"status":"failed"}']
    assert [line for _, line in come][-3:-1] == ["event: end", 'data: {"status":"failed"}']
    delays = [at - float(line.split()[2]) for at, line in come if line.startswith("data: ") and line.count(".") == 1]
    assert len(delays) == 20
    assert sorted(delays)[10] < 0.5, delays
    (tail,) = late
    followed = [line.removeprefix("data: ").split()[0] for _, line in tail if line.startswith("data: ")]
    first = followed.index("11")
    assert followed[first:] == [*map(str, range(11, 20)), "a", "b", "last", '{"status":"failed"}']
    assert first <= 3
    again = [line for _, line in served.follow(run) if line]
    assert again == [line for _, line in come if line], "afterwards it is the same"


def test_following_survives_retries_and_says_when_it_may_not_go_on(served: Served) -> None:
    twice = served.start(served.a_job("print('attempt', flush=True)\nraise SystemExit(1)\n", maxRetries=1))
    lines = [line for _, line in served.follow(twice) if line.startswith("data: ")]
    assert lines[0] == lines[2] == "data: attempt"
    assert len(lines) == 4
    run = served.start(served.a_job("import time\nprint('stands', flush=True)\ntime.sleep(60)\n"))
    seen: list[str] = []
    for _, line in served.follow(run):
        seen.append(line)
        if line == "data: stands":
            assert served.cancel(run).status_code == 204
    assert 'data: {"status":"canceled"}' in seen
    wait_until(lambda: served.read(run)["status"] == "canceled")
