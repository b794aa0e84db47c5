"""Finding what the user named: by id or by exact name."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError, ExitCode, near_matches

_ID = re.compile(r"[0-9a-f]{24}")
_NEAR = 1000


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of resource that has names: where it is listed, and how its list is searched."""

    noun: str
    path: str
    search: str
    name: str = "name"
    id: str = "id"
    page: int = 1000
    command: str = ""
    """The command that lists it, for hints."""
    by_part: bool = False
    """Whether a part of its name will do where only one has it: built-in environments have long names."""
    only: tuple[str, str] | None = None
    """What the list is asked for, where it has other kinds as well."""

    def listed(self, api: Api, limit: int | None = None, **query: Any) -> Iterator[Json]:
        """The entries of its list."""
        return api.pages(self.path, page=self.page, limit=limit, **(dict([self.only]) if self.only else {}), **query)


ENVIRONMENT = Kind("environment", "/executionEnvironments/", "searchFor", command="env list", by_part=True)
DATASET = Kind("dataset", "/datasets/", "searchFor", id="datasetId", command="dataset list")
CREDENTIAL = Kind("credential", "/credentials/", "search", id="credentialId", command="credential list")
REPOSITORY = Kind("repository", "/remoteRepositories/", "searchFor", command="repository list")
MODEL = Kind("model", "/customModels/", "searchFor", command="model list", only=("customModelType", "inference"))
TASK = Kind("task", "/customTasks/", "searchFor", command="task list")
PROJECT = Kind("project", "/projects/", "searchFor", name="projectName", command="project list")
JOB = Kind("job", "/customJobs/", "search", command="job list")
REGISTERED_MODEL = Kind("registered model", "/registeredModels/", "search", command="registry list")
DEPLOYMENT = Kind("deployment", "/deployments/", "search", name="label", page=100, command="deployment list")
PACKAGE = Kind("model package", "/modelPackages/", "search", command="registry show NAME")
TEMPLATE = Kind("template", "/customTemplates/", "search", page=100, command="template list")
USER = Kind("user", "/users/", "search", name="username", command="admin user list")
GROUP = Kind("group", "/groups/", "search", command="admin group list")
ORGANIZATION = Kind("organization", "/organizations/", "", command="admin org list")
PREDICTION_ENVIRONMENT = Kind("prediction environment", "/predictionEnvironments/", "search")


def looks_like_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def find(api: Api, kind: Kind, text: str) -> Json:
    """The resource with this id or exact name; ``CommandError`` where there is none, or more than one."""
    found = find_if_any(api, kind, text)
    if found is None:
        raise _not_found(api, kind, text)
    return found


def find_if_any(api: Api, kind: Kind, text: str) -> Json | None:
    """The resource with this id or exact name, or None; ``CommandError`` where several have the name."""
    if looks_like_id(text):
        try:
            return api.get(f"{kind.path}{text}/")
        except CommandError as error:
            if error.code != ExitCode.NOT_FOUND:
                raise
    query: Json = {kind.search: text} if kind.search else {}
    listed = list(kind.listed(api, **query))
    same = [entry for entry in listed if entry[kind.name] == text]
    if not same and kind.by_part:
        same = [entry for entry in listed if text.lower() in str(entry[kind.name]).lower()]
    return only_one(kind, text, same)


def only_one(kind: Kind, text: str, found: Sequence[Json]) -> Json | None:
    """The one entry that was found, or None; ``CommandError`` with their ids where there are several."""
    if len(found) > 1:
        named = "\n".join(f"  {entry[kind.id]}  {entry[kind.name]}" for entry in found)
        raise CommandError(
            f"{text!r} is the name of {len(found)} {kind.noun}s:\n{named}",
            hint="name the one you mean by its id",
            code=ExitCode.USAGE,
        )
    return found[0] if found else None


def _not_found(api: Api, kind: Kind, text: str) -> CommandError:
    names = [str(entry[kind.name]) for entry in kind.listed(api, limit=_NEAR)]
    near = " or ".join(map(repr, near_matches(text, names)))
    listing = f"modelyard {kind.command} shows what there is" if kind.command else None
    hint = f"did you mean {near}?" if near else listing
    return CommandError(f"there is no {kind.noun} with the id or name {text!r}", hint=hint, code=ExitCode.NOT_FOUND)


def find_version(api: Api, kind: Kind, found: Json, text: str | None) -> Json:
    """A version of a model or task by its id or label; None is the latest."""
    if text is None:
        if found["latestVersion"] is None:
            raise CommandError(
                f"{kind.noun} {found['name']!r} has no version yet",
                hint=f"modelyard {kind.noun} push DIR --{kind.noun} {found['id']}",
                code=ExitCode.NOT_FOUND,
            )
        latest: Json = found["latestVersion"]
        return latest
    labels = []
    for version in api.pages(f"{kind.path}{found['id']}/versions/"):
        if text in {version["id"], version["label"]}:
            return version
        labels.append(version["label"])
    raise CommandError(
        f"{kind.noun} {found['name']!r} has no version {text!r}",
        hint=f"it has {', '.join(labels[:10])}" if labels else "it has none yet",
        code=ExitCode.NOT_FOUND,
    )
