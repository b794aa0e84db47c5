"""Registering a version of a model: making its package, or finding the one that it has."""

from modelyard.cli.client import Api, Json
from modelyard.cli.following import wait_for
from modelyard.cli.lookup import REGISTERED_MODEL, find_if_any


def package_of(api: Api, model: Json, version: Json, name: str | None = None) -> tuple[Json, bool]:
    """The package of a version, and whether it is new; registered under ``name``, else under the model's name.

    Waits for the package's image, and raises ``CommandError`` where that cannot be built.
    """
    registered = find_if_any(api, REGISTERED_MODEL, name or model["name"])
    for package in api.pages("/modelPackages/", modelId=version["id"]):
        if name is None or (registered and package["registeredModelId"] == registered["id"]):
            return package, False
    target = {"registeredModelId": registered["id"]} if registered else {"registeredModelName": name or model["name"]}
    body = {"customModelVersionId": version["id"]} | target
    package, location = api.start("POST", "/modelPackages/fromCustomModelVersion/", body)
    wait_for(api, location, f"Registering version {version['label']} of {model['name']}")
    return api.get(f"/modelPackages/{package['id']}/"), True
