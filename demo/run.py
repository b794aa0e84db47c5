"""``make demo``: the whole story of Modelyard on this machine, as a user does it by hand.

Starts a server on a fresh data directory in ``.demo/``, pushes, builds, tests, registers and deploys
``examples/churn_model`` with the command line, scores its data through the gateway and then in a job that runs on the
server, and leaves the server up until Ctrl-C; with ``--once`` it ends there. Built environments are kept in the user's
cache for the next time.
"""

import argparse
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MODEL = Path("examples/churn_model")
DATA = MODEL / "training" / "churn.csv"
JOB = Path("examples/score_job")
PLAIN_PYTHON = f"Python {sys.version_info.major}.{sys.version_info.minor} Drop-In"
PROGRAM = Path(sys.executable).with_name("modelyard")
KEEP_IMAGES_S = 30 * 24 * 3600
QUIET_TIMEOUT_S = 30


class DemoError(Exception):
    """A step of the story failed."""


@dataclass
class Demo:
    """The server, the environment that commands run in, and how long each step took."""

    folder: Path
    environment: dict[str, str]
    server: "subprocess.Popen[str] | None" = None
    ready: dict[str, Any] = field(default_factory=dict)
    durations_s: list[tuple[str, float]] = field(default_factory=list)

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.csv"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)
        started = time.monotonic()
        yield
        self.durations_s.append((title, time.monotonic() - started))
        print(f"  ({self.durations_s[-1][1]:.1f} s)", flush=True)

    def modelyard(self, *arguments: str) -> None:
        """Runs a command on the user's terminal."""
        print(f"$ modelyard {shlex.join(arguments)}", flush=True)
        code = subprocess.run([PROGRAM, *arguments], env=self.environment, cwd=ROOT, check=False).returncode
        if code:
            raise DemoError(f"modelyard {shlex.join(arguments)} ended with {code}")

    def ask(self, *arguments: str) -> Any:
        """What a command answers in JSON."""
        command = [str(PROGRAM), *arguments, "--json"]
        found = subprocess.run(command, env=self.environment, cwd=ROOT, check=False, capture_output=True, text=True)
        if found.returncode:
            raise DemoError(f"modelyard {shlex.join(arguments)}: {found.stderr.strip()}")
        return json.loads(found.stdout)

    @property
    def is_sandboxed(self) -> bool:
        return self.environment.get("MODELYARD_SANDBOX") != "off"

    def choose_sandbox(self) -> None:
        """Switches the sandbox off where this machine cannot make one, and says so."""
        command = [str(PROGRAM), "doctor", "--json", "--data-dir", str(self.data_dir)]
        found = subprocess.run(command, env=self.environment, cwd=ROOT, check=False, capture_output=True, text=True)
        sandbox = next(one for one in json.loads(found.stdout) if one["name"] == "sandbox")
        if not sandbox["is_available"]:
            self.environment = without_sandbox(self.environment)
            print(f"There is no sandbox here: {sandbox['why']}.\nTo get one, {sandbox['remedy']}.", flush=True)
            print("This demo runs without one (MODELYARD_SANDBOX=off), since its code is known.", flush=True)

    def start(self) -> None:
        """Starts the server and waits for its ready line."""
        ports = a_free_port(8000), a_free_port(8001)
        command = [str(PROGRAM), "up", "--json", "--data-dir", str(self.data_dir)]
        command += ["--port", str(ports[0]), "--gateway-port", str(ports[1])]
        print(f"$ {shlex.join(['modelyard', *command[1:]])}", flush=True)
        with (self.folder / "server.log").open("w") as log:
            self.server = subprocess.Popen(
                command, env=self.environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        (self.folder / "server.pid").write_text(str(self.server.pid))
        assert self.server.stdout is not None  # noqa: S101 # it is a pipe
        line = self.server.stdout.readline()
        if not line:
            raise DemoError(f"the server did not start:\n{(self.folder / 'server.log').read_text().strip()}\n")
        self.ready = json.loads(line)
        print(f"API {self.ready['api']}/api/v2/  predictions {self.ready['gateway']}")

    def stop(self) -> None:
        """Deletes what is deployed, so that nothing goes on running, and ends the server."""
        if self.server is None:
            return
        if self.server.poll() is None and self.ready:
            for deployment in self.ask("deployment", "list"):
                self.ask("deployment", "delete", deployment["id"], "--yes")
            deadline = time.monotonic() + QUIET_TIMEOUT_S
            while self.workloads() and time.monotonic() < deadline:
                time.sleep(0.1)
        self.server.terminate()
        try:
            self.server.wait(30)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        (self.folder / "server.pid").unlink(missing_ok=True)

    def workloads(self) -> list[Any]:
        """What still runs for the installation beside its own processes."""
        roles = {"up", "api", "gateway", "controller"}
        return [one for one in self.ask("ps", "--data-dir", str(self.data_dir)) if one["role"] not in roles]


def a_free_port(wanted: int) -> int:
    """``wanted`` where nothing listens on it, else any free one."""
    for port in (wanted, 0):
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(tried.getsockname()[1])
    raise DemoError("no port is free")


def fresh_folder(folder: Path) -> dict[str, str]:
    """Empties the folder of an earlier demo, and returns the environment of this one's processes."""
    pid_file = folder / "server.pid"
    if pid_file.exists() and Path(f"/proc/{pid_file.read_text()}/stat").exists():
        raise DemoError(f"a demo is running (process {pid_file.read_text()}); end it with Ctrl-C first")
    if folder.exists():
        if any(folder.iterdir()) and not (folder / "server.log").exists():
            raise DemoError(f"{folder} holds something else than a demo")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelyard" / "demo"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MODELYARD_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment | {
        "XDG_CONFIG_HOME": str(folder / "config"),
        "MODELYARD_IMAGES_DIR": os.environ.get("MODELYARD_IMAGES_DIR", str(cache / "images")),
        "MODELYARD_CACHE_DIR": os.environ.get("MODELYARD_CACHE_DIR", str(cache / "downloads")),
        "MODELYARD_GARBAGE_AGE_S": str(KEEP_IMAGES_S),
    }


def without_sandbox(environment: dict[str, str]) -> dict[str, str]:
    """Returns the environment of a demo whose server makes no sandbox.

    The user that such a server of root runs code as may not pass root's home, so images are kept with the data.
    """
    changed = environment | {"MODELYARD_SANDBOX": "off"}
    if os.geteuid() == 0 and "MODELYARD_IMAGES_DIR" not in os.environ:
        del changed["MODELYARD_IMAGES_DIR"]
    return changed


def tell(demo: Demo) -> None:
    """The story."""
    with demo.step("Start a server on a fresh data directory"):
        demo.choose_sandbox()
        demo.start()
    with demo.step("Push the model"):
        demo.modelyard("model", "push", str(MODEL), "--env", "scikit-learn")
    with demo.step("Build what its requirements.txt asks for"):
        demo.modelyard("model", "build", "Customer churn")
    with demo.step("Upload the data"):
        demo.modelyard("dataset", "upload", str(DATA), "--name", "churn data")
    with demo.step("Test the model in the sandbox" if demo.is_sandboxed else "Test the model"):
        demo.modelyard("model", "test", "Customer churn", "--dataset", "churn data")
    with demo.step("Register it"):
        demo.modelyard("registry", "register", "Customer churn")
    with demo.step("Deploy it"):
        demo.modelyard("deploy", "Customer churn", "--label", "churn")
    with demo.step("Score the data through the gateway"):
        output = os.path.relpath(demo.predictions, ROOT)
        demo.modelyard("predict", str(DATA), "-d", "churn", "-p", "customer_id", "-o", output)
        with demo.predictions.open() as lines:
            print("".join(line for line, _ in zip(lines, range(6), strict=False)), end="")
    with demo.step("Look at the deployment and its use"):
        check(demo)
        demo.modelyard("deployment", "show", "churn")
    with demo.step("Push a job that scores the data again"):
        push_job(demo)
    with demo.step("Run it, and see what it leaves"):
        demo.modelyard("job", "run", "Score a dataset", "-p", "DEPLOYMENT=churn", "-p", "DATASET=churn data")
        folder = os.path.relpath(demo.artifacts, ROOT)
        demo.modelyard("job", "artifacts", "Score a dataset", "--download", folder)
        check_artifact(demo)


def push_job(demo: Demo) -> None:
    """Pushes the job; without a sandbox it may only run with the network that its code has anyway."""
    demo.modelyard("job", "push", str(JOB), "--env", PLAIN_PYTHON)
    if not demo.is_sandboxed:
        demo.modelyard("job", "update", "Score a dataset", "--network", "public")


def check_artifact(demo: Demo) -> None:
    """The job's predictions, without the column that was passed through, are those of the gateway."""
    with demo.predictions.open() as scored, (demo.artifacts / "predictions.csv").open() as kept:
        differ = sum(line.strip().rpartition(",")[0] != other.strip() for line, other in zip(scored, kept, strict=True))
    if differ:
        raise DemoError(f"the job's predictions differ from the gateway's in {differ} lines")


def check(demo: Demo) -> None:
    """What the story promises: a prediction for every row, all of them counted."""
    with (ROOT / DATA).open() as rows, demo.predictions.open() as predictions:
        wanted, found = sum(1 for _ in rows), sum(1 for _ in predictions)
    if wanted != found:
        raise DemoError(f"{wanted - 1} rows came back as {found - 1} predictions")
    counted = 0
    deadline = time.monotonic() + 10
    while counted != wanted - 1 and time.monotonic() < deadline:
        counted = sum(demo.ask("deployment", "show", "churn")["predictionUsage"]["dailyRates"])
    if counted != wanted - 1:
        raise DemoError(f"{wanted - 1} predictions were counted as {counted}")


def summary(demo: Demo) -> None:
    config, programs = demo.environment["XDG_CONFIG_HOME"], shlex.quote(str(PROGRAM.parent))
    total_s = sum(duration_s for _, duration_s in demo.durations_s)
    print("\nHow long it took")
    for title, duration_s in [*demo.durations_s, ("Together", total_s)]:
        print(f"  {duration_s:5.1f} s  {title}")
    print(f"""
Where things are
  API          {demo.ready["api"]}/api/v2/ (OpenAPI: {demo.ready["api"]}/api/v2/openapi.json)
  Predictions  {demo.ready["gateway"]}
  Scores       {os.path.relpath(demo.predictions, ROOT)}, and the job's in {os.path.relpath(demo.artifacts, ROOT)}
  Docs         docs/quickstart.md, docs/jobs.md, docs/cli.md, docs/curl.md
  This server from another terminal:
    export XDG_CONFIG_HOME={shlex.quote(config)} PATH={programs}:$PATH
    modelyard deployment list""")


def main() -> int:
    options = argparse.ArgumentParser(description="The whole story of Modelyard on this machine.")
    options.add_argument("--once", action="store_true", help="stop the server at the end")
    options.add_argument("--folder", type=Path, default=ROOT / ".demo", help="where everything is kept; emptied first")
    chosen = options.parse_args()
    folder = chosen.folder.resolve()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    code = 0
    demo = None
    try:
        demo = Demo(folder, fresh_folder(folder))
        tell(demo)
        summary(demo)
        if not chosen.once and demo.server is not None:
            print("\nThe server stays up until Ctrl-C.", flush=True)
            demo.server.wait()
            raise DemoError("the server ended by itself")  # noqa: TRY301 # told like every other failure
    except DemoError as error:
        print(f"\nThe demo failed: {error}. The server's log is {folder / 'server.log'}", file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        print("\nStopping.", file=sys.stderr)
        code = 0 if demo is not None and len(demo.durations_s) == 11 else 130
    finally:
        if demo is not None:
            demo.stop()
    return code


if __name__ == "__main__":
    sys.exit(main())
