"""A version of a thousand files from a Git server on this machine, beside a clone by git itself."""

import subprocess
import tempfile
import time
from pathlib import Path

from tests.journeys.story import PLAIN_PYTHON
from tests.repositories.git_server import a_git_server

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import Installation, an_installation

FILES = 1000
PULLS = 5


def measure() -> list[Result]:
    with (
        tempfile.TemporaryDirectory() as folder,
        a_git_server(Path(folder)) as server,
        an_installation(allowed_private_hosts='["127.0.0.1"]') as installation,
    ):
        repository = server.a_repository()
        location = f"{server.url}/churn.git"
        numbers = iter(range(10 * PULLS))

        def change() -> None:
            """New content for every file, so that nothing is stored already."""
            at = next(numbers)
            repository.commit({f"package_{n % 20}/module_{n}.py": f"x = {at, n}\n".encode() * 50 for n in range(FILES)})

        api = installation.story.api
        body = {"name": "benchmark", "location": location, "sourceType": "git"}
        repository_id = api.post("/remoteRepositories/", json=body).json()["id"]

        def pull() -> float:
            change()
            return _pull(installation, repository_id)

        def clone() -> float:
            with tempfile.TemporaryDirectory() as target:
                start = time.perf_counter()
                subprocess.run(["git", "clone", "-q", "--depth=1", location, target], check=True, capture_output=True)
                return time.perf_counter() - start

        took, git = interleaved(PULLS, pull, clone)
    return [Figure(f"a version of {FILES:,} files pulled from Git", took, "s", 2, git, "git clone --depth=1")]


def _pull(installation: Installation, repository_id: str) -> float:
    api = installation.story.api
    model_id = installation.story.a_model()["id"]
    body = {"repositoryId": repository_id, "baseEnvironmentId": installation.story.environment(PLAIN_PYTHON)}
    start = time.perf_counter()
    location = api.post(f"/customModels/{model_id}/versions/fromRepository/", json=body).headers["Location"]
    while True:
        answer = api.get(location)
        if answer.status_code == 303:
            break
        assert answer.json()["status"] in {"INITIALIZED", "RUNNING"}, answer.text
        time.sleep(0.02)
    took = time.perf_counter() - start
    assert len(api.get(answer.headers["Location"]).json()["items"]) == FILES
    return took
