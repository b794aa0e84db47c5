"""The OpenAPI document: what it says of every operation, and that it says what the contract says."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import fields

from modelyard.app import endpoints
from modelyard.kernel.openapi import REF, _collect, document
from tests.api_client import CONTRACT_DIR, Api, load_contract_module

NOT_BUILT_YET = (
    "/customApplicationSources/",
    "/customApplications/",
    "/customModels/predictionExplanationsInitialization/",
    "/customModels/{customModelId}/trainingData/",
    "/customModels/{customModelId}/versions/withTrainingData/",
    "/customModels/{customModelId}/versions/{customModelVersionId}/conversions/",
    "/customModels/{customModelId}/versions/{customModelVersionId}/featureImpact/",
    "/customModels/{customModelId}/versions/{customModelVersionId}/predictionExplanationsInitialization/",
    "/mlops/portablePredictionServerImage/",
)
"""Beginnings of paths below ``/api/v2`` whose operations come with later issues."""

ON_PURPOSE = {
    ("POST /api/v2/customModelTests/", "enum", "request body .configuration.errorCheck"): (
        "every check takes fail, warn and skip, since one known client sends all seven with each of them"
    ),
    ("POST /api/v2/customModelTests/", "enum", "request body .configuration.longRunningService"): "as errorCheck",
    ("PATCH /api/v2/customModels/{customModelId}/accessControl/", "type", "request body .data[].role"): (
        "NO_ROLE takes a role away, as the text of the operation says and its enumeration does not"
    ),
    ("PATCH /api/v2/customTasks/{customTaskId}/accessControl/", "type", "request body .data[].role"): "as of models",
    **{
        (operation, "enum", f"{where}defaultResourceBundleId"): (
            "an installation may have resource bundles of its own, so their ids are no closed list"
        )
        for operation, where in (
            ("GET /api/v2/customTemplates/", "response 200 .data[]."),
            ("POST /api/v2/customTemplates/", "request body ."),
            ("GET /api/v2/customTemplates/{customTemplateId}/", "response 200 ."),
            ("PATCH /api/v2/customTemplates/{customTemplateId}/", "request body ."),
            ("PATCH /api/v2/customTemplates/{customTemplateId}/", "response 200 ."),
        )
    },
}
"""Deviations that were decided, and why. One that is gone fails the test too, so that the list stays true."""

NOT_YET = ("latestVersion.trainingData", "latestVersion.holdoutData", ".trainingData", ".holdoutData")
"""Optional properties of answers that come with the operations that assign training data."""

checker = load_contract_module("check")
needs_contract = pytest.mark.skipif(checker is None, reason=f"the contract is not here: {CONTRACT_DIR}")


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    """The document, as a client reads it."""
    read: dict[str, Any] = json.loads(json.dumps(document(endpoints())))
    return read


def is_expected(path: str) -> bool:
    below = path.removeprefix("/api/v2")
    return not any(below.startswith(prefix) for prefix in NOT_BUILT_YET)


def compared(described: dict[str, Any]) -> list[dict[str, Any]]:
    assert checker is not None
    contract = json.loads(Path(checker.CONTRACT).read_text(encoding="utf-8"))
    operations: list[dict[str, Any]] = checker.Compare(contract, described, request_null=True).run()["operations"]
    return operations


@needs_contract
def test_operations_say_what_the_contract_says(described: dict[str, Any]) -> None:
    left = dict(ON_PURPOSE)
    problems = []
    for operation in compared(described):
        name = f"{operation['method']} {operation['path']}"
        if not operation["present"]:
            continue
        for deviation in operation["deviations"]:
            key = (name, deviation["kind"], deviation["where"])
            optional_later = deviation["kind"] == "missing-property" and key[2].endswith(NOT_YET)
            if left.pop(key, None) is None and not optional_later:
                problems.append(f"{name}: {deviation}")
    assert not problems, "\n".join(problems)
    assert not left, f"these deviations are no more; take them off the list: {list(left)}"


@needs_contract
def test_operations_are_there(described: dict[str, Any]) -> None:
    listed = compared(described)
    missing = {f"{one['method']} {one['path']}" for one in listed if not one["present"] and is_expected(one["path"])}
    assert not missing
    built = {f"{one['method']} {one['path']}" for one in listed if one["present"] and not is_expected(one["path"])}
    assert not built, f"these are built; take them off the list: {built}"


def test_every_reference_leads_to_a_schema_and_every_schema_is_used(described: dict[str, Any]) -> None:
    text = json.dumps(described)
    referred = set(re.findall(rf'"{re.escape(REF)}([^"]+)"', text))
    assert referred == set(described["components"]["schemas"])


def test_what_a_request_must_have_is_what_the_document_requires() -> None:
    """A type that answers use, too, has fields that are always there: a request may then not leave them out."""
    wrong, checked = [], 0
    for endpoint in endpoints():
        described = document([endpoint])["components"]["schemas"]
        known: dict[Any, None] = {}
        for type_ in (endpoint.parameters.get("body"), endpoint.form_type):
            if type_ is not None:
                _collect(msgspec.inspect.type_info(type_), known)
        for part in known:
            schema = described.get(part.__name__)
            if schema is not None:
                checked += 1
                required = {info.encode_name for info in fields(part) if info.required}
                if required != set(schema.get("required", ())):
                    wrong.append((endpoint.name, part.__name__, required, schema.get("required")))
    assert checked > 80
    assert not wrong


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names)) == len(endpoints())
    assert all(re.fullmatch(r"[a-z][A-Za-z]+", name) for name in names)


def test_every_operation_has_a_summary_and_a_tag(described: dict[str, Any]) -> None:
    for path, item in described["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], f"{method} {path}"
            assert operation["tags"] != [""], f"{method} {path}"


def test_parameters_of_a_list(described: dict[str, Any]) -> None:
    parameters = {one["name"]: one for one in described["paths"]["/api/v2/users/"]["get"]["parameters"]}
    assert parameters["limit"] == {
        "name": "limit",
        "in": "query",
        "required": False,
        "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    }
    assert parameters["isActive"]["schema"] == {"type": "boolean"}
    documented = {one["name"]: one for one in described["paths"]["/api/v2/customModels/"]["get"]["parameters"]}
    assert documented["offset"]["required"] is True


def test_a_form_has_its_files(described: dict[str, Any]) -> None:
    path = "/api/v2/customModels/{customModelId}/versions/"
    content = described["paths"][path]["post"]["requestBody"]["content"]
    assert set(content) == {"multipart/form-data", "application/json"}
    form = content["multipart/form-data"]["schema"]
    assert form["properties"]["file"] == {"type": "string", "format": "binary"}
    assert form["required"] == ["isMajorUpdate"]
    archive = described["paths"]["/api/v2/executionEnvironments/{environmentId}/versions/"]["post"]["requestBody"]
    assert "docker_context" in archive["content"]["multipart/form-data"]["schema"]["properties"]


def test_answers_and_their_headers(described: dict[str, Any]) -> None:
    answers = described["paths"]["/api/v2/customModelTests/"]["post"]["responses"]
    assert "Location" in answers["202"]["headers"]
    assert answers["422"]["content"]["application/json"]["schema"] == {"$ref": f"{REF}ErrorResponse"}
    assert "401" in answers
    accepted = described["paths"]["/api/v2/deployments/{deploymentId}/model/"]["patch"]["responses"]["202"]
    assert accepted["content"]["application/json"]["schema"] == {"$ref": f"{REF}AcceptedResponse"}
    file = described["paths"]["/api/v2/customModels/{customModelId}/download/"]["get"]["responses"]["200"]
    assert "Content-Disposition" in file["headers"]
    assert "content" not in described["paths"]["/api/v2/users/{userId}/"]["patch"]["responses"].get("204", {})


def test_times_and_fields_that_may_be_absent(described: dict[str, Any]) -> None:
    schemas = described["components"]["schemas"]
    assert schemas["UserResponse"]["properties"]["createdAt"]["format"] == "date-time"
    assert schemas["ApiTokenCreate"]["properties"]["expiresAt"]["anyOf"][0]["format"] == "date-time"
    assert schemas["ErrorResponse"]["required"] == ["message"]
    assert set(schemas["UserListResponse"]["required"]) == {"count", "next", "previous", "totalCount", "data"}


def test_the_document_is_served_to_everybody(api: Api, described: dict[str, Any]) -> None:
    answer = api.as_(None).get("/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == described
    assert described["openapi"].startswith("3.1")
    open_to_all = [path for path, item in described["paths"].items() for one in item.values() if not one["security"]]
    assert sorted(open_to_all) == ["/api/v2/health/", "/api/v2/ping"]
