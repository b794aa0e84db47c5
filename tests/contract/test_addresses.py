"""Every field of a request that is documented as an address takes addresses of the web and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from modelyard.app import endpoints
from modelyard.kernel.openapi import document
from modelyard.kernel.wire import WebUrl
from tests.api_client import CONTRACT_DIR

CONTRACT = Path(CONTRACT_DIR) / "openapi.json"
NOT_THE_WEB = [
    "javascript:alert(1)",
    "data:text/html,x",
    "//example.org/",
    "https://a b/",
    "https://x/\x1b",
    "x" * 3000,
]


def uris_of_requests(described: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema of each field of a request that has the format ``uri``, and where it is."""
    for path, item in described["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict):
                for part in ("requestBody", "parameters"):
                    yield from _uris(operation.get(part), described, f"{method} {path}", frozenset())


def _uris(
    node: Any, described: dict[str, Any], where: str, seen: frozenset[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, list):
        for one in node:
            yield from _uris(one, described, where, seen)
    if not isinstance(node, dict):
        return
    if node.get("format") == "uri":
        yield where, node
    name = str(node.get("$ref", "")).rpartition("/")[2]
    if name and name not in seen:
        yield from _uris(described["components"]["schemas"][name], described, where, seen | {name})
    for key, value in node.items():
        yield from _uris(value, described, f"{where} {key}", seen)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(json.dumps(document(endpoints())))
    return read


def test_addresses_have_the_one_type_that_checks_them(described: dict[str, Any]) -> None:
    checked = msgspec.json.schema(WebUrl)
    found = list(uris_of_requests(described))
    assert len(found) > 3
    wrong = [where for where, schema in found if schema.get("pattern") != checked["pattern"]]
    assert not wrong, "use WebUrl there"


@pytest.mark.skipif(not CONTRACT.exists(), reason=f"the contract is not here: {CONTRACT_DIR}")
def test_what_the_contract_calls_an_address_is_one_here(described: dict[str, Any]) -> None:
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    theirs = {where.rpartition(" ")[2] for where, _ in uris_of_requests(contract)}
    ours = {where.rpartition(" ")[2] for where, _ in uris_of_requests(described)}
    assert theirs <= ours


@pytest.mark.parametrize("text", NOT_THE_WEB)
def test_the_type_refuses_what_is_not_of_the_web(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, WebUrl)
