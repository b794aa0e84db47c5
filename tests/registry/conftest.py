"""Custom models to package, without anything being built."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api_client import Api
from tests.conftest import Installation
from tests.models.builders import a_model, a_version


@pytest.fixture
def package(installation: Installation) -> Callable[..., dict[str, Any]]:
    """Packages a version (of a new model where none is named), and has nothing built."""

    def make(api: Api = installation.api, version: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
        version = version or a_version(api, a_model(api)["id"], {"custom.py": b""})
        made = api.post(
            "/modelPackages/fromCustomModelVersion/", json={"customModelVersionId": version["id"], **fields}
        )
        assert made.status_code == 201, made.text
        return dict(made.json()) | {"location": made.headers["Location"]}

    return make
