"""Uploads that are refused, the files that speak about a version, and downloads."""

import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from modelyard.models.tables import CustomModelVersion
from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import (
    NOBODY,
    a_model,
    a_next_version,
    a_version,
    an_environment_id,
    item_ids,
    patch_version,
    paths_of,
    post_version,
)


@pytest.fixture
def model_id(api: Api) -> str:
    return str(a_model(api)["id"])


HOSTILE_PATHS = [
    "/etc/passwd",
    "../x",
    "a/../b",
    "a\\b",
    "C:/x",
    "n" * 256,
    "a//b",
    "a/",
    ".",
    "a/./b",
    "",
    "a\x00b",
    "a\nb",
]


def test_a_hostile_path_is_refused(installation: Installation, model_id: str) -> None:
    for path in HOSTILE_PATHS:
        refused = post_version(installation.api, model_id, {"good.py": b"1", path: b"2"})
        assert refused.status_code in {400, 422}, path
        _nothing_was_left(installation)


@pytest.mark.parametrize(("files", "paths"), [(2, 1), (1, 2), (0, 1)])
def test_each_file_needs_its_path(installation: Installation, model_id: str, files: int, paths: int) -> None:
    api = installation.api
    refused = api.post(
        f"/customModels/{model_id}/versions/",
        files=[
            ("isMajorUpdate", (None, b"true")),
            ("baseEnvironmentId", (None, an_environment_id(api).encode())),
            *[("filePath", (None, b"p%d" % number)) for number in range(paths)],
            *[("file", ("f", b"x")) for _ in range(files)],
        ],
    )
    assert refused.status_code == 422
    assert set(refused.json()["errors"]) == {"file", "filePath"}
    _nothing_was_left(installation)


def test_without_any_path_a_file_has_the_name_of_its_upload(api: Api, model_id: str) -> None:
    fields = {"isMajorUpdate": "true", "baseEnvironmentId": an_environment_id(api)}
    files = [("file", (name, b"x")) for name in ("custom.py", "lib/text.py", "/home/ann/model.bin")]
    made = api.post(f"/customModels/{model_id}/versions/", data=fields, files=files)
    assert made.status_code == 201, made.text
    assert paths_of(made.json()) == ["custom.py", "lib/text.py", "model.bin"]


def test_paths_without_files_are_refused_in_json_too(api: Api, model_id: str) -> None:
    body = {"isMajorUpdate": "true", "baseEnvironmentId": an_environment_id(api), "filePath": ["custom.py"]}
    for path, sent in ((f"/customModels/{model_id}/versions/", body), ("/customJobs/", {"name": "n", "filePath": "a"})):
        refused = api.post(path, json=sent)
        assert (refused.status_code, list(refused.json()["errors"])) == (422, ["filePath"]), path


def test_a_path_given_twice_or_both_file_and_folder_is_refused(installation: Installation, model_id: str) -> None:
    api = installation.api
    for paths in ((b"a", b"a"), (b"a", b"a/b")):
        sent: list[tuple[str, Any]] = [("filePath", (None, path)) for path in paths]
        refused = api.patch(
            f"/customModels/{model_id}/versions/", files=[*sent, ("file", ("f", b"1")), ("file", ("g", b"2"))]
        )
        assert set(refused.json()["errors"]) == {"filePath"}
    _nothing_was_left(installation)


def test_over_a_thousand_files_are_refused(installation: Installation, model_id: str) -> None:
    many = {f"f{number}": b"" for number in range(1001)}
    assert post_version(installation.api, model_id, many).status_code == 422
    _nothing_was_left(installation)


def test_deleting_what_is_not_there_is_refused(api: Api, model_id: str) -> None:
    assert set(patch_version(api, model_id, filesToDelete=NOBODY).json()["errors"]) == {"filesToDelete"}
    a_version(api, model_id, {"a": b"1"})
    gone = item_ids(a_version(api, model_id, {"a": b"2"}))["a"]
    a_next_version(api, model_id, filesToDelete=gone)
    for wrong in (gone, NOBODY, "[", '["x"'):
        assert set(patch_version(api, model_id, filesToDelete=wrong).json()["errors"]) == {"filesToDelete"}, wrong


def test_a_body_that_breaks_off_leaves_nothing(installation: Installation, model_id: str) -> None:
    content = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nhalf'
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    refused = installation.api.patch(f"/customModels/{model_id}/versions/", content=content, headers=headers)
    assert refused.status_code == 400
    _nothing_was_left(installation)


def test_requirements_become_dependencies(api: Api, model_id: str) -> None:
    text = b"# needs\npandas >= 2.0, < 3  # frames\n\nscikit-learn[extra]~=1.5\n--extra-index-url https://example.org/simple\n"
    version = a_version(api, model_id, {"requirements.txt": text, "sub/requirements.txt": b"!!"})
    assert version["dependencies"] == [
        {
            "packageName": "pandas",
            "constraints": [
                {"constraintType": ">=", "version": "2.0"},
                {"constraintType": "<", "version": "3"},
            ],
            "extras": "",
            "line": "pandas >= 2.0, < 3  # frames",
            "lineNumber": 2,
        },
        {
            "packageName": "scikit-learn",
            "constraints": [],
            "extras": "extra",
            "line": "scikit-learn[extra]~=1.5",
            "lineNumber": 4,
        },
    ]
    assert a_next_version(api, model_id, {"a": b""})["dependencies"] == version["dependencies"]
    assert a_next_version(api, model_id, filesToDelete=item_ids(version)["requirements.txt"])["dependencies"] == []


def test_a_broken_requirements_file_names_its_lines(installation: Installation, model_id: str) -> None:
    refused = post_version(
        installation.api, model_id, {"requirements.txt": b"pandas\nnumpy==\n\\\n\n-r other.txt\nscipy<2\n"}
    )
    assert refused.status_code == 422
    body = refused.json()
    assert [line["lineNumber"] for line in body["invalidDependencies"]] == [2, 5]
    assert body["invalidDependencies"][0]["line"] == "numpy=="
    assert [dependency["packageName"] for dependency in body["dependencies"]] == ["pandas", "scipy"]
    assert "line 2" in body["message"]
    assert set(body["errors"]) == {"file"}
    _nothing_was_left(installation)


def test_requirements_that_are_no_text_are_refused(api: Api, model_id: str) -> None:
    for content in (b"\xff\xfe\x00", b"n\xe4me", b"a" * (1024 * 1024 + 1)):
        refused = post_version(api, model_id, {"requirements.txt": content})
        assert refused.status_code == 422
        assert "requirements.txt" in refused.json()["message"]


MALFORMED = [
    (b"name: x\ntype: [inference\n", "line 3, column 1"),
    (b"name: x\n  bad: y\n", "line 2, column 6"),
    (b"name: 'x\n", "line 2, column 1"),
    (b"a: *nowhere\n", "line 1, column 4"),
    (b"- a\n- b\n", "line 1, column 1"),
    (b"name: \xff\n", "line 1, column 7"),
    (b"name: x\nother: \x07\n", "line 2, column 8"),
    (b"a: !!python/object/apply:os.system ['true']\n", "line 1, column 4"),
]


def test_malformed_metadata_names_line_and_column(installation: Installation, model_id: str) -> None:
    for text, place in MALFORMED:
        refused = post_version(installation.api, model_id, {"model-metadata.yaml": text})
        assert refused.status_code == 422, text
        assert f"model-metadata.yaml, {place}" in refused.json()["message"], text
    _nothing_was_left(installation)


def test_metadata_that_unfolds_or_nests_without_end_is_refused(api: Api, model_id: str) -> None:
    bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 20)
    )
    many = b"a: [" + b"x," * 10_000 + b"]"
    for text in (bomb.encode(), many, b"[" * 20_000, b"a: &a [*a]\n", b"x: " + b"y" * 70_000, b"n: " + b"9" * 5_000):
        refused = post_version(api, model_id, {"model-metadata.yaml": text})
        assert refused.status_code == 422, text[:20]
        assert "model-metadata.yaml" in refused.json()["message"]


def test_an_empty_or_plain_metadata_file_is_fine(api: Api, model_id: str) -> None:
    for text in (b"", b"# nothing\n", b"name: x\nshared: &s {a: 1}\nused: {<<: *s}\n"):
        assert a_version(api, model_id, {"model-metadata.yaml": text})["runtimeParameters"] == []


def test_downloads_hold_the_files_as_they_were_sent(api: Api, model_id: str) -> None:
    files = {"custom.py": b"print()", "lib/data.bin": bytes(range(256)) * 100, "start_server.sh": b"#!/bin/sh\n"}
    version = a_version(api, model_id, files)
    a_next_version(api, model_id, {"custom.py": b"changed"})
    first = api.get(f"/customModels/{model_id}/versions/{version['id']}/download/")
    name = f"model-{model_id}-version-{version['id']}.zip"
    assert name in first.headers["Content-Disposition"]
    assert first.headers["Content-Disposition"].startswith("attachment")
    assert _unzipped(first) == files
    latest = api.get(f"/customModels/{model_id}/download/?pps=false")
    assert _unzipped(latest) == {**files, "custom.py": b"changed"}


def test_pps_adds_a_script_that_installs_the_dependencies(api: Api, model_id: str, tmp_path: Path) -> None:
    a_version(api, model_id, {"requirements.txt": b"pandas\n"})
    answer = api.get(f"/customModels/{model_id}/download/?pps=True")
    assert set(_unzipped(answer)) == {"requirements.txt", "install_dependencies.sh"}
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.getinfo("install_dependencies.sh").external_attr >> 16 & 0o111
        archive.extractall(tmp_path)
    script = tmp_path / "install_dependencies.sh"
    ran = subprocess.run(
        ["sh", str(script), "--dry-run"],
        env={"PYTHON": "echo", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert ran.stdout.split() == [b"-m", b"pip", b"install", b"--requirement", b"requirements.txt", b"--dry-run"]
    (tmp_path / "requirements.txt").unlink()
    assert b"nothing to install" in subprocess.run(["sh", str(script)], capture_output=True, check=True).stdout


def test_pps_leaves_a_script_of_the_model_alone(api: Api, model_id: str) -> None:
    version = a_version(api, model_id, {"install_dependencies.sh": b"mine"})
    answer = api.get(f"/customModels/{model_id}/versions/{version['id']}/download/?pps=true")
    assert _unzipped(answer) == {"install_dependencies.sh": b"mine"}


def test_there_is_nothing_to_download_before_there_is_a_version(api: Api, model_id: str) -> None:
    assert api.get(f"/customModels/{model_id}/download/").status_code == 404
    assert api.get(f"/customModels/{model_id}/download/?pps=maybe").status_code == 422
    a_next_version(api, model_id)
    assert _unzipped(api.get(f"/customModels/{model_id}/download/")) == {}


def test_the_same_content_is_stored_once(installation: Installation, model_id: str) -> None:
    version = a_version(installation.api, model_id, {"a": b"same", "b": b"same"})
    assert len({item["storagePath"] for item in version["items"]}) == 1
    assert paths_of(version) == ["a", "b"]


def _unzipped(answer: httpx.Response) -> dict[str, bytes]:
    assert answer.status_code == 200
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _nothing_was_left(installation: Installation) -> None:
    with installation.application.database.read() as session:
        assert session.scalar(select(func.count()).select_from(CustomModelVersion)) == 0
    assert installation.stored() == (0, 0)
