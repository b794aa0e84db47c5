"""What a job is set to: options of ``job create``, ``push`` and ``update``, and values for its parameters."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.lookup import CREDENTIAL, DEPLOYMENT, PACKAGE, find

NAMED = {"credential": CREDENTIAL, "deployment": DEPLOYMENT, "modelPackage": PACKAGE}
"""Types of parameters whose values are ids of things with names."""


ALL = "all"


class Network(StrEnum):
    NONE = "none"
    PUBLIC = "public"


class EventType(StrEnum):
    DEPLOYMENT_CREATED = "deploymentCreated"
    DEPLOYMENT_REPLACED = "deploymentReplaced"
    DEPLOYMENT_ERRORED = "deploymentErrored"
    DEPLOYMENT_HEALTH_CHANGED = "deploymentHealthChanged"
    RUN_FAILED = "runFailed"
    ALL = "all"


Job = Annotated[str, typer.Argument(help="The job's id or name.", show_default=False)]
Env = Annotated[str | None, typer.Option("--env", "-e", help="Environment that it runs in (id or name).")]
Bundle = Annotated[str | None, typer.Option("--bundle", help="Resource bundle: how much CPU and memory a run has.")]
Egress = Annotated[
    Network | None,
    typer.Option("--network", help="none: Modelyard's API and nothing else; public: the Internet too."),
]
Timeout = Annotated[
    int | None, typer.Option("--timeout", min=0, help="Seconds that a run may take; 0 is the installation's limit.")
]
Retries = Annotated[
    int | None, typer.Option("--retries", min=0, max=10, help="How often a run that failed begins again.")
]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", metavar="NAME=VALUE", help="A runtime parameter; repeat it.")
]

On = Annotated[
    list[EventType] | None,
    typer.Option(
        "--on",
        metavar="EVENT",
        case_sensitive=False,
        help=f"What starts the notification job: {', '.join(EventType)}; repeat it.",
    ),
]
OnDeployment = Annotated[
    list[str] | None,
    typer.Option(
        "--on-deployment",
        metavar="DEPLOYMENT",
        help="Only what happens to this deployment (id or label), or all; repeat it.",
    ),
]


def subscription_body(
    api: Api, events: list[EventType] | None, deployments: list[str] | None, job: Json | None = None
) -> Json:
    """What a notification job listens to, where anything was given; what was not stays as it is in ``job``.

    No list stands for all.
    """
    if events is None and deployments is None:
        return {}
    wanted: Json = {"eventTypes": None, "deploymentIds": None} | ((job or {}).get("subscription") or {})
    if events is not None:
        wanted["eventTypes"] = None if EventType.ALL in events else [each.value for each in events]
    if deployments is not None:
        ids = [] if ALL in deployments else [find(api, DEPLOYMENT, each)["id"] for each in deployments]
        wanted["deploymentIds"] = ids or None
    return {"subscription": wanted}


def settings_body(
    network: Network | None, bundle: str | None, timeout: int | None, retries: int | None, job: Json | None = None
) -> Json:
    """The fields of what was given; what is set in ``job`` already stays beside it."""
    body: Json = {}
    if network is not None or bundle is not None:
        before: Json = job["resources"] if job else {"egressNetworkPolicy": "none", "resourceBundleId": None}
        body["resources"] = {
            "egressNetworkPolicy": network.value if network else before["egressNetworkPolicy"],
            "resourceBundleId": bundle if bundle is not None else before["resourceBundleId"],
        }
    if timeout is not None:
        body["timeoutSeconds"] = timeout or None
    if retries is not None:
        body["maxRetries"] = retries
    return body


def typed_values(api: Api, job: Json, options: Iterable[str]) -> list[Json]:
    """``NAME=VALUE`` lines as values of the job's parameters, each of the type that its definition says.

    A credential, a deployment or a package may be given by its name. Bounds are the server's to check.
    """
    types = {each["fieldName"]: each["type"] for each in job["runtimeParameters"]}
    values = []
    for option in options:
        name, equals, text = option.partition("=")
        if not equals:
            raise CommandError(f"--param {option}: write it as NAME=VALUE", code=ExitCode.USAGE)
        _require_known(job, name, types)
        values.append({"fieldName": name, "type": types[name], "value": _typed(api, types[name], name, text)})
    return values


def cleared_values(job: Json, names: Iterable[str]) -> list[Json]:
    """Values that make parameters fall back to their defaults."""
    types = {each["fieldName"]: each["type"] for each in job["runtimeParameters"]}
    for name in names:
        _require_known(job, name, types)
    return [{"fieldName": name, "type": types[name], "value": None} for name in names]


def _require_known(job: Json, name: str, types: dict[str, str]) -> None:
    if name in types:
        return
    near = near_matches(name, types)
    known = f"it has {', '.join(types)}" if types else "runtimeParameterDefinitions in metadata.yaml define them"
    hint = f"did you mean {' or '.join(near)}?" if near else known
    raise CommandError(f"{job['name']} has no parameter {name!r}", hint=hint, code=ExitCode.USAGE)


def _typed(api: Api, type_: str, name: str, text: str) -> Any:
    if type_ == "boolean":
        if text.lower() in {"true", "false"}:
            return text.lower() == "true"
        raise CommandError(f"{name} is true or false, not {text!r}", code=ExitCode.USAGE)
    if type_ == "numeric":
        return _number(name, text)
    kind = NAMED.get(type_)
    return find(api, kind, text)[kind.id] if kind and text else text


def _number(name: str, text: str) -> int | float:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    raise CommandError(f"{name} is a number, not {text!r}", code=ExitCode.USAGE)
