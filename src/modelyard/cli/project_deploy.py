"""``modelyard project deploy``: from a trained model to an address that answers."""

from typing import Annotated

import typer

from modelyard.cli.client import Json, connect
from modelyard.cli.deploy import launch
from modelyard.cli.deployments import Importance
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import PROJECT, find
from modelyard.cli.project_models import Model, Project, find_model


def deploy(
    project: Project,
    model: Model,
    label: Annotated[
        str | None, typer.Option("--label", "-l", help="What the deployment is called; else as the project.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Binary: from which probability on the class is positive.")
    ] = None,
    importance: Annotated[Importance | None, typer.Option(case_sensitive=False, help="How much depends on it.")] = None,
    inactive: Annotated[bool, typer.Option("--inactive", help="Make it, and start it later.")] = False,
    share: Annotated[
        bool, typer.Option("--share/--no-share", help="Give whoever has a role on the project the same on it.")
    ] = True,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it answers.")] = True,
    as_json: AsJson = False,
) -> None:
    """Deploy a model and wait until it answers.

    It becomes a custom model, and is registered.
    """
    api = connect()
    found = find(api, PROJECT, project)
    body: Json = {
        "modelId": find_model(api, found, model)["id"],
        "label": label or found["projectName"],
        "description": description,
        "grantInitialDeploymentRolesFromProject": share,
    }
    if threshold is not None:
        body["predictionThreshold"] = threshold
    if importance is not None:
        body["importance"] = importance.value
    if inactive:
        body["status"] = "inactive"
    launch(api, "/deployments/fromLearningModel/", body, wait=wait, as_json=as_json)
