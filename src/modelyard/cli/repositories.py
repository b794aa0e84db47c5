"""``modelyard repository``: places to pull files from; and ``modelyard model pull``."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson, Yes, confirm, group, name_argument
from modelyard.cli.lookup import CREDENTIAL, ENVIRONMENT, REPOSITORY, Kind, find
from modelyard.cli.screen import Column, done, plural, print_details, print_list, show_time

app = group("Remote repositories: Git servers and S3 buckets to pull files from.")

Repository = Annotated[str, typer.Argument(help="The repository's id or name.", show_default=False)]
Credential = Annotated[str | None, typer.Option(help="The credential that opens it, by id or name.")]
SourceType = Annotated[str | None, typer.Option("--type", help="git, github, gitlab-cloud, bitbucket-server, s3, …")]
HOSTS = {"github.com": "github", "gitlab.com": "gitlab-cloud", "bitbucket.org": "bitbucket-cloud"}


@app.command("list")
def list_repositories(
    search: Annotated[str | None, typer.Option(help="Only those whose name or location holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the repositories that you may see, newest first."""
    columns: list[Column] = [("id", "id"), ("name", "name"), ("type", "sourceType"), ("location", "location")]
    found = connect().pages(REPOSITORY.path, limit=limit, searchFor=search)
    nothing = "There is no repository. Name one: modelyard repository create NAME LOCATION"
    print_list(found, columns, as_json=as_json, nothing=nothing)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    location: Annotated[str, typer.Argument(help="Its URL, USER@HOST:PATH, or a bucket.", show_default=False)],
    type_: SourceType = None,
    credential: Credential = None,
    description: Annotated[str | None, typer.Option(help="What is in it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Name a place that files can be pulled from. The type follows from the location where it is a well-known one."""
    api = connect()
    body: Json = {"name": name, "location": location, "sourceType": type_ or _type_of(location)}
    made = api.post(REPOSITORY.path, body | _optional(api, credential, description))
    done(f"Made the repository {name} ({made['id']}).", made, as_json=as_json)


@app.command()
def show(repository: Repository, as_json: AsJson = False) -> None:
    """Show a repository."""
    rows: list[Column] = [
        ("Repository", "name"),
        ("Id", "id"),
        ("Type", "sourceType"),
        ("Location", "location"),
        ("Credential", "credentialId"),
        ("Description", "description"),
        ("Created", lambda one: show_time(one["created"])),
    ]
    print_details(find(connect(), REPOSITORY, repository), rows, as_json=as_json)


@app.command()
def update(
    repository: Repository,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    location: Annotated[str | None, typer.Option(help="Another location.")] = None,
    type_: SourceType = None,
    credential: Credential = None,
    no_credential: Annotated[bool, typer.Option("--no-credential", help="Pull without a login.")] = False,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a repository."""
    api = connect()
    sent = {"name": name, "location": location, "sourceType": type_}
    body = _optional(api, credential, description)
    body |= {key: value for key, value in sent.items() if value is not None}
    if no_credential:
        body["credentialId"] = None
    if not body:
        raise CommandError("there is nothing to change", hint="name a --location, for example", code=ExitCode.USAGE)
    found = find(api, REPOSITORY, repository)
    changed = api.patch(f"{REPOSITORY.path}{found['id']}/", body)
    done(f"Changed the repository {changed['name']}.", changed, as_json=as_json)


@app.command()
def delete(repository: Repository, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a repository here; nothing happens to it where it is, and what was pulled stays."""
    api = connect()
    found = find(api, REPOSITORY, repository)
    confirm(f"Delete the repository {found['name']}?", yes=yes)
    api.delete(f"{REPOSITORY.path}{found['id']}/")
    done(f"Deleted the repository {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


def pull_command(kind: Kind) -> Callable[..., None]:
    """The command that makes a version of files from a remote repository."""

    def pull(
        name: Annotated[str, name_argument(kind.noun)],
        repository: Annotated[
            str, typer.Option("--repository", help="The repository's id or name.", show_default=False)
        ],
        ref: Annotated[str | None, typer.Option(help="A branch, a tag or a commit; else the default branch.")] = None,
        path: Annotated[
            list[str] | None,
            typer.Option("--path", help="A file, or a folder whose content is wanted; repeat it. Else everything."),
        ] = None,
        env: Annotated[
            str | None, typer.Option("--env", help="The environment; else that of the latest version.")
        ] = None,
        keep: Annotated[bool, typer.Option("--keep", help="Keep the other files of the latest version.")] = False,
        major: Annotated[bool, typer.Option("--major", help="Make it a major version.")] = False,
        wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the version is made.")] = True,
        as_json: AsJson = False,
    ) -> None:
        """Make a version of files from a remote repository."""
        api = connect()
        found, source = find(api, kind, name), find(api, REPOSITORY, repository)
        body: dict[str, Any] = {"repositoryId": source["id"], "isMajorUpdate": major}
        body |= {"ref": ref} if ref else {}
        body |= {"sourcePath": path} if path else {}
        body |= {"baseEnvironmentId": find(api, ENVIRONMENT, env)["id"]} if env else {}
        method = "PATCH" if keep else "POST"
        address = f"{kind.path}{found['id']}/versions/fromRepository/"
        location = api.request(method, address, json=body).headers["Location"]
        status_id = location.rstrip("/").rpartition("/")[2]
        if not wait:
            text = f"Pulling; see how it goes: modelyard status {status_id} --wait"
            done(text, {"statusId": status_id}, as_json=as_json)
            return
        version = api.get(str(wait_for(api, location, f"Pulling {source['name']}")))
        text = f"Pulled version {version['label']} of {found['name']} ({plural(len(version['items']), 'file')})."
        done(text, version, as_json=as_json)

    return pull


def _type_of(location: str) -> str:
    if location.startswith("s3://") or ("/" not in location and ":" not in location):
        return "s3"
    known = [type_ for host, type_ in HOSTS.items() if f"//{host}/" in location or f"@{host}:" in location]
    return known[0] if known else "git"


def _optional(api: Api, credential: str | None, description: str | None) -> Json:
    sent: Json = {} if description is None else {"description": description}
    if credential is not None:
        sent["credentialId"] = find(api, CREDENTIAL, credential)["credentialId"]
    return sent
