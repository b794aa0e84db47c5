"""``modelyard deploy``: from a model to an address that answers."""

import json
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.deployments import Importance
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import CREDENTIAL, MODEL, PREDICTION_ENVIRONMENT, find, find_version
from modelyard.cli.packages import package_of
from modelyard.cli.prediction_routes import curl_line, prediction_url
from modelyard.cli.screen import note, print_json


def deploy(
    model: Annotated[str, typer.Argument(help="The custom model's id or name.", show_default=False)],
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="What the deployment is called; else as the model.")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="A version's id or label; else the latest.")] = None,
    env: Annotated[
        str | None, typer.Option("--env", "-e", help="Prediction environment (id or name); else this installation.")
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, max=8, help="How many run; another number makes a new version of the model.")
    ] = None,
    credential: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PARAMETER=CREDENTIAL",
            help="A credential (id or name) for a runtime parameter; may be repeated.",
            show_default=False,
        ),
    ] = None,
    importance: Annotated[Importance | None, typer.Option(case_sensitive=False, help="How much depends on it.")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it answers.")] = True,
    as_json: AsJson = False,
) -> None:
    """Deploy a version of a model and wait until it answers; it is registered first where it is not."""
    api = connect()
    found = find(api, MODEL, model)
    chosen = find_version(api, MODEL, found, version)
    where = find(api, PREDICTION_ENVIRONMENT, env) if env else None
    if replicas is not None and replicas != (chosen["replicas"] or 1):
        chosen = _with_replicas(api, found, replicas)
    values = [_credential_value(api, text) for text in credential or ()]
    package, _ = package_of(api, found, chosen)
    body: dict[str, Any] = {"modelPackageId": package["id"], "label": label or found["name"]}
    if values:
        body["runtimeParameterValues"] = json.dumps(values)
    if where:
        body["predictionEnvironmentId"] = where["id"]
    if importance:
        body["importance"] = importance.value
    launch(api, "/deployments/fromModelPackage/", body, wait=wait, as_json=as_json)


def launch(api: Api, path: str, body: Json, *, wait: bool, as_json: bool) -> None:
    """Asks for a deployment, waits until it answers, and says where."""
    made, location = api.start("POST", path, body)
    if warning := api.get("/health/")["warning"]:
        note(f"Warning: {warning}")
    if wait:
        wait_for(api, location, f"Deploying {body['label']}")
    deployment = api.get(f"/deployments/{made['id']}/")
    url = prediction_url(deployment)
    if as_json:
        print_json(deployment | {"predictionUrl": url})
        return
    title = f"{deployment['label']} ({made['id']})"
    if deployment["status"] == "inactive":
        print(f"{title} is inactive: modelyard deployment start {made['id']}")
        return
    state = "is active" if wait else f"is {deployment['status']}: modelyard deployment show {made['id']}"
    print(f"{title} {state}.")
    print(f"Predictions: {url}")
    print(f"Try it:      {curl_line(deployment)}")


def _credential_value(api: Api, text: str) -> Json:
    parameter, _, name = text.partition("=")
    if not parameter or not name:
        raise CommandError(f"--credential takes PARAMETER=CREDENTIAL, not {text!r}", code=ExitCode.USAGE)
    credential = find(api, CREDENTIAL, name)
    return {"fieldName": parameter, "type": "credential", "value": credential["credentialId"]}


def _with_replicas(api: Api, model: Json, replicas: int) -> Json:
    """A new version of a model, the same but for its replicas."""
    return api.patch(f"/customModels/{model['id']}/versions/", {"isMajorUpdate": "false", "replicas": replicas})
