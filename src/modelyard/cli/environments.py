"""``modelyard env``: what models run in."""

import tempfile
import zipfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.folders import files_of
from modelyard.cli.following import LogFollower, upload_bar, wait_for
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import ENVIRONMENT, find, find_if_any
from modelyard.cli.required_metadata import asked_keys
from modelyard.cli.screen import Column, done, print_details, print_json, print_list, show_time
from modelyard.cli.sharing import share_command
from modelyard.cli.uploads import SentFile

app = group("Execution environments: what models run in.")

Environment = Annotated[str, typer.Argument(help="The environment's id or name.", show_default=False)]
Version = Annotated[str | None, typer.Option("--version", help="A version's id or label; else the latest.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")]
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


class Language(StrEnum):
    PYTHON = "python"
    R = "r"
    JAVA = "java"
    JULIA = "julia"
    OTHER = "other"


@app.command("list")
def list_environments(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the environments: the built-in ones, and those you may see."""
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("version", "latestVersion.label"),
        ("build", "latestVersion.buildStatus"),
        ("built in", "isBuiltIn"),
        ("description", "description"),
    ]
    found = connect().pages(ENVIRONMENT.path, limit=limit, searchFor=search)
    print_list(found, columns, as_json=as_json, nothing="There is none. Make one: modelyard env push DIR")


@app.command()
def show(environment: Environment, as_json: AsJson = False) -> None:
    """Show an environment and its latest version."""
    rows: list[Column] = [
        ("Environment", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Language", "programmingLanguage"),
        ("For", "useCases"),
        ("Asks for", lambda one: [key["fieldName"] for key in one["requiredMetadataKeys"]]),
        ("Public", "isPublic"),
        ("Created", lambda one: show_time(one["created"])),
        ("Version", "latestVersion.label"),
        ("Version id", "latestVersion.id"),
        ("Build", "latestVersion.buildStatus"),
        ("Packages", "latestVersion.libraries"),
    ]
    print_details(find(connect(), ENVIRONMENT, environment), rows, as_json=as_json)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    language: Annotated[Language, typer.Option(help="What it runs.")] = Language.PYTHON,
    ask: Annotated[
        list[str] | None,
        typer.Option("--ask", metavar="NAME[=TEXT]", help="A value that all on it must have; repeat it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make an environment without a version; push brings one."""
    body: Json = {"name": name, "description": description, "programmingLanguage": language.value}
    body["requiredMetadataKeys"] = asked_keys(ask or [])
    made = connect().post(ENVIRONMENT.path, body)
    done(f"Made the environment {made['name']} ({made['id']}).", made, as_json=as_json)


@app.command()
def push(
    context: Annotated[
        Path,
        typer.Argument(help="A folder with requirements.txt or start_server.sh, or an archive.", show_default=False),
    ],
    env: Annotated[
        str | None, typer.Option("--env", "-e", help="Environment to add a version to (id or name).")
    ] = None,
    label: Annotated[str | None, typer.Option(help="What the version is called.")] = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Push a folder as an environment's next version and build it.

    Without --env the environment has the folder's name, and is made where there is none.
    """
    api = connect()
    with tempfile.TemporaryDirectory() as scratch:
        archive = context if context.is_file() else _zipped(context, Path(scratch))
        if not archive.name.endswith(ARCHIVES):
            raise CommandError(
                f"{context} is no archive", hint=f"push a folder, or {', '.join(ARCHIVES)}", code=ExitCode.USAGE
            )
        found = find(api, ENVIRONMENT, env) if env else _named_as(api, context)
        with upload_bar("Sending the context", archive.stat().st_size) as advance, SentFile(archive, advance) as stream:
            fields = [("docker_context", (archive.name, stream, "application/octet-stream"))]
            form = {"label": label} if label else {}
            path = f"{ENVIRONMENT.path}{found['id']}/versions/"
            version, location = api.start("POST", path, files=fields, data=form, timeout=UPLOAD_TIMEOUT)
    title = f"version {version['label']} of {found['name']}"
    if not wait:
        done(f"Building {title} ({version['id']}): modelyard env log {found['id']}", version, as_json=as_json)
        return
    _follow(api, f"{path}{version['id']}/", location, title, quiet=as_json)
    done(f"Built {title} ({version['id']}).", api.get(f"{path}{version['id']}/"), as_json=as_json)


def _zipped(folder: Path, scratch: Path) -> Path:
    archive = scratch / f"{folder.resolve().name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for file in files_of(folder):
            target.write(file.source, file.path)
    return archive


def _named_as(api: Api, context: Path) -> Json:
    """The environment with the name of the folder or archive, made where there is none."""
    name = context.resolve().name.partition(".")[0]
    return find_if_any(api, ENVIRONMENT, name) or api.post(ENVIRONMENT.path, {"name": name})


def _follow(api: Api, path: str, location: str, title: str, *, quiet: bool) -> None:
    follower = LogFollower(lambda: api.get(f"{path}buildLog/")["log"], quiet=quiet)
    try:
        wait_for(api, location, f"Building {title}", follower.look)
    finally:
        follower.finish()


@app.command()
def prepare(environment: Environment, version: Version = None, wait: Wait = True, as_json: AsJson = False) -> None:
    """Build an environment now, not when it is first needed."""
    api = connect()
    found = find(api, ENVIRONMENT, environment)
    chosen = _version(api, found, version)
    path = f"{ENVIRONMENT.path}{found['id']}/versions/{chosen['id']}/"
    state, location = api.start("POST", f"{path}prepare/")
    title = f"version {chosen['label']} of {found['name']}"
    if wait and state["buildStatus"] != "success":
        _follow(api, path, location, title, quiet=as_json)
        state = {"statusId": state["statusId"], "buildStatus": "success"}
    if as_json:
        print_json(state)
    elif state["buildStatus"] == "success":
        print(f"{found['name']} is ready: {title} is built.")
    else:
        print(f"Building {title}: modelyard env log {found['id']}")


def _version(api: Api, environment: Json, text: str | None) -> Json:
    latest: Json | None = environment["latestVersion"]
    if text is None and latest is not None:
        return latest
    path = f"{ENVIRONMENT.path}{environment['id']}/versions/"
    for version in api.pages(path):
        if text in {version["id"], version["label"]}:
            return version
    what = f"has no version {text!r}" if text else "has no version yet"
    hint = f"push one: modelyard env push DIR --env {environment['id']}"
    raise CommandError(f"{environment['name']} {what}", hint=hint, code=ExitCode.NOT_FOUND)


@app.command()
def log(environment: Environment, version: Version = None, as_json: AsJson = False) -> None:
    """Print the build log of a version."""
    api = connect()
    found = find(api, ENVIRONMENT, environment)
    chosen = _version(api, found, version)
    answer = api.get(f"{ENVIRONMENT.path}{found['id']}/versions/{chosen['id']}/buildLog/")
    error = f"\nThe build failed: {answer['error']}" if answer["error"] else ""
    done(f"{answer['log'].rstrip()}{error}", answer, as_json=as_json)


@app.command()
def delete(environment: Environment, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete an environment. What was made on it goes on working."""
    api = connect()
    found = find(api, ENVIRONMENT, environment)
    confirm(f"Delete the environment {found['name']}?", yes=yes)
    api.delete(f"{ENVIRONMENT.path}{found['id']}/")
    done(f"Deleted the environment {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)


app.command("share")(share_command(ENVIRONMENT))
