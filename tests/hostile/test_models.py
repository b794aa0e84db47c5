"""Models that are broken or mean: each ends as documented, the server stays well, the neighbour is not disturbed."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from modelyard.compute.sandbox import own_addresses
from tests.hostile.conftest import MIB, Ward
from tests.journeys.story import SCIKIT_LEARN
from tests.waiting import wait_until

pytestmark = pytest.mark.xdist_group("hostile_models")

SCORE = "\ndef score_unstructured(model, data, **kwargs):\n    return 'fine'\n"
NO_TEXT = r'{"message": "\ud800 lone\u0000"}'
UNABLE = {
    "crashes at import": ("import nonsense_that_is_not_there", "nonsense_that_is_not_there"),
    "is no Python": ("def load_model(:", "SyntaxError"),
    "exits at import": ("import os\nos._exit(3)", "exit code 3"),
    "calls sys.exit at import": ("import sys\nsys.exit('enough')", "enough"),
    "crashes in load_model": ("def load_model(d):\n    raise RuntimeError('no weights')", "no weights"),
    "loads nothing": ("def load_model(d):\n    return None", "load_model returned None"),
    "is killed in load_model": ("import os\ndef load_model(d):\n    os.kill(os.getpid(), 9)", "SIGKILL"),
    "hangs in load_model": ("import time\ndef load_model(d):\n    time.sleep(3600)", "not ready after 6 s"),
    "holds the interpreter in load_model": ("def load_model(d):\n    sum(range(10**12))", "not ready after 6 s"),
    "eats memory in load_model": (
        "def load_model(d):\n    return [bytearray(2**24) for _ in range(2**10)]",
        "memory limit of 256 MiB exceeded",
    ),
    "fills the disk in load_model": (
        "def load_model(d):\n    with open('big', 'wb') as f:\n        while True: f.write(bytes(2**20)); f.flush()",
        "disk",
    ),
    "prints and crashes": (
        "def load_model(d):\n    print('x' * 100_000_000)\n    raise RuntimeError('said it all')",
        "said it all",
    ),
    "leaves a pipe for a reason": (
        "import os\nos.mkfifo('/run/modelyard/failure.json')\nos._exit(4)",
        "exit code 4",
    ),
    "leaves an odd reason": (
        "import os\nopen('/run/modelyard/failure.json', 'w').write('[' * 60000)\nos._exit(5)",
        "exit code 5",
    ),
    "leaves a reason that is no text": (
        f"import os\nopen('/run/modelyard/failure.json', 'w').write({NO_TEXT!r})\nos._exit(6)",
        "lone",
    ),
}


@pytest.fixture(scope="module")
def launched(ward: Ward) -> dict[str, tuple[str, str]]:
    """All that cannot start, launched at once."""
    return {
        kind: ward.launch(
            ward.a_package_of(source + SCORE, version={"maximumMemory": str(256 * MIB)}, name=kind), label=kind
        )
        for kind, (source, _) in UNABLE.items()
    }


@pytest.mark.parametrize("kind", UNABLE)
def test_a_model_that_cannot_start_says_why(ward: Ward, launched: dict[str, tuple[str, str]], kind: str) -> None:
    deployment_id, location = launched[kind]
    reason = UNABLE[kind][1]
    message = ward.await_failure(location)
    assert reason in message
    found = ward.read(deployment_id)
    assert (found["status"], found["hasError"]) == ("errored", True)
    assert reason in found["statusMessage"]
    assert reason in ward.launch_log(deployment_id)
    assert len(ward.launch_log(deployment_id)) < 16 * MIB
    refused = ward.ask(deployment_id, "anybody there?")
    assert refused.status_code == 503
    assert reason in refused.json()["message"]
    wait_until(lambda: ward.workloads_of(deployment_id) == [] or None, 10, "the end of its replica")
    ward.delete(deployment_id)


# at work


def test_one_that_dies_at_the_third_request_is_started_again(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    die = "model['n'] = model.get('n', 0) + 1\nimport os\nif model['n'] == 3: os._exit(9)\nresult = model['n']"
    assert [ward.run(deployment_id, die) for _ in range(2)] == ["1", "2"]
    refused = ward.ask(deployment_id, die)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert "went away" in refused.json()["message"]
    ward.await_answer(deployment_id)
    assert ward.run(deployment_id, die) == "1"
    ward.delete(deployment_id)


@pytest.mark.parametrize("how", ["raise ValueError('not today')", "import sys; sys.exit(3)", "raise SystemExit", "1/0"])
def test_one_that_raises_serves_the_next_request(ward: Ward, obedient: str, how: str) -> None:
    refused = ward.ask(obedient, how)
    assert refused.status_code == 422
    assert refused.json()["message"].startswith("The model failed: ")
    assert ward.run(obedient, "result = 2") == "2"


HANGS = {
    "sleeps": "import time\ntime.sleep(3600)",
    "holds the interpreter": "sum(range(10**12))",
    "stops itself": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
}
SINGLE_MINDED = """
    import http.server, os, time

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def do_GET(self):
            self.answer()

        def do_POST(self):
            if self.rfile.read(int(self.headers["Content-Length"])) == b"hang":
                time.sleep(3600)
            self.answer()

    http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


def test_those_that_hang_do_not_stay_so(ward: Ward) -> None:
    """A replica that is stuck is started anew, whether it is still able to say so or not."""
    hanging = {kind: ward.an_obedient_model() for kind in HANGS}
    model = ward.a_model(name="single-minded")
    files = {"server.py": SINGLE_MINDED, "start_server.sh": "#!/bin/sh\nexec python server.py\n"}
    hanging["its own server"] = ward.deploy(ward.a_package(ward.a_version(model["id"], files)))
    before = {kind: ward.workloads_of(deployment_id)[0].id for kind, deployment_id in hanging.items()}

    def hang(kind: str) -> None:
        late = ward.ask(hanging[kind], HANGS.get(kind, "hang"))
        assert late.status_code == 504
        assert "within" in late.json()["message"]  # the gateway says so, or the runner a moment earlier
        assert ward.ask(hanging[kind], "result = 1").status_code in {503, 504}

    with ThreadPoolExecutor(len(hanging)) as threads:
        list(threads.map(hang, hanging))
        list(threads.map(lambda one: ward.await_answer(one, 60), hanging.values()))
    for kind, deployment_id in hanging.items():
        ward.await_one_replica_but(deployment_id, before[kind])
        assert ward.read(deployment_id)["status"] == "active"
        ward.delete(deployment_id)


def test_a_slow_request_is_late_but_harms_nobody(ward: Ward, obedient: str) -> None:
    assert ward.ask(obedient, "import time\ntime.sleep(2.4)").status_code == 504
    ward.await_answer(obedient)
    assert ward.run(obedient, "result = len(model)") == "0"


def test_a_hundred_megabytes_of_output_are_cut_and_can_be_read(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    source = "import sys\nfor _ in range(25): sys.stdout.write('y' * 4_000_000 + '\\n')\nresult = 'printed'"
    ward.ask(deployment_id, source)  # more than one request's time may be needed to print it all
    ward.await_answer(deployment_id)
    ward.run(deployment_id, "import sys\nsys.stdout.buffer.write(b'\\xff\\x00\\x1b[31mred\\n')\nsys.stdout.flush()")
    (workload,) = ward.workloads_of(deployment_id)
    log = ward.executor.root / workload.id / "log"
    wait_until(lambda: "red" in ward.runtime_log(deployment_id) or None, 20, "the last line")
    assert sum(one.stat().st_size for one in log.iterdir()) < 6 * MIB
    assert len(ward.runtime_log(deployment_id)) < 5 * MIB
    ward.delete(deployment_id)


def test_a_fork_bomb_stays_small(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    source = "import os\nwhile True:\n    os.fork()"
    assert ward.ask(deployment_id, source).status_code in {422, 503, 504}
    family = [len(one.pids()) for one in ward.workloads_of(deployment_id)]
    assert all(count < 90 for count in family), family
    ward.await_answer(deployment_id, 60)
    ward.delete(deployment_id)


def test_memory_over_the_limit_ends_it_with_the_reason(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    refused = ward.ask(deployment_id, "x = [bytearray(2**24) for _ in range(2**10)]")
    assert refused.status_code == 503
    ward.await_answer(deployment_id)
    assert "memory limit of 256 MiB exceeded" in ward.runtime_log(deployment_id)
    ward.delete(deployment_id)


def test_a_full_disk_ends_it_with_the_reason(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    fill = "f = open('/opt/work/big', 'wb')\nfor _ in range(2000):\n    f.write(bytes(2**20)); f.flush()"
    assert ward.ask(deployment_id, fill).status_code in {422, 503}
    ward.await_answer(deployment_id)
    assert "disk" in ward.runtime_log(deployment_id)
    ward.run(deployment_id, "result = __import__('os').path.exists('/opt/work/big')")
    ward.delete(deployment_id)


def test_folders_that_are_hard_to_delete_are_deleted(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    (workload,) = ward.workloads_of(deployment_id)
    source = (
        "import os\nos.chdir('/opt/work')\n"
        "for _ in range(1500):\n    os.mkdir('deep'); os.chdir('deep')\n"
        "os.chdir('/opt/work')\nos.mkdir('locked')\nopen('locked/file', 'w').close()\nos.chmod('locked', 0)\n"
        "os.symlink('/etc', 'link')"
    )
    ward.run(deployment_id, source)
    ward.delete(deployment_id)
    wait_until(lambda: not (ward.executor.root / workload.id).exists() or None, 30, "the end of its folder")
    assert os.path.isdir("/etc")  # noqa: PTH112


# answers

STRUCTURED = """
    import os, json
    import pandas as pd

    def load_model(code_dir):
        return "ready"

    def score(data, model, **kwargs):
        count, how = len(data), data["how"].iloc[0]
        return eval(how, {"pd": pd, "count": count, "nan": float("nan"), "inf": float("inf"), "data": data})
"""
WRONG = {
    "too few rows": "pd.DataFrame({'Predictions': [1.0]})",
    "too many rows": "pd.DataFrame({'Predictions': [1.0] * (count + 1)})",
    "no rows": "pd.DataFrame({'Predictions': []})",
    "NaN": "pd.DataFrame({'Predictions': [1.0, nan]})",
    "infinity": "pd.DataFrame({'Predictions': [1.0, inf]})",
    "another column": "pd.DataFrame({'Guesses': [1.0, 2.0], 'More': [1.0, 2.0]})",
    "text": "pd.DataFrame({'Predictions': ['high', 'low']})",
    "no table": "'nothing'",
    "None": "None",
    "a list in a cell": "pd.DataFrame({'Predictions': [[1.0], [2.0]]})",
}


@pytest.fixture(scope="module")
def structured(ward: Ward) -> str:
    return ward.deploy(
        ward.a_package_of(STRUCTURED, environment=SCIKIT_LEARN, targetType="Regression", targetName="y"),
        label="structured",
    )


@pytest.fixture(scope="module")
def binary(ward: Ward) -> str:
    labels: dict[str, Any] = {"positiveClassLabel": "yes", "negativeClassLabel": "no"}
    return ward.deploy(
        ward.a_package_of(STRUCTURED, environment=SCIKIT_LEARN, targetType="Binary", targetName="y", **labels),
        label="binary",
    )


@pytest.fixture(scope="module")
def obedient(ward: Ward) -> str:
    return ward.an_obedient_model()


@pytest.mark.parametrize("accept", ["application/json", "text/csv"])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_answers_of_a_model_are_not_passed_on(ward: Ward, structured: str, kind: str, accept: str) -> None:
    answer = ward.predict(structured, [{"how": WRONG[kind]}] * 2, accept=accept)
    assert answer.status_code == 422, answer.text
    assert answer.json()["message"]
    well = ward.predict(structured, [{"how": "pd.DataFrame({'Predictions': [1.5] * count})"}])
    assert well.json()["data"][0]["prediction"] == 1.5


@pytest.mark.parametrize(
    "how",
    [
        "pd.DataFrame({'yes': [0.5, 0.6], 'maybe': [0.5, 0.4]})",
        "pd.DataFrame({'yes': [0.9, 0.6], 'no': [0.9, 0.6]})",
        "pd.DataFrame({'yes': [1.9, 0.6], 'no': [-0.9, 0.4]})",
        "pd.DataFrame({'a': [1, 0], 'b': [0, 1], 'c': [0, 0]})",
        "pd.DataFrame({'yes': [nan, 0.6], 'no': [0.5, 0.4]})",
    ],
)
def test_wrong_classes_are_not_passed_on(ward: Ward, binary: str, how: str) -> None:
    answer = ward.predict(binary, [{"how": how}] * 2)
    assert answer.status_code == 422, answer.text


FALSE_SERVER = """
    import os, socket, threading

    OK = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n"
    ANSWERS = {
        b"count": OK + b"X-Modelyard-Rows: " + b"9" * 4000 + b"\\r\\nX-Modelyard-Execution-Ms: inf\\r\\n\\r\\nok",
        b"large": OK + b"X-Modelyard-Rows: 99999999999999999999\\r\\nX-Modelyard-Execution-Ms: nan\\r\\n\\r\\nok",
        b"status": b"HTTP/1.1 500 Oh\\r\\nContent-Length: 2\\r\\n\\r\\nok",
        b"move": b"HTTP/1.1 302 Away\\r\\nLocation: http://example.com/\\r\\nContent-Length: 0\\r\\n\\r\\n",
        b"garbage": b"\\x00\\xff\\r\\n\\r\\n" * 100,
        b"headers": OK + b"X-A: " + b"a" * 1_000_000 + b"\\r\\n\\r\\nok",
        b"short": b"HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\nok",
        b"negative": b"HTTP/1.1 200 OK\\r\\nContent-Length: -5\\r\\n\\r\\nok",
        b"length": b"HTTP/1.1 200 OK\\r\\nContent-Length: " + b"9" * 30 + b"\\r\\n\\r\\nok",
        b"twice": OK + b"\\r\\nok" + OK + b"\\r\\nno",
        b"split": OK + b"Content-Type: text/plain\\r\\n X-Folded: 1\\r\\n\\r\\nok",
    }

    def serve(server):
        while True:
            client, _ = server.accept()
            asked = client.recv(65536)
            if asked.startswith(b"GET"):
                client.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\n\\r\\n")
            else:
                client.sendall(ANSWERS[asked.rpartition(b"\\r\\n\\r\\n")[2]])
            client.close()

    def load_model(code_dir):
        os.unlink("/run/modelyard/server.sock")
        server = socket.socket(socket.AF_UNIX)
        server.bind("/run/modelyard/server.sock")
        server.listen(50)
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        return "false"

    def score_unstructured(model, data, **kwargs):
        return "true"
"""
ODD = ("large", "status", "move", "garbage", "headers", "short", "negative", "length", "twice", "split", "count")


def test_a_false_server_in_the_runners_place(ward: Ward) -> None:
    """User code takes the socket over and answers whatever it likes."""
    deployment_id = ward.deploy(ward.a_package_of(FALSE_SERVER), label="false")
    for wanted in ODD:
        try:
            answer = ward.ask(deployment_id, wanted)
        except httpx.RemoteProtocolError:
            assert wanted in {"short", "length"}, wanted  # a cut answer cannot be told otherwise
            continue
        assert answer.status_code in {200, 422, 502, 503}, f"{wanted}: {answer.status_code} {answer.text}"
        if wanted in {"status", "move"}:
            assert answer.status_code != 200
        if answer.status_code == 200:
            assert answer.text == "ok"
    before = ward.read(ward.neighbour_id)["predictionUsage"]["dailyRates"][-1]
    ward.ask(ward.neighbour_id, "counted")
    wait_until(
        lambda: ward.read(ward.neighbour_id)["predictionUsage"]["dailyRates"][-1] > before or None,
        10,
        "the neighbour's usage to be counted still",
    )
    assert ward.read(deployment_id)["predictionUsage"]["dailyRates"][-1] <= 10_000_000
    ward.delete(deployment_id)


# looking out of the sandbox


def reachable(ward: Ward, deployment_id: str, addresses: list[tuple[str, int]]) -> dict[str, str]:
    source = (
        "import json, socket\nfound = {}\n"
        f"for host, port in {addresses!r}:\n"
        "    try:\n        socket.create_connection((host, port), 0.4).close(); found[f'{host}:{port}'] = 'open'\n"
        "    except OSError as error:\n        found[f'{host}:{port}'] = repr(error)\n"
        "result = json.dumps(found)"
    )
    return dict(json.loads(ward.run(deployment_id, source)))


def host_addresses() -> list[str]:
    """Every way to name this machine from inside."""
    return ["127.0.0.1", "10.0.2.2", *(one.partition("/")[0] for one in own_addresses())][:4]


@pytest.mark.parametrize("network", ["NONE", "PUBLIC"])
def test_the_machine_itself_is_out_of_reach(ward: Ward, network: str) -> None:
    deployment_id = ward.an_obedient_model(network)
    ports = (ward.server.port, ward.server.gateway_port)
    addresses = [(host, ports[0]) for host in host_addresses()] + [("127.0.0.1", ports[1])]
    found = reachable(ward, deployment_id, addresses)
    assert "open" not in found.values(), found
    if network == "NONE":
        outside = reachable(ward, deployment_id, [("1.1.1.1", 53), ("8.8.8.8", 53)])
        assert "open" not in outside.values(), outside
        names = ward.run(deployment_id, "import socket\nresult = [n for _, n in socket.if_nameindex()]")
        assert names == "['lo']"
    ward.delete(deployment_id)


FORBIDDEN = {
    "the machine's passwords": "open('/etc/shadow').read()",
    "the data directory": "os.listdir({data!r})",
    "the database": "open({data!r} + '/modelyard.db', 'rb').read(16)",
    "other workloads": "os.listdir({data!r} + '/workloads')",
    "others' sockets": "os.listdir({run!r})",
    "the home of root": "[one for one in os.listdir('/root') if one != '.pyenv'][0], os.listdir('/root/.ssh')",
    "writing over its code": "open('/opt/code/custom.py', 'a')",
    "writing into its image": "open('/opt/image/x', 'w')",
    "writing into the system": "open('/usr/x', 'w')",
    "writing into /etc": "open('/etc/x', 'w')",
    "writing to the root": "open('/x', 'w')",
    "kernel settings": "open('/proc/sys/kernel/hostname', 'w').write('x')",
    "mounting": "(_ for _ in ()).throw(OSError(libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), 'mount')) "
    "if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) else 'mounted'",
    "becoming root": "os.setuid(0)",
    "raw sockets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "tracing its parent": "open('/proc/1/mem', 'rb').read(1)",
    "making devices": "os.mknod('/tmp/device', 0o20666, os.makedev(1, 1))",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_what_is_forbidden_fails(ward: Ward, obedient: str, what: str) -> None:
    places = {"data": str(ward.server.data_dir), "run": str(ward.executor.runtime_dir)}
    expression = FORBIDDEN[what].format(**places)
    source = f"import ctypes, os, socket\nlibc = ctypes.CDLL(None)\nresult = 'GOT ' + repr({expression})"
    answer = ward.ask(obedient, source)
    assert answer.status_code == 422, f"{what}: {answer.text}"
    assert any(name in answer.json()["message"] for name in ("Error", "Permission")), answer.text


def test_only_its_own_processes_and_variables_are_seen(ward: Ward, obedient: str) -> None:
    source = """
import json, os
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
environments, commands = {}, {}
for pid in pids:
    try:
        environments[pid] = open(f"/proc/{pid}/environ").read()
        commands[pid] = open(f"/proc/{pid}/cmdline").read()
    except OSError:
        pass
result = json.dumps({"own": dict(os.environ), "pids": pids, "environments": environments, "commands": commands})
"""
    seen: dict[str, Any] = json.loads(ward.run(obedient, source))
    assert len(seen["pids"]) < 10
    text = json.dumps(seen)
    assert str(ward.api.token) not in text
    assert "BOOTSTRAP" not in text
    assert "DATABASE_URL" not in text
    assert not [name for name in seen["own"] if name in {"XDG_CONFIG_HOME", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY"}]
    assert all("modelyard_runner" in command or "bwrap" in command for command in seen["commands"].values() if command)


def test_killing_all_it_sees_hurts_only_itself(ward: Ward) -> None:
    deployment_id = ward.an_obedient_model()
    ward.ask(deployment_id, "import os\nos.kill(-1, 9)")
    assert ward.ask(deployment_id, "import os\nos.kill(os.getpid(), 9)").status_code == 503
    ward.await_answer(deployment_id)
    ward.delete(deployment_id)


def test_a_link_in_place_of_its_socket_is_not_followed(ward: Ward) -> None:
    """Nobody reaches another workload, or a service of the machine, through the gateway's rights."""
    deployment_id = ward.an_obedient_model()
    (neighbour,) = ward.workloads_of(ward.neighbour_id)
    other = ward.executor.address(neighbour.id)
    own = "/run/modelyard/server.sock"
    swap = f"import os\nos.unlink({own!r})\nos.symlink({str(other)!r} + '/server.sock', {own!r})"
    assert ward.ask(deployment_id, swap).status_code == 200
    with ThreadPoolExecutor(8) as many:  # more at once than there are kept connections
        answers = list(many.map(lambda _: ward.ask(deployment_id, "result = 'mine'").text, range(40)))
    assert not [answer for answer in answers if "neighbour" in answer]
    ward.delete(deployment_id)


def test_the_end_leaves_nothing_behind(ward: Ward) -> None:
    for deployment in ward.api.get("/deployments/?limit=100").json()["data"]:
        if deployment["id"] != ward.neighbour_id:
            ward.delete(deployment["id"])
    wait_until(lambda: len(ward.workloads()) == 1 or None, 40, "only the neighbour to be left")
