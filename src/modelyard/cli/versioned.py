"""What can be done with versions of files, which is the same for models and tasks."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.downloads import save
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import LogFollower, interruptible, pauses, spinner
from modelyard.cli.groups import AsJson, name_argument
from modelyard.cli.lookup import Kind, find, find_version
from modelyard.cli.screen import Column, done, print_json, print_list, show_time

Version = Annotated[str | None, typer.Option("--version", help="A version's id or label; else the latest.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the end.")]


def versions_command(kind: Kind) -> Callable[..., None]:
    """The command that lists versions."""

    def versions(
        name: Annotated[str, name_argument(kind.noun)],
        as_json: AsJson = False,
    ) -> None:
        api = connect()
        found = find(api, kind, name)
        columns: list[Column] = [
            ("id", "id"),
            ("version", "label"),
            ("created", lambda one: show_time(one["created"])),
            ("frozen", "isFrozen"),
            ("files", lambda one: len(one["items"])),
            ("description", "description"),
        ]
        listed = api.pages(f"{kind.path}{found['id']}/versions/")
        nothing = f"It has no version yet: modelyard {kind.noun} push DIR --{kind.noun} {found['id']}"
        print_list(listed, columns, as_json=as_json, nothing=nothing)

    versions.__doc__ = f"List the versions of a {kind.noun}, newest first."
    return versions


def download_command(kind: Kind) -> Callable[..., None]:
    """The command that downloads the files of a version."""

    def download(
        name: Annotated[str, name_argument(kind.noun)],
        output: Annotated[Path | None, typer.Option("--output", "-o", help="The zip to write; - is stdout.")] = None,
        version: Version = None,
        as_json: AsJson = False,
    ) -> None:
        """Download the files of a version as a zip."""
        api = connect()
        found = find(api, kind, name)
        chosen = find_version(api, kind, found, version)
        save(api, f"{kind.path}{found['id']}/versions/{chosen['id']}/download/", output, as_json=as_json)

    return download


def build_command(kind: Kind, log: str) -> Callable[..., None]:
    """The command that builds a version's dependencies; ``log`` is the command that shows how it went."""

    def build(
        name: Annotated[str, name_argument(kind.noun)],
        version: Version = None,
        wait: Wait = True,
        as_json: AsJson = False,
    ) -> None:
        """Build what requirements.txt asks for, and follow the log."""
        api = connect()
        found = find(api, kind, name)
        chosen = find_version(api, kind, found, version)
        title = f"version {chosen['label']} of {found['name']}"
        if not any(item["filePath"] == "requirements.txt" for item in chosen["items"]):
            nothing = {f"custom{kind.noun.title()}VersionId": chosen["id"], "buildStatus": None}
            text = f"Nothing to build: {title} has no requirements.txt and runs in its environment."
            done(text, nothing, as_json=as_json)
            return
        path = f"{kind.path}{found['id']}/versions/{chosen['id']}/"
        state = api.post(f"{path}dependencyBuild/")
        follower = LogFollower(lambda: api.text(f"{path}dependencyBuildLog/", inProgress="true"), quiet=as_json)
        come_back = f"modelyard {log} {found['id']}"
        if wait:
            state = _follow(api, path, follower, come_back, f"Building {title}")
        if as_json:
            print_json(state)
        elif state["buildStatus"] == "success":
            print(f"Built {title}.")
        elif not wait:
            print(f"Building {title}: {come_back}")
        if state["buildStatus"] == "failed":
            raise CommandError(_reason(follower.text), hint="correct requirements.txt, push again and build again")

    return build


def build_log_command(kind: Kind) -> Callable[..., None]:
    """The command that prints the log of a build."""

    def build_log(
        name: Annotated[str, name_argument(kind.noun)],
        version: Version = None,
        as_json: AsJson = False,
    ) -> None:
        """Print the log of the dependency build."""
        api = connect()
        text = read_build_log(api, kind, find(api, kind, name), version)
        done(text.rstrip("\n"), {"log": text}, as_json=as_json)

    return build_log


def read_build_log(api: Api, kind: Kind, found: Json, version: str | None) -> str:
    """The log of a version's dependency build, so far; ``CommandError`` where there was none."""
    chosen = find_version(api, kind, found, version)
    try:
        return api.text(f"{kind.path}{found['id']}/versions/{chosen['id']}/dependencyBuildLog/", inProgress="true")
    except CommandError as error:
        if error.status != 422:
            raise
        hint = f"build it: modelyard {kind.noun} build {found['id']}"
        raise CommandError("its dependencies were never built", hint=hint, code=ExitCode.NOT_FOUND) from error


def _follow(api: Api, path: str, follower: LogFollower, come_back: str, title: str) -> Json:
    with interruptible(f"See the log: {come_back}"), spinner(title):
        for _ in pauses():
            state = api.get(f"{path}dependencyBuild/")
            if state["buildStatus"] in {"success", "failed"}:
                follower.finish()
                return state
            follower.look()
    raise AssertionError


def _reason(log_text: str) -> str:
    """Why a build failed, from the last line of its log that says so."""
    lines = [line.removeprefix("Failed: ") for line in log_text.splitlines() if line.startswith("Failed: ")]
    return f"the build failed: {lines[-1]}" if lines else "the build failed; its log says why"
