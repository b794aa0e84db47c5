"""The prediction route of a binary model: every form of input and output, and what a client can get wrong."""

import csv
import gzip
import json
from typing import Any

import pytest

from tests.runner.running import YES_NO, RunningRunner, StartRunner, exchange

# The probability of the positive class is the column p itself.
CODE = """
    import pandas as pd

    def load_model(code_dir):
        return "a model"

    def score(data, model, positive_class_label, negative_class_label):
        p = data["p"].astype(float)
        return pd.DataFrame({negative_class_label: 1 - p, positive_class_label: p})
"""
ROWS = [{"id": 7, "p": 0.75, "note": "a,b"}, {"id": 8, "p": 0.125, "note": None}]
TABLE = 'id,p,note\n007,0.75,"a,b"\n008,0.125,\n'


@pytest.fixture(scope="module")
def runner(start_shared_runner: StartRunner) -> RunningRunner:
    options = (*YES_NO, "--threshold", "0.6", "--max-body-bytes", "200000")
    return start_shared_runner({"custom.py": CODE}, options)


def expected_row(number: int, positive: float) -> dict[str, Any]:
    return {
        "rowId": number,
        "prediction": "yes" if positive >= 0.6 else "no",
        "predictionValues": [{"label": "yes", "value": positive}, {"label": "no", "value": 1 - positive}],
        "predictionThreshold": 0.6,
    }


BOTH = [expected_row(0, 0.75), expected_row(1, 0.125)]


def multipart(name: str, content: str, kind: str = "text/csv") -> tuple[bytes, str]:
    head = f'Content-Disposition: form-data; name="{name}"; filename="data"\r\nContent-Type: {kind}'
    body = f"--frontier\r\n{head}\r\n\r\n{content}\r\n--frontier--\r\n"
    return body.encode(), "multipart/form-data; boundary=frontier"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (json.dumps(ROWS).encode(), "application/json"),
        (json.dumps(ROWS).encode(), "text/json; charset=UTF-8"),
        (json.dumps(ROWS).encode("utf-16"), "application/json; charset=utf-16"),
        (json.dumps(ROWS).encode(), ""),
        (TABLE.encode(), "text/csv"),
        (TABLE.encode(), "text/plain; charset=UTF-8"),
        (TABLE.encode("utf-16"), 'text/csv; charset="utf-16"'),
        (b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode(), "text/csv"),
        (TABLE.encode(), ""),
        multipart("file", TABLE),
        multipart("file", json.dumps(ROWS), "application/json"),
        multipart("file", TABLE, "application/octet-stream"),
    ],
)
def test_every_form_of_input_gives_the_same_rows(runner: RunningRunner, body: bytes, content_type: str) -> None:
    answer = runner.predict(body, content_type)
    assert answer.rows() == BOTH
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-modelyard-rows"] == "2"
    assert float(answer.headers["x-modelyard-execution-ms"]) > 0


def test_bare_object_is_one_row(runner: RunningRunner) -> None:
    assert runner.predict(ROWS[0]).rows() == BOTH[:1]


def test_gzip(runner: RunningRunner) -> None:
    headers = {"Content-Encoding": "gzip"}
    assert runner.predict(gzip.compress(TABLE.encode()), headers=headers).rows() == BOTH
    two_members = gzip.compress(TABLE[:20].encode()) + gzip.compress(TABLE[20:].encode())
    assert runner.predict(two_members, headers=headers).rows() == BOTH


def test_csv_answer(runner: RunningRunner) -> None:
    answer = runner.predict(ROWS, accept="text/csv")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.lines() == [
        "churn_yes_PREDICTION,churn_no_PREDICTION,churn_PREDICTION,THRESHOLD,POSITIVE_CLASS",
        "0.75,0.25,yes,0.6,yes",
        "0.125,0.875,no,0.6,yes",
    ]


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [("*/*", False), ("text/csv;q=0.5, application/json", False), ("application/json;q=0.1,text/csv", True)],
)
def test_accept(runner: RunningRunner, accept: str, is_csv: bool) -> None:
    assert runner.predict(ROWS, accept=accept).headers["content-type"].startswith("text/csv") == is_csv


def test_passthrough_keeps_the_types_of_json(runner: RunningRunner) -> None:
    query = [("passthroughColumns", "note"), ("passthroughColumns", "id")]
    rows = runner.predict(ROWS, query=query).rows()
    assert [row["passthroughValues"] for row in rows] == [{"note": "a,b", "id": 7}, {"note": None, "id": 8}]


def test_passthrough_of_csv(runner: RunningRunner) -> None:
    rows = runner.predict(TABLE, query=[("passthroughColumnsSet", "all")]).rows()
    assert rows[0]["passthroughValues"] == {"id": "007", "p": 0.75, "note": "a,b"}
    assert rows[1]["passthroughValues"] == {"id": "008", "p": 0.125, "note": None}


def test_passthrough_from_csv_to_csv_is_verbatim(runner: RunningRunner) -> None:
    table = TABLE.replace("0.75", "7.50e-1")
    lines = runner.predict(table, accept="text/csv", query=[("passthroughColumnsSet", "all")]).lines()
    assert [row[5:] for row in csv.reader(lines)] == [
        ["id", "p", "note"],
        ["007", "7.50e-1", "a,b"],
        ["008", "0.125", ""],
    ]


def test_passthrough_name_clash_is_refused(runner: RunningRunner) -> None:
    answer = runner.predict([{"p": 0.5, "THRESHOLD": 1}], accept="text/csv", query=[("passthroughColumnsSet", "all")])
    assert answer.status == 422
    assert "'THRESHOLD'" in answer.message()


def test_decimals(runner: RunningRunner) -> None:
    rows = runner.predict([{"p": 2 / 3}], query=[("decimalsNumber", 3)]).rows()
    assert [value["value"] for value in rows[0]["predictionValues"]] == [0.667, 0.333]
    lines = runner.predict([{"p": 2 / 3}], accept="text/csv", query=[("decimalsNumber", 0)]).lines()
    assert lines[1].startswith("1.0,0.0,yes")


def test_accepted_arguments_change_nothing(runner: RunningRunner) -> None:
    query = [("predictionWarningEnabled", "true"), ("maxExplanations", 0), ("thresholdLow", 0.1), ("something", "else")]
    assert runner.predict(ROWS, query=query).rows() == BOTH


def test_target_column_is_kept_from_the_model(start_runner: StartRunner) -> None:
    code = """
        def score(data, model):
            return [len(data.columns)] * len(data)
    """
    runner = start_runner({"custom.py": code}, ("--target-type", "regression", "--target-name", "y"))
    rows = runner.predict([{"x": 1, "y": 2}], query=[("passthroughColumns", "y")]).rows()
    assert rows[0]["prediction"] == 1
    assert rows[0]["passthroughValues"] == {"y": 2}


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ([("passthroughColumns", "id"), ("passthroughColumnsSet", "all")], 400, "not both"),
        ([("passthroughColumnsSet", "some")], 400, "'some'"),
        ([("passthroughColumns", "nope")], 422, "'nope'"),
        ([("decimalsNumber", "-1")], 400, "decimalsNumber"),
        ([("decimalsNumber", "two")], 400, "'two'"),
        ([("predictionWarningEnabled", "perhaps")], 400, "'perhaps'"),
        ([("thresholdHigh", "nan")], 400, "thresholdHigh"),
        ([("maxExplanations", "3")], 422, "not available"),
        ([("maxExplanations", "all")], 422, "not available"),
        ([("maxExplanations", "-3")], 400, "maxExplanations"),
        ([("explanationNumTopClasses", 1), ("explanationClassNames", "a")], 400, "not both"),
    ],
)
def test_wrong_arguments(runner: RunningRunner, query: list[tuple[str, object]], status: int, word: str) -> None:
    answer = runner.predict(ROWS, query=query)
    assert answer.status == status
    assert word in answer.message()


@pytest.mark.parametrize(
    ("body", "content_type", "status", "word"),
    [
        (b"", "text/csv", 400, "empty"),
        (b"", "application/json", 400, "empty"),
        (b"\n\n", "text/csv", 400, "empty"),
        (b"p,q\n", "text/csv", 422, "no rows"),
        (b"[]", "application/json", 422, "no rows"),
        (b'[{"p": 1}', "application/json", 400, "JSON"),
        (b'[{"p": NaN}]', "application/json", 400, "JSON"),
        (b"[1, 2]", "application/json", 400, "Row 0"),
        (b'"text"', "application/json", 400, "array"),
        (b"p,q\n1,2\n1,2,3\n", "text/csv", 400, "3"),
        (b"p,q\n1,2,3\n", "text/csv", 400, "more values"),
        (b'p,q\n1,"2\n', "text/csv", 400, "CSV"),
        (b"p,p\n1,2\n", "text/csv", 400, "'p'"),
        (b"p\n\xff\xfe\n", "text/csv", 400, "utf-8"),
        (b"p\n1\n", "text/csv; charset=martian", 400, "martian"),
        (b"\x89PNG\r\n", "image/png", 400, "image/png"),
        (b"p=1", "application/x-www-form-urlencoded", 400, "text/csv"),
        (b"q\n1\n", "text/csv", 422, "KeyError: 'p'"),
        (b"p\nabc\n", "text/csv", 422, "ValueError"),
        (b"x", "multipart/form-data", 400, "boundary"),
        (*multipart("data", TABLE), 400, "'file'"),
        (multipart("file", TABLE)[0][:60], "multipart/form-data; boundary=frontier", 400, "middle"),
    ],
)
def test_wrong_bodies(runner: RunningRunner, body: bytes, content_type: str, status: int, word: str) -> None:
    answer = runner.predict(body, content_type)
    assert answer.status == status, answer.body
    assert word in answer.message()


@pytest.mark.parametrize(
    ("encoding", "body"), [("gzip", b"not gzip"), ("gzip", gzip.compress(TABLE.encode(), mtime=0)[:-9]), ("br", b"x")]
)
def test_wrong_content_encoding(runner: RunningRunner, encoding: str, body: bytes) -> None:
    answer = runner.predict(body, headers={"Content-Encoding": encoding})
    assert answer.status == 400
    assert "gzip" in answer.message()


def test_too_large(runner: RunningRunner) -> None:
    answer = runner.predict(b"p\n" + b"1\n" * 150_000)
    assert answer.status == 413
    assert "200000 bytes" in answer.message()


def test_too_large_when_unpacked(runner: RunningRunner) -> None:
    answer = runner.predict(gzip.compress(b"0" * 300_000), headers={"Content-Encoding": "gzip"})
    assert answer.status == 413


def test_too_large_in_chunks(runner: RunningRunner) -> None:
    connection = runner.connection()
    connection.putrequest("POST", "/v1/predictions")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.putheader("Content-Type", "text/csv")
    connection.endheaders()
    for _ in range(30):
        connection.send(b"2710\r\n" + b"1" * 10_000 + b"\r\n")
    connection.send(b"0\r\n\r\n")
    assert connection.getresponse().status == 413
    connection.close()


def test_chunked_body(runner: RunningRunner) -> None:
    connection = runner.connection()
    chunks = [TABLE[:9].encode(), TABLE[9:].encode()]
    connection.request("POST", "/v1/predictions", iter(chunks), {"Content-Type": "text/csv"}, encode_chunked=True)
    assert json.loads(connection.getresponse().read())["data"] == BOTH
    connection.close()


def test_connection_is_kept(runner: RunningRunner) -> None:
    connection = runner.connection()
    body = json.dumps(ROWS).encode()
    for body_sent, status in ((body, 200), (b"[", 400), (body, 200)):
        answer = exchange(connection, "POST", "/v1/predictions", body_sent, {"Content-Type": "application/json"})
        assert answer.status == status
    connection.close()


def test_pipelined_requests_are_answered_in_order(runner: RunningRunner) -> None:
    connection = runner.connection()
    connection.connect()
    message = b""
    for p in (0.5, 0.25, 1.0):
        body = json.dumps([{"p": p}]).encode()
        head = f"POST /v1/predictions HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        message += head.encode() + body
    connection.sock.sendall(message + b"GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n")
    received = b""
    while chunk := connection.sock.recv(65536):
        received += chunk
    places = [received.index(word) for word in (b'"value":0.5}', b'"value":0.25}', b'"value":1.0}', b"404 Not Found")]
    assert places == sorted(places)
    connection.close()


def test_what_is_not_http_is_refused(runner: RunningRunner) -> None:
    connection = runner.connection()
    connection.connect()
    connection.sock.sendall(b"hello\r\n\r\n")
    assert connection.sock.recv(1000).startswith(b"HTTP/1.1 400")
    connection.close()


def test_wrong_paths_and_methods(runner: RunningRunner) -> None:
    assert runner.get("/nowhere").status == 404
    assert runner.get("/v1/predictions").status == 405
    assert runner.request("POST", "/stats/", b"").status == 405
    answer = runner.predict(b"x", path="/v1/predictionsUnstructured")
    assert answer.status == 422
    assert "/predictions" in answer.message()


def test_contract_routes(runner: RunningRunner) -> None:
    assert runner.predict(TABLE, path="/predict/").json() == {
        "predictions": [{"yes": 0.75, "no": 0.25}, {"yes": 0.125, "no": 0.875}]
    }
    columns = {"X": {"p": [0.75, 0.125]}}
    assert runner.predict(columns, path="/predict_no_state/").json() == runner.predict(TABLE, path="/predict").json()
    assert runner.predict({"X": {"p": [1], "q": [1, 2]}}, path="/predict_no_state/").status == 400
    assert runner.predict({"Y": 1}, path="/predict_no_state/").status == 400


def test_information_routes(runner: RunningRunner) -> None:
    assert runner.get("/").body == b""
    assert runner.get("/health/").status == 200
    before = runner.get("/stats/").json()
    runner.predict(ROWS)
    after = runner.get("/stats/").json()
    assert after["rows"] - before["rows"] == 2
    assert after["requests"] - before["requests"] == 1
    assert after["batches"] - before["batches"] == 1
    assert after["memory"]["rssBytes"] > 10**7
    capabilities = runner.get("/capabilities/").json()
    assert capabilities["hooks"] == ["load_model", "score"]
    assert capabilities["targetType"] == "Binary"


def test_log_of_a_healthy_model(start_runner: StartRunner) -> None:
    runner = start_runner({"custom.py": CODE}, [*YES_NO, "--url-prefix", "a/b"])
    assert runner.get("/v1/predictions").status == 404
    assert runner.predict(ROWS, path="/a/b/v1/predictions").rows()[0]["prediction"] == "yes"
    log = runner.log()
    assert runner.stop() == 0
    assert "WARNING" not in log
    assert "ERROR" not in log
