"""Builders of environments and of the archives that make their versions."""

import io
import tarfile
import zipfile
from typing import Any

import httpx

from modelyard.environments.tables import Environment
from tests.api_client import Api
from tests.conftest import Installation

START = b"#!/bin/sh\nexec true\n"


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz", kind: bytes = tarfile.REGTYPE) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.type = len(content), kind
            info.linkname = "/etc/passwd" if kind == tarfile.SYMTYPE else ""
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def an_environment(api: Api, name: str = "Orchard", **fields: Any) -> dict[str, Any]:
    answer = api.post("/executionEnvironments/", json={"name": name, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def push(api: Api, environment_id: str, archive: bytes, name: str = "context.zip", **fields: str) -> httpx.Response:
    """Sends a context as a new version."""
    path = f"/executionEnvironments/{environment_id}/versions/"
    return api.post(path, files={"docker_context": (name, archive, "application/octet-stream")}, data=fields)


def push_requirements(api: Api, environment_id: str, text: str) -> dict[str, Any]:
    """A new version of just a requirements.txt."""
    answer = push(api, environment_id, zipped({"requirements.txt": text.encode()}))
    assert answer.status_code == 202, answer.text
    return {**answer.json(), "location": answer.headers["Location"]}


def path_of(version: dict[str, Any], below: str = "") -> str:
    return f"/executionEnvironments/{version['environmentId']}/versions/{version['id']}/{below}"


def ask_for(installation: Installation, environment_id: str, *names: str) -> None:
    """Has an environment ask for values of these names, also a built-in one, which nobody may change."""
    with installation.application.database.write() as session:
        keys = [{"fieldName": name, "displayName": f"the {name.lower()}"} for name in names]
        session.get_one(Environment, environment_id).required_metadata_keys = keys
