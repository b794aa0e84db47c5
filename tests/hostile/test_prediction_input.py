"""Requests for predictions that are wrong: each gets its 4xx with a reason, and the next good one is answered."""

import gzip
import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.examples.loading import EXAMPLES
from tests.examples.test_served import pushed_copy
from tests.hostile.conftest import Ward
from tests.journeys.story import SCIKIT_LEARN

pytestmark = pytest.mark.xdist_group("hostile_models")

MIB = 1024 * 1024
LIMIT = 50 * MIB
SAMPLE = (EXAMPLES / "churn_model" / "sample.csv").read_bytes()
ROW = {"age": 40, "household_size": 2}


@pytest.fixture(scope="module")
def churn(ward: Ward, tmp_path_factory: pytest.TempPathFactory) -> str:
    fields: dict[str, Any] = {"targetType": "Binary", "targetName": "churned", "name": "churn"}
    model = ward.a_model(**fields, positiveClassLabel="yes", negativeClassLabel="no")
    folder = pushed_copy("churn_model", tmp_path_factory.mktemp("churn"))
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    return ward.deploy(ward.a_package(ward.a_version(model["id"], files, SCIKIT_LEARN)), label="churn")


@pytest.fixture
def served(ward: Ward, churn: str) -> Iterator[str]:
    yield churn
    assert ward.predict(churn, SAMPLE).status_code == 200


def with_cells(**cells: str) -> bytes:
    """The sample's header and one row, with some cells replaced."""
    header, row = SAMPLE.decode().splitlines()[:2]
    values = dict(zip(header.split(","), row.split(","), strict=True)) | cells
    return f"{header}\n{','.join(values.values())}\n".encode()


BAD = {
    "missing columns": (b"age,household_size\n40,2\n", "text/csv", 422, "missing columns"),
    "missing columns in JSON": (json.dumps([ROW]).encode(), "application/json", 422, "missing columns"),
    "a wrong type": (with_cells(age="old"), "text/csv", 422, "old"),
    "nothing": (b"", "text/csv", 400, ""),
    "nothing as JSON": (b"", "application/json", 400, ""),
    "an empty list": (b"[]", "application/json", 422, "no rows"),
    "a header and no row": (SAMPLE.splitlines()[0] + b"\n", "text/csv", 422, "no rows"),
    "broken CSV": (b'a,b\n1,"2\n3,4', "text/csv", 400, ""),
    "CSV with too many cells": (b"a,b\n1,2,3\n", "text/csv", 400, ""),
    "bytes that are no text": (b"a,b\n\xff\xfe,\x80\n", "text/csv", 400, ""),
    "broken JSON": (b'[{"a": 1}', "application/json", 400, ""),
    "JSON that is no row": (b"[1, 2]", "application/json", 400, ""),
    "JSON that is a text": (b'"rows"', "application/json", 400, ""),
    "deep JSON": (b"[" * 100_000, "application/json", 400, ""),
    "a wrong content type": (SAMPLE, "image/png", 400, "image/png"),
    "a form without a file": (b"--x\r\n\r\n--x--\r\n", "multipart/form-data; boundary=x", 400, ""),
    "a form without a boundary": (b"data", "multipart/form-data", 400, ""),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_body_is_refused_with_the_reason(ward: Ward, served: str, kind: str) -> None:
    content, content_type, status, words = BAD[kind]
    answer = ward.predict(served, content, content_type)
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    assert words in answer.json()["message"]
    assert answer.json()["message"]


@pytest.mark.parametrize(
    ("params", "status", "words"),
    [
        ([("passthroughColumns", "nonsense")], 422, "nonsense"),
        ([("passthroughColumns", "age"), ("passthroughColumnsSet", "all")], 400, "passthroughColumns"),
        ([("passthroughColumnsSet", "some")], 400, "passthroughColumnsSet"),
        ([("decimalsNumber", "many")], 400, "decimalsNumber"),
        ([("decimalsNumber", "-1")], 400, "decimalsNumber"),
        ([("predictionWarningEnabled", "perhaps")], 400, "predictionWarningEnabled"),
    ],
)
def test_a_bad_argument_is_refused(
    ward: Ward, served: str, params: list[tuple[str, str]], status: int, words: str
) -> None:
    answer = ward.predict(served, SAMPLE, params=params)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["message"]


def test_gzip_is_read_and_checked(ward: Ward, served: str) -> None:
    headers = {"Content-Encoding": "gzip"}
    packed = gzip.compress(SAMPLE)
    assert ward.predict(served, packed, headers=headers).json() == ward.predict(served, SAMPLE).json()
    for broken in (b"no gzip at all", packed[:-20], packed[:100] + bytes(50) + packed[150:]):
        answer = ward.predict(served, broken, headers=headers)
        assert answer.status_code == 400, answer.text
        assert "gzip" in answer.json()["message"].lower()
    bomb = gzip.compress(b"a,b\n" + bytes(300 * MIB), 9)
    answer = ward.predict(served, bomb, headers=headers)
    assert answer.status_code == 413, answer.text
    answer = ward.predict(served, SAMPLE, headers={"Content-Encoding": "rot13"})
    assert answer.status_code == 400
    assert "rot13" in answer.json()["message"]


def test_fifty_megabytes_are_the_limit(ward: Ward, served: str) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(LIMIT // MIB + 1):
            yield bytes(MIB)

    for content in (bytes(LIMIT + 1), chunks()):
        answer = ward.gateway.post(
            f"/api/v2/deployments/{served}/predictions", content=content, headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 413, answer.text
        assert str(LIMIT) in answer.json()["message"]
    through_api = ward.api.post(
        f"/deployments/{served}/predictions", content=bytes(LIMIT + 1), headers={"Content-Type": "text/csv"}
    )
    assert through_api.status_code == 413


def test_who_may_not_ask_is_told_nothing(ward: Ward, served: str) -> None:
    path = f"/api/v2/deployments/{served}/predictions"
    nobody = httpx.post(ward.server.gateway_url + path, content=SAMPLE)
    assert nobody.status_code == 401
    assert nobody.headers["www-authenticate"] == "Bearer"
    wrong = httpx.post(ward.server.gateway_url + path, content=SAMPLE, headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401
    for deployment_id in ("0" * 24, "nonsense", "..%2f..%2fetc", "%00", "a" * 5000):
        gone = ward.predict(deployment_id, SAMPLE)
        assert gone.status_code == 404, gone.text


def test_structured_and_unstructured_do_not_mix(ward: Ward, served: str) -> None:
    answer = ward.ask(served, SAMPLE, "text/csv")
    assert answer.status_code == 422
    assert "/predictions" in answer.json()["message"]
    answer = ward.predict(ward.neighbour_id, SAMPLE)
    assert answer.status_code == 422
    answer = ward.gateway.post(f"/api/v2/deployments/{ward.neighbour_id}/predictionsUnstructured?a=1", content=b"x")
    assert answer.status_code == 400
    assert "query" in answer.json()["message"]
    assert ward.gateway.get(f"/api/v2/deployments/{served}/predictions").status_code == 405


RAW = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    "a negative length": b"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST {path} HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a broken chunk": b"POST {path} HTTP/1.1\r\nHost: x\r\n{auth}Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "endless headers": b"POST {path} HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 200_000 + b"\r\n\r\n",
    "a half": b"POST {path} HTTP/1.1\r\nHost: x\r\n{auth}Content-Length: 1000\r\n\r\nhalf",
    "an upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
}


@pytest.mark.parametrize("kind", RAW)
def test_what_is_no_http_ends_only_its_own_connection(ward: Ward, served: str, kind: str) -> None:
    path = f"/api/v2/deployments/{served}/predictions".encode()
    authorization = f"Authorization: Bearer {ward.api.token}\r\n".encode()
    request = RAW[kind].replace(b"{path}", path).replace(b"{auth}", authorization)
    with socket.create_connection(("127.0.0.1", ward.server.gateway_port), 10) as connection:
        connection.sendall(request)
        if kind == "a half":
            return  # goes away in the middle of its request
        answer = connection.recv(65536)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
