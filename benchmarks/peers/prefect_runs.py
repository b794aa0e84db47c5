"""Prefect's server and process runner with their defaults: for each line read, a run of a deployed flow is made;
printed are the milliseconds to the first line of the flow."""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

SERVED = """
import time
from pathlib import Path
from prefect import flow

@flow
def hello(place: str):
    Path(place).write_text(str(time.time()))

if __name__ == "__main__":
    hello.serve(name="bench")
"""
WAIT_S = 90


def start(port: int) -> None:
    """The server, and a runner that serves the flow."""
    os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    subprocess.Popen(words, stdout=sys.stderr)
    await_answer(f"http://127.0.0.1:{port}/api/health")
    Path("served.py").write_text(SERVED)
    subprocess.Popen([sys.executable, "served.py"], stdout=sys.stderr)


def await_answer(url: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()  # noqa: S310 # our own address
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


def run() -> float:
    from prefect.deployments import run_deployment  # noqa: PLC0415 # it reads the server's address when it is imported

    place = Path(f"line-{time.time_ns()}").absolute()
    asked_at = time.time()
    run_deployment("hello/bench", parameters={"place": str(place)}, timeout=0)
    while not place.exists() or not place.read_text():
        if time.time() > asked_at + WAIT_S:
            raise TimeoutError("the flow did not run")
        time.sleep(0.02)
    return (float(place.read_text()) - asked_at) * 1000


def first_run() -> None:
    """Until the runner has made the deployment."""
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            run()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    start(int(sys.argv[1]))
    first_run()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(run(), flush=True)
