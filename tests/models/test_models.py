"""Custom models: make, read, change, list, delete."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, func, select

from modelyard.identity.tables import AuditEvent, Grant
from modelyard.kernel.ids import new_id
from modelyard.models import usage
from modelyard.models.serving import load_servable, service_spec
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.usage import UserKind
from modelyard.workspaces.tables import File, Tree, Workspace
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import GIT, NOBODY, a_model, a_next_version, a_version, model_fields


def test_a_created_model_is_read_as_it_was_sent(api: Api) -> None:
    sent = {
        "description": "Who leaves",
        "language": "Python",
        "positiveClassLabel": "yes",
        "negativeClassLabel": "no",
        "predictionThreshold": 0.4,
        "userProvidedId": "team/churn",
        "gitModelVersion": GIT,
        "isUnstructuredModelKind": False,
        "isProxyModel": True,
        "tags": [{"name": "team", "value": "growth"}],
        "isTrainingDataForVersionsPermanentlyEnabled": True,
        "desiredMemory": 134217728,
        "maximumMemory": 268435456,
        "replicas": 2,
        "requiresHa": True,
        "networkEgressPolicy": "DR_API_ACCESS",
        "playgroundId": NOBODY,
        "externalMlopsStatsConfig": {"trainingDatasetId": NOBODY, "holdoutDatasetId": None},
    }
    model = a_model(api, **sent)
    for field, value in sent.items():
        assert model[field] == value, field
    assert model["latestVersion"] is None
    assert model["deploymentsCount"] == 0
    assert model["createdBy"] == "admin"
    assert (model["supportsBinaryClassification"], model["supportsRegression"]) == (True, False)
    assert api.get(f"/customModels/{model['id']}/").json() == model


def test_a_binary_model_gets_the_documented_defaults(api: Api) -> None:
    model = a_model(api)
    assert (model["positiveClassLabel"], model["negativeClassLabel"]) == ("1", "0")
    assert model["predictionThreshold"] == 0.5
    assert (model["description"], model["language"]) == ("", "")
    assert "classLabels" not in model


@pytest.mark.parametrize("target_type", ["Anomaly", "Transform", "Unstructured"])
def test_a_model_without_a_target_needs_no_target_name(api: Api, target_type: str) -> None:
    model = a_model(api, targetType=target_type, targetName=...)
    assert "targetName" not in model
    assert model["supportsAnomalyDetection"] == (target_type == "Anomaly")


def test_older_clients_name_the_target_by_what_the_model_supports(api: Api) -> None:
    assert a_model(api, targetType=..., supportsRegression=True)["targetType"] == "Regression"
    assert a_model(api, targetType=..., supportsBinaryClassification=True)["targetType"] == "Binary"


def test_creating_writes_a_grant_and_an_audit_row(installation: Installation) -> None:
    model = a_model(installation.api)
    with installation.application.database.read() as session:
        grant = session.scalars(select(Grant).where(Grant.resource_id == model["id"])).one()
        audit = session.scalars(select(AuditEvent).where(AuditEvent.resource_id == model["id"])).one()
    assert (grant.role, grant.resource_kind) == ("OWNER", "customModel")
    assert (audit.action, audit.user_id) == ("create", grant.subject_id)


def test_an_update_changes_what_was_sent_and_nothing_else(api: Api) -> None:
    model = a_model(api, description="old", maximumMemory=268435456)
    changed = api.patch(f"/customModels/{model['id']}/", json={"description": "new", "maximumMemory": None})
    assert changed.status_code == 201
    expected = {**model, "description": "new", "maximumMemory": None, "updated": changed.json()["updated"]}
    assert changed.json() == expected
    assert changed.json()["updated"] > model["updated"]


def test_null_labels_become_the_defaults_again(api: Api) -> None:
    model = a_model(api, positiveClassLabel="yes", negativeClassLabel="no")
    nulls = {"positiveClassLabel": None, "negativeClassLabel": None}
    changed = api.patch(f"/customModels/{model['id']}/", json=nulls).json()
    assert (changed["positiveClassLabel"], changed["negativeClassLabel"]) == ("1", "0")


def test_an_installation_may_answer_200_to_an_update(an_installation: Callable[..., Installation]) -> None:
    api = an_installation(compat_patch_status=True).api
    model = a_model(api)
    path = f"/api/v2/customModels/{model['id']}/"
    headers = {"Authorization": f"Bearer {api.token}"}
    changed = api.client.request("PATCH", path, headers=headers, json={"name": "Renamed"})  # not in the contract
    assert (changed.status_code, changed.json()["name"]) == (200, "Renamed")


def test_the_switch_to_training_data_of_versions_has_no_way_back(api: Api) -> None:
    model = a_model(api, isTrainingDataForVersionsPermanentlyEnabled=True)
    field = "isTrainingDataForVersionsPermanentlyEnabled"
    refused = api.patch(f"/customModels/{model['id']}/", json={field: False})
    assert refused.status_code == 422
    assert field in refused.json()["errors"]


def test_a_user_provided_id_is_unique(api: Api, installation: Installation) -> None:
    a_model(api, userProvidedId="team/churn")
    again = api.post("/customModels/", json=model_fields(userProvidedId="team/churn"))
    assert again.status_code == 422
    assert "Cannot create a custom model with a user provided ID" in again.json()["message"]
    elsewhere = installation.a_user("ann", organization="another")
    assert a_model(elsewhere, userProvidedId="team/churn")["userProvidedId"] == "team/churn"


def test_the_list_is_newest_first_and_pages(api: Api) -> None:
    ids = [a_model(api, name=f"model {number}")["id"] for number in range(5)]
    first = api.get("/customModels/?limit=2").json()
    assert [model["id"] for model in first["data"]] == [ids[4], ids[3]]
    assert (first["count"], first["totalCount"], first["previous"]) == (2, 5, None)
    second = api.get(first["next"]).json()
    assert [model["id"] for model in second["data"]] == [ids[2], ids[1]]
    assert api.get(second["next"]).json()["next"] is None
    oldest = api.get("/customModels/?orderBy=created&offset=1&limit=2").json()
    assert [model["id"] for model in oldest["data"]] == ids[1:3]


def test_the_list_orders_by_change(api: Api) -> None:
    ids = [a_model(api)["id"] for _ in range(3)]
    api.patch(f"/customModels/{ids[0]}/", json={"description": "changed"})
    assert [model["id"] for model in _list(api, orderBy="-updated")] == [ids[0], ids[2], ids[1]]
    assert [model["id"] for model in _list(api, orderBy="updated")] == [ids[1], ids[2], ids[0]]


def test_the_search_looks_in_name_description_and_language_whatever_the_case(api: Api) -> None:
    a_model(api, name="Übergang", description="leaves 100%_sure", language="Python")
    a_model(api, name="other", description="stays", language="R")
    for text in ("übergang", "LEAVES", "pyth", "100%_"):
        assert [model["name"] for model in _list(api, searchFor=text)] == ["Übergang"], text
    assert _list(api, searchFor="100_") == []
    assert _list(api, searchFor="nowhere") == []


def test_the_list_filters_by_type_and_deployment(installation: Installation) -> None:
    api = installation.api
    deployed, idle = a_model(api)["id"], a_model(api)["id"]
    task = a_model(api, customModelType="training", targetName=...)["id"]
    _deploy(installation, a_version(api, deployed)["id"])
    assert [model["id"] for model in _list(api, isDeployed="True")] == [deployed]
    assert [model["id"] for model in _list(api, isDeployed="false")] == [task, idle]
    assert [model["id"] for model in _list(api, customModelType="training")] == [task]
    assert _list(api, isDeployed="true")[0]["deploymentsCount"] == 1


@pytest.mark.parametrize("query", ["limit=1001", "limit=0", "offset=-1", "orderBy=name", "isDeployed=yes"])
def test_a_wrong_list_parameter_is_refused(api: Api, query: str) -> None:
    refused = api.get(f"/customModels/?{query}")
    assert refused.status_code == 422
    assert query.partition("=")[0] in refused.json()["errors"]


def test_a_page_costs_the_same_number_of_queries_for_any_number_of_models(installation: Installation) -> None:
    api = installation.api

    def queries_of_a_list() -> int:
        seen: list[str] = []
        engine = installation.application.database.engine
        listener = lambda *arguments: seen.append(arguments[2])  # noqa: E731 # removed by identity below
        event.listen(engine, "before_cursor_execute", listener)
        api.get("/customModels/")
        event.remove(engine, "before_cursor_execute", listener)
        return len(seen)

    a_version(api, a_model(api)["id"], {"custom.py": b"1"})
    one = queries_of_a_list()
    for number in range(6):
        a_version(api, a_model(api)["id"], {"custom.py": b"%d" % number, "a/b.py": b""})
    assert queries_of_a_list() == one


def test_a_list_of_many_orders_by_change_through_the_index(
    api: Api, monkeypatch: pytest.MonkeyPatch, installation: Installation
) -> None:
    monkeypatch.setattr("modelyard.models.listing.MANY", 2)
    ids = [a_model(api)["id"] for _ in range(4)]
    stranger = a_model(installation.a_user("ann"))["id"]
    api.patch(f"/customModels/{ids[1]}/", json={"name": "changed"})
    listed = [model["id"] for model in _list(api, orderBy="-updated")]
    assert listed == [ids[1], ids[3], ids[2], ids[0]]
    assert stranger not in listed


def test_strangers_see_nothing(installation: Installation) -> None:
    model = a_model(installation.api)
    version = a_version(installation.api, model["id"], {"custom.py": b"secret"})
    for stranger in (installation.a_user("ann"), installation.a_user("eve", organization="another")):
        base = f"/customModels/{model['id']}/"
        assert _list(stranger) == []
        for path in ("", "accessControl/", "download/", "versions/", f"versions/{version['id']}/"):
            assert stranger.get(base + path).status_code == 404, path
        assert stranger.get(f"{base}versions/{version['id']}/download/").status_code == 404
        assert stranger.patch(base, json={"name": "x"}).status_code == 404
        assert stranger.patch(f"{base}accessControl/", json={"data": []}).status_code == 404
        assert stranger.patch(f"{base}versions/", json={}).status_code == 404
        assert stranger.post(f"{base}versions/", json={"isMajorUpdate": "true"}).status_code == 404
        assert stranger.patch(f"{base}versions/{version['id']}/", json={}).status_code == 404
        assert stranger.delete(base).status_code == 404
        assert stranger.post("/customModels/fromCustomModel/", json={"customModelId": model["id"]}).status_code == 404


def test_nobody_does_anything_without_a_token(api: Api) -> None:
    model = a_model(api)
    for path in ("/customModels/", f"/customModels/{model['id']}/", "/customModelLimits/"):
        assert api.as_(None).get(path).status_code == 401


@pytest.mark.parametrize("model_id", [NOBODY, "nonsense", "%00", "..%2f..%2fetc"])
def test_an_unknown_model_is_404(api: Api, model_id: str) -> None:
    assert api.get(f"/customModels/{model_id}/").status_code == 404


def test_deleting_leaves_no_rows(installation: Installation) -> None:
    api = installation.api
    model = a_model(api, userProvidedId="team/churn")
    a_version(api, model["id"], {"custom.py": b"1"})
    a_next_version(api, model["id"], {"custom.py": b"2"})
    a_version(api, model["id"], {"custom.py": b"3"})
    environments = _row_counts(installation, Workspace, Tree, File)
    assert api.delete(f"/customModels/{model['id']}/").status_code == 204
    assert api.get(f"/customModels/{model['id']}/").status_code == 404
    assert _row_counts(installation, CustomModel, CustomModelVersion) == [0, 0]
    assert [
        was - now for was, now in zip(environments, _row_counts(installation, Workspace, Tree, File), strict=True)
    ] == [
        3,
        2,
        3,
    ]
    with installation.application.database.read() as session:
        assert session.scalar(select(func.count()).where(Grant.resource_id == model["id"])) == 0
        actions = session.scalars(select(AuditEvent.action).where(AuditEvent.resource_id == model["id"])).all()
    assert actions[-1] == "delete"
    a_model(api, userProvidedId="team/churn")


def test_what_is_deployed_or_tested_is_not_deleted(installation: Installation) -> None:
    api = installation.api
    model = a_model(api)
    version = a_version(api, model["id"], {"custom.py": b"1"})
    deployment = _deploy(installation, version["id"])
    refused = api.delete(f"/customModels/{model['id']}/")
    assert refused.status_code == 409
    assert "existing deployments" in refused.json()["message"]
    assert refused.json()["deploymentIds"] == [deployment]
    assert refused.json()["link"].endswith(f"/api/v2/customModelDeployments/?customModelIds={model['id']}")
    with installation.application.database.write() as session:
        usage.remove(session, UserKind.DEPLOYMENT, deployment)
        usage.add(session, version["id"], UserKind.TEST, NOBODY)
    assert "tested" in api.delete(f"/customModels/{model['id']}/").json()["message"]
    with installation.application.database.write() as session:
        usage.remove(session, UserKind.TEST, NOBODY)
    assert api.delete(f"/customModels/{model['id']}/").status_code == 204


def test_the_target_of_a_deployed_model_is_fixed(installation: Installation) -> None:
    api = installation.api
    model = a_model(api)
    _deploy(installation, a_version(api, model["id"])["id"])
    path = f"/customModels/{model['id']}/"
    for change in ({"targetName": "other"}, {"positiveClassLabel": "yes", "negativeClassLabel": "no"}):
        refused = api.patch(path, json=change)
        assert refused.status_code == 409
        assert set(refused.json()["errors"]) == set(change)
    unchanged = {"targetName": "churned", "positiveClassLabel": "1", "negativeClassLabel": "0", "name": "new name"}
    assert api.patch(path, json=unchanged).json()["name"] == "new name"


def test_a_model_under_test_is_not_changed(installation: Installation) -> None:
    api = installation.api
    model = a_model(api)
    version = a_version(api, model["id"])
    with installation.application.database.write() as session:
        usage.add(session, version["id"], UserKind.TEST, NOBODY)
    assert api.patch(f"/customModels/{model['id']}/", json={"name": "x"}).status_code == 409


def test_versions_in_packages_outlive_their_model(installation: Installation) -> None:
    api = installation.api
    model = a_model(api, userProvidedId="team/churn")
    held = a_version(api, model["id"], {"custom.py": b"1"})
    a_next_version(api, model["id"], {"custom.py": b"2"})
    package = new_id()
    with installation.application.database.write() as session:
        usage.add(session, held["id"], UserKind.MODEL_PACKAGE, package)
    assert api.delete(f"/customModels/{model['id']}/").status_code == 204
    assert api.get(f"/customModels/{model['id']}/").status_code == 404
    assert _list(api) == []
    with installation.application.database.read() as session:
        assert session.scalars(select(CustomModelVersion.id)).all() == [held["id"]]
    with installation.application.database.write() as session:
        usage.remove(session, UserKind.MODEL_PACKAGE, package)
    assert _row_counts(installation, CustomModel, CustomModelVersion) == [0, 0]


def test_a_copy_has_the_metadata_versions_and_files_of_its_source(installation: Installation) -> None:
    api = installation.api
    source = a_model(api, userProvidedId="team/churn", description="original", tags=[{"name": "a", "value": "b"}])
    first = a_version(api, source["id"], {"custom.py": b"1", "kept.py": b"k"})
    second = a_next_version(api, source["id"], {"custom.py": b"2"}, filesToDelete=first["items"][1]["id"])
    made = api.post("/customModels/fromCustomModel/", json={"customModelId": source["id"]})
    assert made.status_code == 201
    copy = made.json()
    assert copy["id"] != source["id"]
    assert "userProvidedId" not in copy
    own = {"id", "userProvidedId", "created", "updated", "latestVersion"}
    assert {k: v for k, v in copy.items() if k not in own} == {k: v for k, v in source.items() if k not in own}
    versions = api.get(f"/customModels/{copy['id']}/versions/").json()["data"]
    assert [version["label"] for version in versions] == ["1.1", "1.0"]
    for copied, original in zip(versions, [second, first], strict=True):
        assert [(i["filePath"], i["storagePath"]) for i in copied["items"]] == [
            (i["filePath"], i["storagePath"]) for i in original["items"]
        ]
        assert not {i["id"] for i in copied["items"]} & {i["id"] for i in original["items"]}
    api.delete(f"/customModels/{source['id']}/")
    assert api.get(f"/customModels/{copy['id']}/").json()["latestVersion"]["items"] == versions[0]["items"]
    assert a_next_version(api, copy["id"], {"new.py": b""})["label"] == "1.2"


def test_the_limits_come_from_the_settings(an_installation: Callable[..., Installation]) -> None:
    limited = an_installation(
        max_model_memory_bytes=268435456, default_model_memory_bytes=134217728, max_model_replicas=3
    )
    api = limited.api
    assert api.get("/customModelLimits/").json() == {
        "desiredCustomModelContainerSize": 134217728,
        "maxCustomModelContainerSize": 268435456,
        "maxCustomModelReplicasPerDeployment": 3,
        "maxCustomModelTestingParallelUsers": 20,
    }
    refused = api.post("/customModels/", json=model_fields(maximumMemory=536870912, replicas=4))
    assert set(refused.json()["errors"]) == {"maximumMemory", "replicas"}


def test_the_default_is_never_over_the_maximum(an_installation: Callable[..., Installation]) -> None:
    installation = an_installation(max_model_memory_bytes=268435456, default_model_memory_bytes=2**31)
    limits = installation.api.get("/customModelLimits/").json()
    assert (limits["desiredCustomModelContainerSize"], limits["maxCustomModelContainerSize"]) == (2**28, 2**28)
    version = a_version(installation.api, a_model(installation.api)["id"], {"custom.py": b""})
    with installation.application.database.read() as session:
        servable = load_servable(session, version["id"])
    spec = service_spec(installation.application.settings, servable, "d", parameters=[], acts_for="u")
    assert spec.memory_bytes == 2**28, "of a model that says nothing"


def _list(api: Api, **query: str) -> list[dict[str, Any]]:
    answer = api.get("/customModels/", params=query)
    assert answer.status_code == 200
    assert answer.json()["totalCount"] == len(answer.json()["data"])
    return list(answer.json()["data"])


def _deploy(installation: Installation, version_id: str) -> str:
    deployment_id = new_id()
    with installation.application.database.write() as session:
        usage.add(session, version_id, UserKind.DEPLOYMENT, deployment_id)
    return deployment_id


def _row_counts(installation: Installation, *tables: Any) -> list[int]:
    with installation.application.database.read() as session:
        return [session.scalar(select(func.count()).select_from(table)) or 0 for table in tables]
