"""``modelyard template``: folders of files with defaults, to make jobs, models and applications from."""

import json
import tempfile
import zipfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from modelyard.cli.client import UPLOAD_TIMEOUT, Api, Json, connect
from modelyard.cli.errors import CommandError, ExitCode, near_matches
from modelyard.cli.folders import LocalFile, files_of
from modelyard.cli.following import upload_bar
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import ENVIRONMENT, TEMPLATE, find
from modelyard.cli.screen import Column, done, print_details, print_list
from modelyard.cli.uploads import SentFile
from modelyard.cli.yaml_files import read_yaml

app = group("Templates: files to make jobs and applications from.")

DEFINITION = "template.yaml"
FILES_FOLDER = "files"
README = "README.md"
METADATA = ("tags", "category", "publisher", "classLabels", "resourceBundleIds")

Template = Annotated[str, typer.Argument(help="The template's id or name.", show_default=False)]


class TemplateType(StrEnum):
    JOB = "customJob"
    MODEL = "customModel"
    TASK = "customTask"
    APPLICATION = "customApplication"
    METRIC = "customMetric"


@app.command("list")
def list_templates(
    search: Annotated[str | None, typer.Option(help="Only those whose name or description holds this.")] = None,
    type_: Annotated[TemplateType | None, typer.Option("--type", help="Only those of this type.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    category: Annotated[str | None, typer.Option(help="Only those of this category.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the shipped templates and your organization's.

    The newest come first.
    """
    columns: list[Column] = [
        ("id", "id"),
        ("name", "name"),
        ("type", "templateType"),
        ("sub-type", "templateSubType"),
        ("category", "templateMetadata.category"),
        ("tags", "templateMetadata.tags"),
        ("publisher", "templateMetadata.publisher"),
    ]
    query = {"search": search, "templateType": type_ and type_.value, "tag": tag, "category": category}
    found = connect().pages(TEMPLATE.path, limit=limit, page=TEMPLATE.page, **query)
    print_list(found, columns, as_json=as_json, nothing="There is none. Make one: modelyard template create DIR")


@app.command()
def show(
    template: Template,
    file: Annotated[str | None, typer.Option(help="Print this file of it instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a template, or one of its files."""
    api = connect()
    found = find(api, TEMPLATE, template)
    if file is not None:
        answer = api.get(f"{TEMPLATE.path}{found['id']}/files/{_file_id(found, file)}/")
        done(answer["content"].removesuffix("\n"), answer, as_json=as_json)
        return
    rows: list[Column] = [
        ("Template", "name"),
        ("Id", "id"),
        ("Description", "description"),
        ("Type", "templateType"),
        ("Sub-type", "templateSubType"),
        ("Enabled", "enabled"),
        ("Environment", "defaultEnvironment.environmentId"),
        ("Version", "defaultEnvironment.environmentVersionId"),
        ("Bundle", "defaultResourceBundleId"),
        ("Category", "templateMetadata.category"),
        ("Tags", "templateMetadata.tags"),
        ("Publisher", "templateMetadata.publisher"),
        ("Files", lambda one: [item["name"] for item in one["items"]]),
    ]
    print_details(found, rows, as_json=as_json)


def _file_id(template: Json, name: str) -> str:
    ids: dict[str, str] = {item["name"]: item["id"] for item in template["items"]}
    if name not in ids:
        near = near_matches(name, ids)
        hint = f"did you mean {' or '.join(near)}?" if near else f"it has {', '.join(list(ids)[:10])}"
        raise CommandError(f"{template['name']} has no file {name!r}", hint=hint, code=ExitCode.NOT_FOUND)
    return ids[name]


@dataclass(frozen=True)
class Source:
    """A folder to make a template of: what its ``template.yaml`` says, and the files that go into the template."""

    definition: dict[str, Any]
    files: list[LocalFile]

    @classmethod
    def read(cls, folder: Path) -> "Source":
        """Of a folder with a ``files`` folder in it that folder, else all of it; without ``template.yaml``."""
        has_files = (folder / DEFINITION).is_file() and (folder / FILES_FOLDER).is_dir()
        found = files_of(folder / FILES_FOLDER if has_files else folder)
        definition = read_yaml(folder / DEFINITION, "name and environment") if (folder / DEFINITION).is_file() else {}
        files = [file for file in found if file.path != DEFINITION]
        if not files:
            raise CommandError(f"{folder} has no file beside {DEFINITION}", hint="a template needs a file")
        return cls(definition, files)

    def readme(self) -> str | None:
        found = next((file.source for file in self.files if file.path == README), None)
        return None if found is None else found.read_text(encoding="utf-8", errors="replace")


@app.command()
def create(
    folder: Annotated[Path, typer.Argument(help="The folder with the files.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="What it is called; else as the folder.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    type_: Annotated[TemplateType | None, typer.Option("--type", help="What is made from it; else a job.")] = None,
    sub_type: Annotated[str | None, typer.Option(help="Of a job template: the type of job; else default.")] = None,
    env: Annotated[str | None, typer.Option("--env", "-e", help="Environment that it runs in (id or name).")] = None,
    bundle: Annotated[str | None, typer.Option(help="Resource bundle that it gets.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A tag; repeat it.")] = None,
    category: Annotated[str | None, typer.Option(help="What kind of use it has.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a template of a folder.

    template.yaml in it may say the same as the options, which go first: name, description, templateType,
    templateSubType, environment, resourceBundleId, tags, category, publisher. README.md becomes its readme. What
    .modelyardignore names stays here; where there is a folder files/, only what is in it goes along.
    """
    source = Source.read(folder)
    options = {
        "name": name,
        "description": description,
        "templateType": type_ and type_.value,
        "templateSubType": sub_type,
        "environment": env,
        "resourceBundleId": bundle,
        "tags": tag or None,
        "category": category,
    }
    wanted = {"name": folder.resolve().name, "description": "", "templateType": TemplateType.JOB.value}
    wanted |= source.definition | {key: value for key, value in options.items() if value is not None}
    api = connect()
    made = _send(api, source, _form(api, wanted, source.readme()))
    done(f"Made the template {made['name']} ({made['id']}).", made, as_json=as_json)


def _form(api: Api, wanted: dict[str, Any], readme: str | None) -> dict[str, str]:
    if not wanted.get("environment"):
        raise CommandError(
            "no environment is given", hint=f"name one with --env, or in {DEFINITION}", code=ExitCode.USAGE
        )
    environment = find(api, ENVIRONMENT, str(wanted["environment"]))
    metadata: dict[str, Any] = {key: wanted[key] for key in METADATA if wanted.get(key) is not None}
    if isinstance(metadata.get("tags"), list):
        metadata["tags"] = [str(each) for each in metadata["tags"]]
    if readme is not None:
        metadata["readme"] = readme
    is_job = wanted["templateType"] == TemplateType.JOB.value
    form = {
        "name": str(wanted["name"]),
        "description": str(wanted["description"]),
        "templateType": str(wanted["templateType"]),
        "templateSubType": str(wanted.get("templateSubType") or ("default" if is_job else "")),
        "defaultEnvironment": json.dumps({"environmentId": environment["id"]}),
        "templateMetadata": json.dumps(metadata),
    }
    return form | ({"defaultResourceBundleId": str(bundle)} if (bundle := wanted.get("resourceBundleId")) else {})


def _send(api: Api, source: Source, form: dict[str, str]) -> Json:
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "template.zip"
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
            for file in source.files:
                target.write(file.source, file.path)
        with upload_bar("Sending the files", archive.stat().st_size) as advance, SentFile(archive, advance) as stream:
            fields = {"file": (archive.name, stream, "application/zip")}
            made: Json = api.request("POST", TEMPLATE.path, data=form, files=fields, timeout=UPLOAD_TIMEOUT).json()
            return made


@app.command()
def delete(template: Template, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a template. What was made from it stays."""
    api = connect()
    found = find(api, TEMPLATE, template)
    confirm(f"Delete the template {found['name']}?", yes=yes)
    api.delete(f"{TEMPLATE.path}{found['id']}/")
    done(f"Deleted the template {found['name']}.", {"id": found["id"], "deleted": True}, as_json=as_json)
