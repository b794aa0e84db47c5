"""The templates that ship: installed once, changed with the release, everybody's to read and nobody's to change."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from modelyard.compute.bundles import find_bundle
from modelyard.environments.builtin import definition_folders
from modelyard.identity.tables import AuditEvent
from modelyard.storage.blobs import BlobStore
from modelyard.templates.gallery import ShippedTemplate, install_gallery, load_gallery
from modelyard.workspaces.metadata_file import read_metadata
from modelyard.workspaces.runtime_parameters import read_definitions
from tests.conftest import Installation

SHIPPED = load_gallery()


def install(installation: Installation, templates: list[ShippedTemplate]) -> None:
    application = installation.application
    with application.database.write() as session:
        install_gallery(session, application.parts.get(BlobStore), templates)  # type: ignore[type-abstract]


def changes_so_far(installation: Installation) -> int:
    with installation.application.database.read() as session:
        return len(session.scalars(select(AuditEvent).where(AuditEvent.resource_kind == "customTemplate")).all())


def hello() -> ShippedTemplate:
    return next(one for one in SHIPPED if one.key == "hello")


@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda shipped: shipped.key)
def test_every_definition_is_sound(installation: Installation, shipped: ShippedTemplate) -> None:
    definition = shipped.definition
    assert definition.environment in {folder.name for folder in definition_folders()}
    assert definition.resource_bundle_id is None or find_bundle(
        installation.application.settings, definition.resource_bundle_id
    )
    assert shipped.metadata.readme, "a README.md among the files says what the template is for"
    assert definition.category
    assert definition.tags
    if "metadata.yaml" in shipped.files:
        assert read_definitions(read_metadata(shipped.files["metadata.yaml"], "metadata.yaml"), "metadata.yaml")
    if definition.template_type == "customJob":
        assert {"main.py", "run.sh"} & shipped.files.keys()


def test_all_of_the_gallery_is_there_for_everybody(installation: Installation) -> None:
    eve = installation.a_user("eve", organization="another")
    listed = {one["id"]: one for one in eve.get("/customTemplates/?publisher=Modelyard").json()["data"]}
    assert listed.keys() == {shipped.id for shipped in SHIPPED}
    found = listed[hello().id]
    assert found["name"] == "[Modelyard] Hello"
    assert found["templateMetadata"]["tags"] == ["example", "python"]
    assert found["templateMetadata"]["readme"].startswith("# Hello")
    environment = eve.get(f"/executionEnvironments/{found['defaultEnvironment']['environmentId']}/").json()
    assert environment["isBuiltIn"] is True
    path = f"/customTemplates/{hello().id}/"
    texts = {
        item["name"]: eve.get(f"{path}files/{item['id']}/").json()["content"].encode()
        for item in eve.get(path).json()["items"]
    }
    assert texts == hello().files
    for api in (eve, installation.api):
        refused = [api.patch(path, json={"name": "x"}), api.delete(path)]
        assert [answer.status_code for answer in refused] == [403, 403]


def test_installing_again_changes_nothing(installation: Installation) -> None:
    before, changes = installation.api.get("/customTemplates/").json(), changes_so_far(installation)
    install(installation, SHIPPED)
    assert installation.api.get("/customTemplates/").json() == before
    assert changes_so_far(installation) == changes


def test_a_release_changes_adds_and_removes(installation: Installation) -> None:
    api = installation.api
    before = api.get(f"/customTemplates/{hello().id}/").json()
    changed = replace(hello(), files={"main.py": b"print('new')\n"})
    install(installation, [changed, replace(hello(), key="another")])
    after = api.get(f"/customTemplates/{hello().id}/").json()
    assert (after["id"], after["templateMetadata"]["readme"]) == (before["id"], None)
    assert [item["name"] for item in after["items"]] == ["main.py"]
    assert api.get("/customTemplates/?search=hello").json()["totalCount"] == 2
    install(installation, [])
    assert api.get(f"/customTemplates/{hello().id}/").status_code == 404
    assert api.get("/customTemplates/").json()["totalCount"] == 0


@pytest.mark.parametrize(
    ("variables", "last"),
    [({}, "Hello, world!"), ({"NAME": "Ann", "TIMES": "2", "LOUD": "true"}, "HELLO, ANN!")],
)
def test_hello_prints_its_parameters(tmp_path: Path, variables: dict[str, str], last: str) -> None:
    (tmp_path / "main.py").write_bytes(hello().files["main.py"])
    kept = {name: os.environ[name] for name in ("PATH",)}
    told = subprocess.run(
        [sys.executable, tmp_path / "main.py"], env=kept | variables, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert told[:4] == [
        "GREETING=Hello",
        f"NAME={variables.get('NAME', 'world')}",
        f"TIMES={variables.get('TIMES', '1')}",
        f"LOUD={variables.get('LOUD', 'false')}",
    ]
    assert told[4:] == [last] * int(variables.get("TIMES", "1"))
