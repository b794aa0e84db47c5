"""Unstructured models: what the hook gets and what its result becomes."""

import gzip
import json

import pytest

from tests.runner.running import RunningRunner, StartRunner

CODE = """
    import json

    def load_model(code_dir):
        return {"name": "m"}

    def score_unstructured(model, data, query, headers, **kwargs):
        if data == "tuple":
            return "é", {"mimetype": "text/html", "charset": "latin-1"}
        if data == "charset":
            return "日", {"charset": "latin-1"}
        if data == "bytes":
            return b"\\x00\\xff"
        if data == "image":
            return b"\\x89PNG", {"mimetype": "image/png"}
        if data == "none":
            return None
        if data == "header":
            return "x", {"mimetype": "a\\r\\nb: c"}
        if data == "raise":
            raise RuntimeError("no such thing")
        if data == "exit":
            raise SystemExit(3)
        data = data if isinstance(data, str) else list(data)
        return json.dumps([model, data, query, headers.get("x-note"), kwargs])
"""


@pytest.fixture(scope="module")
def runner(start_shared_runner: StartRunner) -> RunningRunner:
    return start_shared_runner({"custom.py": CODE}, ("--target-type", "unstructured", "--batch", "on"))


def seen(runner: RunningRunner, body: bytes, content_type: str, path: str) -> list[object]:
    answer = runner.predict(body, content_type, path=path, headers={"X-Note": "hi"})
    assert answer.headers["content-type"] == "text/plain; charset=utf8"
    content: list[object] = json.loads(answer.body)
    return content


@pytest.mark.parametrize(
    ("body", "content_type", "data", "mimetype", "charset"),
    [
        (b"text", "text/markdown", "text", "text/markdown", "utf8"),
        (b"{}", "application/json", "{}", "application/json", "utf8"),
        ("é".encode("latin-1"), "text/plain; charset=latin-1", "é", "text/plain", "latin-1"),
        (b"\x01\x02", "application/octet-stream", [1, 2], "application/octet-stream", "utf8"),
        (b"\x03", "image/png", [3], "image/png", "utf8"),
        (b"", "text/plain", "", "text/plain", "utf8"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/predictionsUnstructured", "/predictUnstructured/"])
def test_data(
    runner: RunningRunner, path: str, body: bytes, content_type: str, data: object, mimetype: str, charset: str
) -> None:
    expected = [{"name": "m"}, data, {}, "hi", {"mimetype": mimetype, "charset": charset}]
    assert seen(runner, body, content_type, path) == expected


def test_no_content_type(runner: RunningRunner) -> None:
    assert seen(runner, b"a", "", "/v1/predictionsUnstructured")[1] == [97]
    assert seen(runner, b"a", "", "/predictUnstructured/")[1] == "a"


def test_query(runner: RunningRunner) -> None:
    answer = runner.predict(b"a", "text/plain", path="/predictUnstructured/", query=[("k", "v w")])
    assert answer.json()[2] == {"k": "v w"}
    refused = runner.predict(b"a", "text/plain", path="/v1/predictionsUnstructured", query=[("k", "v")])
    assert refused.status == 400
    assert "query" in refused.message()


@pytest.mark.parametrize(
    ("data", "body", "content_type"),
    [
        ("tuple", "é".encode("latin-1"), "text/html; charset=latin-1"),
        ("bytes", b"\x00\xff", "application/octet-stream; charset=utf8"),
        ("image", b"\x89PNG", "image/png; charset=utf8"),
    ],
)
def test_results(runner: RunningRunner, data: str, body: bytes, content_type: str) -> None:
    answer = runner.predict(data, "text/plain", path="/v1/predictionsUnstructured")
    assert (answer.status, answer.body, answer.headers["content-type"]) == (200, body, content_type)
    assert answer.headers["x-modelyard-rows"] == "1"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("none", "NoneType"),
        ("charset", "latin-1"),
        ("header", "mimetype"),
        ("raise", "RuntimeError: no such thing"),
        ("exit", "SystemExit: 3"),
    ],
)
def test_wrong_results(runner: RunningRunner, data: str, words: str) -> None:
    answer = runner.predict(data, "text/plain", path="/v1/predictionsUnstructured")
    assert answer.status == 422
    assert words in answer.message()


def test_gzip_and_wrong_text(runner: RunningRunner) -> None:
    path = "/v1/predictionsUnstructured"
    headers = {"Content-Encoding": "gzip"}
    assert runner.predict(gzip.compress(b"bytes"), "text/plain", path=path, headers=headers).body == b"\x00\xff"
    assert runner.predict(b"\xff", "text/plain", path=path).status == 400
    assert runner.predict(b"x", "text/plain; charset=martian", path=path).status == 400


def test_structured_route_is_refused(runner: RunningRunner) -> None:
    answer = runner.predict([{"x": 1}])
    assert answer.status == 422
    assert "/predictionsUnstructured" in answer.message()


def test_unstructured_kind_and_missing_hook(start_runner: StartRunner) -> None:
    code = "def score_unstructured(model, data, **kwargs):\n    return data\n"
    runner = start_runner({"custom.py": code}, ("--target-type", "agenticworkflow", "--unstructured"))
    assert runner.predict("ping", "text/plain", path="/predictUnstructured/").body == b"ping"
    failing = start_runner({"custom.py": ""}, ("--target-type", "unstructured"), ready=False)
    assert failing.process.wait(20) == 1
    assert "score_unstructured" in json.loads(failing.failure_file.read_text())["message"]
