"""Single rows as JSON: requests per second beside other servers, and one connection beside no server at all."""

import json
import random
import subprocess
from functools import partial
from statistics import median

from benchmarks.figures import Figure, Result, Skipped, interleaved
from benchmarks.installation import Installation, an_installation
from benchmarks.load import Job, run
from benchmarks.peers.running import HERE, PEERS, Peer, PeerError, Rows, running

REPETITIONS = 3
SECONDS = 3.0
CONNECTIONS = 32
BODIES = 64
CUSTOM = """
    from model import fit_classifier

    def load_model(code_dir):
        return fit_classifier()
"""
BINARY = {"targetType": "Binary", "targetName": "y", "positiveClassLabel": "1", "negativeClassLabel": "0"}


def some_rows() -> list[Rows]:
    """Requests of one row each."""
    chance = random.Random(11)
    return [[{f"feature_{number}": round(chance.gauss(0, 1), 6) for number in range(10)}] for _ in range(BODIES)]


def measure() -> list[Result]:
    with an_installation() as installation:
        deployment_id = installation.deploy(CUSTOM, batches=True, **BINARY)
        return [*_beside_peers(installation, deployment_id), _one_connection(installation, deployment_id)]


def _beside_peers(installation: Installation, deployment_id: str) -> list[Result]:
    """Each peer in its turn with Modelyard: they take turns while the other one idles."""
    rows = some_rows()
    results: list[Result] = []
    best: tuple[float, str] | None = None
    ours_taken: list[float] = []
    our_job = job_for_modelyard(installation, deployment_id, rows, CONNECTIONS)
    for peer in PEERS:
        try:
            with running(peer, rows[0]) as peer_running:
                job = job_for_peer(peer, peer_running.port, rows)
                _per_second(job), _per_second(our_job)  # warms both up
                ours, theirs = interleaved(REPETITIONS, partial(_per_second, our_job), partial(_per_second, job))
        except PeerError as error:
            results.append(Skipped(f"{CONNECTIONS} connections, {peer.name}", str(error)))
            continue
        ours_taken.append(ours)
        best = max(best or (0.0, ""), (theirs, peer.name))
        results.append(_figure(f"{CONNECTIONS} connections, {peer.name}", ours, theirs, peer.name))
    if best is not None:
        results.append(_figure(f"{CONNECTIONS} connections, best peer", median(ours_taken), *best))
    return results


def _figure(name: str, ours: float, theirs: float, peer_name: str) -> Figure:
    return Figure(name, ours, "requests/s", 4.0, theirs, peer_name, at_least=True, of_ratio=True)


def job_for_modelyard(installation: Installation, deployment_id: str, rows: list[Rows], connections: int) -> Job:
    """Load through gateway, authentication and sandbox."""
    return Job(
        port=installation.server.gateway_port,
        path=f"/predApi/v1.0/deployments/{deployment_id}/predictions",
        bodies=[json.dumps(row) for row in rows],
        connections=connections,
        seconds=SECONDS,
        headers={"Authorization": f"Bearer {installation.token}"},
    )


def job_for_peer(peer: Peer, port: int, rows: list[Rows]) -> Job:
    """The same load for another server."""
    bodies = [json.dumps(peer.body_of(row)) for row in rows]
    return Job(port=port, path=peer.path, bodies=bodies, connections=CONNECTIONS, seconds=SECONDS)


def _per_second(job: Job) -> float:
    return run(job).per_second


def _one_connection(installation: Installation, deployment_id: str) -> Figure:
    rows = some_rows()
    python = installation.python_of(deployment_id)
    bodies = json.dumps([json.dumps(row) for row in rows])

    def floor() -> float:
        command = [str(python), str(HERE / "floor.py"), "rows", str(SECONDS)]
        return float(subprocess.run(command, input=bodies, capture_output=True, text=True, check=True).stdout)

    job = job_for_modelyard(installation, deployment_id, rows, 1)
    ours, in_process = interleaved(REPETITIONS, lambda: run(job).p50_ms, floor)
    return Figure("one connection, p50", ours, "ms", 1.5, in_process, "in process", of_ratio=True)
