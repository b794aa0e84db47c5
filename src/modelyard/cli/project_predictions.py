"""``modelyard project predict``: what a trained model says of a table, without deploying it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.client import Api, connect
from modelyard.cli.downloads import STDOUT, save
from modelyard.cli.errors import CommandError, ExitCode
from modelyard.cli.following import wait_for
from modelyard.cli.groups import AsJson
from modelyard.cli.lookup import DATASET, PROJECT, find
from modelyard.cli.project_models import Model, Project, find_model, model_path
from modelyard.cli.screen import print_json
from modelyard.cli.uploads import delete_dataset, new_dataset


def predict(
    project: Project,
    model: Model,
    file: Annotated[Path | None, typer.Argument(help="CSV (UTF-8), JSON lines or Parquet with the rows.")] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="A dataset (id or name) instead.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; else stdout.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict the rows of a table with a model, as CSV.

    A file is uploaded as a dataset that is deleted afterwards. With --json what is kept of the predictions is printed,
    and they themselves are written with --output only.
    """
    if (file is None) == (dataset is None):
        hint = "modelyard project predict PROJECT MODEL FILE, or --dataset DATASET"
        raise CommandError("name either a file or a dataset", hint=hint, code=ExitCode.USAGE)
    api = connect()
    found = find_model(api, find(api, PROJECT, project), model)
    path = f"{model_path(found)}predictions/"
    with _rows(api, file, dataset) as dataset_id:
        made, location = api.start("POST", path, {"datasetId": dataset_id})
        wait_for(api, location, f"Predicting with {found['name']}")
    if not as_json or output is not None:
        save(api, f"{path}{made['id']}/file/", output or STDOUT, quiet=as_json)
    if as_json:
        print_json(api.get(f"{path}{made['id']}/") | ({} if output is None else {"file": str(output)}))


@contextmanager
def _rows(api: Api, file: Path | None, dataset: str | None) -> Iterator[str]:
    """The id of the dataset with the rows; one that is made of a file is there while it is needed."""
    if file is None:
        yield str(find(api, DATASET, str(dataset))["datasetId"])
        return
    with new_dataset(api, file) as dataset_id:
        yield dataset_id
    delete_dataset(api, dataset_id)
