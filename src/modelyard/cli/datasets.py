"""``modelyard dataset``: tables to test and score with."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.client import connect
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson, Yes, confirm, group
from modelyard.cli.lookup import DATASET, find
from modelyard.cli.screen import Column, done, plural, print_details, print_json, print_list, show_size, show_time
from modelyard.cli.sharing import share_command
from modelyard.cli.uploads import NEW_DATASET, send_table

app = group("Datasets: tables to test and score with.")

Dataset = Annotated[str, typer.Argument(help="The dataset's id or name.", show_default=False)]


@app.command("list")
def list_datasets(
    search: Annotated[str | None, typer.Option(help="Only those whose name holds this.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="How many at most.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets that you may see, newest first."""
    columns: list[Column] = [
        ("id", "datasetId"),
        ("name", "name"),
        ("version", "versionNumber"),
        ("rows", "rowCount"),
        ("columns", "columnCount"),
        ("size", lambda one: show_size(one["datasetSize"])),
        ("state", "processingState"),
        ("created", lambda one: show_time(one["creationDate"])),
    ]
    found = connect().pages(DATASET.path, limit=limit, searchFor=search)
    print_list(
        found, columns, as_json=as_json, nothing="There is no dataset. Upload one: modelyard dataset upload FILE"
    )


@app.command()
def upload(
    file: Annotated[Path, typer.Argument(help="CSV (UTF-8), JSON lines or Parquet.", show_default=False)],
    name: Annotated[str | None, typer.Option(help="What it is called; else as the file.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Dataset to add a version to (id or name).")] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is checked and profiled.")] = True,
    as_json: AsJson = False,
) -> None:
    """Upload a table as a new dataset, or as the next version of one."""
    api = connect()
    path = f"{DATASET.path}{find(api, DATASET, to)['datasetId']}/versions/fromFile/" if to else NEW_DATASET
    accepted, location = send_table(api, file, path)
    dataset = f"{DATASET.path}{accepted['catalogId']}/"
    if name:
        api.patch(dataset, {"name": name})
    if wait:
        wait_for(api, location, f"Reading {file.name}")
    made = api.get(dataset)
    if as_json:
        print_json(made)
    elif wait:
        size = f"{plural(made['rowCount'], 'row')}, {plural(made['columnCount'], 'column')}"
        print(f"Uploaded {made['name']} ({made['datasetId']}): {size}.")
    else:
        print(f"Reading {made['name']} ({made['datasetId']}): modelyard dataset show {made['datasetId']}")


@app.command()
def show(dataset: Dataset, as_json: AsJson = False) -> None:
    """Show a dataset and what is in its columns."""
    api = connect()
    found = find(api, DATASET, dataset)
    columns = list(api.pages(f"{DATASET.path}{found['datasetId']}/allFeaturesDetails/")) if found["rowCount"] else []
    rows: list[Column] = [
        ("Dataset", "name"),
        ("Id", "datasetId"),
        ("Version", "versionNumber"),
        ("File", lambda one: f"{one['fileName']} ({show_size(one['datasetSize'])})"),
        ("Rows", "rowCount"),
        ("State", "processingState"),
        ("Error", "error"),
        ("Created", lambda one: show_time(one["creationDate"])),
    ]
    print_details(found | {"columns": columns}, rows, as_json=as_json)
    if as_json or not columns:
        return
    print()
    headings: list[Column] = [
        ("column", "name"),
        ("type", "featureType"),
        ("missing", "naCount"),
        ("different", "uniqueCount"),
        ("least", "min"),
        ("mean", lambda one: None if one["mean"] is None else f"{one['mean']:.6g}"),
        ("most", "max"),
    ]
    print_list(columns, headings, as_json=False, nothing="")


@app.command()
def delete(dataset: Dataset, yes: Yes = False, as_json: AsJson = False) -> None:
    """Delete a dataset with all its versions."""
    api = connect()
    found = find(api, DATASET, dataset)
    confirm(f"Delete the dataset {found['name']} with all its versions?", yes=yes)
    api.delete(f"{DATASET.path}{found['datasetId']}/")
    done(f"Deleted the dataset {found['name']}.", {"id": found["datasetId"], "deleted": True}, as_json=as_json)


app.command("share")(share_command(DATASET))
