"""``modelyard credential``: what code needs for other systems. Secrets come from files, variables or a prompt."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import CREDENTIAL, find
from modelyard.cli.screen import Column, done, print_details, print_list, show_time
from modelyard.cli.sharing import share_command

app = group("Credentials: what code needs for other systems. The server never shows their secrets again.")

Credential = Annotated[str, typer.Argument(help="The credential's id or name.", show_default=False)]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        metavar="NAME=VALUE",
        help="A field; NAME=@FILE reads a file, NAME=@- stdin. Never write a secret itself here: every user of this "
        "machine sees it in ps.",
        show_default=False,
    ),
]
FromEnvironment = Annotated[
    list[str] | None,
    typer.Option(
        "--from-env",
        metavar="NAME=VARIABLE",
        help="A field whose value is in an environment variable.",
        show_default=False,
    ),
]
Ask = Annotated[list[str] | None, typer.Option("--ask", metavar="NAME", help="A field to be asked for, without echo.")]


@app.command("list")
def list_credentials(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only of this type; repeat it.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the credentials that you may see, newest first."""
    columns: list[Column] = [
        ("id", "credentialId"),
        ("name", "name"),
        ("type", "credentialType"),
        ("description", "description"),
        ("created", lambda one: show_time(one["creationDate"])),
    ]
    found = connect().pages(CREDENTIAL.path, limit=limit, search=search, types=types)
    nothing = "There is no credential. Make one: modelyard credential create NAME --type TYPE"
    print_list(found, columns, as_json=as_json, nothing=nothing)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    type_: Annotated[str, typer.Option("--type", help="basic, apiToken, s3, gcp, azure, …", show_default=False)],
    fields: Fields = None,
    from_env: FromEnvironment = None,
    ask: Ask = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Store a credential. On a terminal, fields that are missing are asked for without echo."""
    body: Json = {"name": name, "credentialType": type_, **_read(fields, from_env, ask)}
    made = _send_complete(connect(), body | ({} if description is None else {"description": description}))
    done(f"Stored the credential {name} ({made['credentialId']}).", made, as_json=as_json)


@app.command()
def show(credential: Credential, as_json: AsJson = False) -> None:
    """Show what is known of a credential; its secrets are not."""
    rows: list[Column] = [
        ("Credential", "name"),
        ("Id", "credentialId"),
        ("Type", "credentialType"),
        ("Description", "description"),
        ("Created", lambda one: show_time(one["creationDate"])),
    ]
    print_details(find(connect(), CREDENTIAL, credential), rows, as_json=as_json)


@app.command()
def update(
    credential: Credential,
    fields: Fields = None,
    from_env: FromEnvironment = None,
    ask: Ask = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove-field", metavar="NAME", help="An optional field to drop; repeat it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Another name.")] = None,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a credential; fields that are not named stay. What runs already keeps the old ones."""
    body = _read(fields, from_env, ask) | dict.fromkeys(remove or (), None)
    body |= {key: value for key, value in (("name", name), ("description", description)) if value is not None}
    if not body:
        raise CommandError("there is nothing to change", hint="name a --field, for example", code=ExitCode.USAGE)
    api = connect()
    found = find(api, CREDENTIAL, credential)
    changed = api.patch(f"{CREDENTIAL.path}{found['credentialId']}/", body)
    done(f"Changed the credential {changed['name']}.", changed, as_json=as_json)


@app.command()
def delete(credential: Credential, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a credential. What refers to it fails when it is started next."""
    api = connect()
    found = find(api, CREDENTIAL, credential)
    confirm(f"Delete the credential {found['name']}? What refers to it cannot be started any more.", yes=yes)
    api.delete(f"{CREDENTIAL.path}{found['credentialId']}/")
    gone = {"id": found["credentialId"], "deleted": True}
    done(f"Deleted the credential {found['name']}.", gone, as_json=as_json)


app.command("share")(share_command(CREDENTIAL))


def _send_complete(api: Api, body: Json) -> Json:
    """Stores the credential; who sits at a terminal is asked for what the server says is missing."""
    try:
        return api.post(CREDENTIAL.path, body)
    except CommandError as error:
        missing = [name for name, text in error.errors.items() if str(text).startswith("is required")]
        if not missing or len(missing) < len(error.errors) or not sys.stdin.isatty():
            raise
    return api.post(CREDENTIAL.path, body | {name: _prompt(name) for name in missing})


def _read(fields: Sequence[str] | None, from_env: Sequence[str] | None, ask: Sequence[str] | None) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for text in fields or ():
        name, value = _split(text, "--field", "VALUE")
        given[name] = _read_file(name, value[1:]) if value.startswith("@") else value
    for text in from_env or ():
        name, variable = _split(text, "--from-env", "VARIABLE")
        if variable not in os.environ:
            raise CommandError(f"there is no environment variable {variable!r} for {name}", code=ExitCode.USAGE)
        given[name] = os.environ[variable]
    return given | {name: _prompt(name) for name in ask or ()}


def _split(text: str, option: str, what: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:  # the text may be a secret, so it is not told again
        raise CommandError(f"{option} takes NAME={what}", code=ExitCode.USAGE)
    return name, value


def _read_file(name: str, path: str) -> str:
    """A file's text without its last line end, which editors add."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{name} cannot be read from {path}: {error}", code=ExitCode.USAGE) from None
    return text.removesuffix("\n").removesuffix("\r")


def _prompt(name: str) -> str:
    if not sys.stdin.isatty():
        raise CommandError(
            f"there is nobody to ask for {name}", hint=f"--field {name}=@FILE or --from-env", code=ExitCode.USAGE
        )
    return str(typer.prompt(name, hide_input=True, err=True))
