"""A large CSV through the gateway, beside pandas and the model in one process."""

import json
import random
import subprocess
import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Result, interleaved
from benchmarks.installation import an_installation
from benchmarks.memory import MIB, Growth
from benchmarks.peers.running import HERE
from benchmarks.requests import Client

REPETITIONS = 5
ROWS = 100_000
CUSTOM = """
    from model import fit_regression

    def load_model(code_dir):
        return fit_regression()
"""


def some_csv() -> bytes:
    """100,000 rows of ten columns."""
    chance = random.Random(5)
    lines = [",".join(f"feature_{number}" for number in range(10))]
    lines += [",".join(f"{chance.gauss(0, 1):.6f}" for _ in range(10)) for _ in range(ROWS)]
    return "\n".join(lines).encode() + b"\n"


def measure() -> list[Result]:
    body = some_csv()
    with an_installation() as installation, tempfile.TemporaryDirectory() as folder:
        deployment_id = installation.deploy(CUSTOM, targetType="Regression", targetName="y")
        file = Path(folder) / "rows.csv"
        file.write_bytes(body)
        command = [str(installation.python_of(deployment_id)), str(HERE / "floor.py"), "table", str(file)]

        def floor() -> float:
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            return float(json.loads(run.stdout)[0])

        with Client(installation.server.gateway_port, installation.token, accept="text/csv") as client:

            def ours() -> float:
                path = f"/predApi/v1.0/deployments/{deployment_id}/predictions"
                answer = client.ask("POST", path, body, "text/csv")
                assert answer.status == 200, answer.body[:1000]
                assert answer.body.count(b"\n") == ROWS + 1
                return answer.seconds * 1000

            ours()
            (gateway,) = installation.server.pids("gateway")
            with Growth(gateway) as growth:
                took, alone = interleaved(REPETITIONS, ours, floor)
        return [
            Figure(f"CSV of {ROWS:,} rows", took, "ms", 2.0, alone, "pandas in process", of_ratio=True),
            Figure("memory of the gateway meanwhile", growth.bytes / MIB, "MiB more", 32),
        ]
