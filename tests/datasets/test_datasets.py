"""Uploading tables: from the form to rows, columns and files."""

import gzip
import io
import os
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from sqlalchemy import select, update

from modelyard.datasets import service
from modelyard.datasets.tables import Dataset, DatasetVersion
from modelyard.operations.tables import Operation
from modelyard.storage.blobs import BlobStore
from tests.api_client import Api
from tests.conftest import Installation

CSV = b"age,city,since,active\n31,Bern,2020-01-02,true\n,Graz,2021-02-03,false\n45,Bern,2022-03-04,true\n"


def upload(api: Api, content: bytes, name: str = "people.csv", path: str = "/datasets/fromFile/") -> httpx.Response:
    return api.post(path, files={"file": (name, content, "application/octet-stream")})


def a_dataset(installation: Installation, content: bytes, name: str = "people.csv") -> dict[str, Any]:
    """What the API says of a new dataset once it was read."""
    answer = upload(installation.api, content, name)
    assert answer.status_code == 202, answer.text
    installation.run_operations()
    read: dict[str, Any] = installation.api.get(f"/datasets/{answer.json()['catalogId']}/").json()
    return read


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


def test_an_upload_becomes_a_table_that_status_leads_to(installation: Installation) -> None:
    api = installation.api
    answer = upload(api, CSV, "/home/ann/people.csv")
    assert answer.status_code == 202
    assert set(answer.json()) == {"catalogId", "catalogVersionId", "statusId"}
    location = answer.headers["Location"]
    assert location == f"http://modelyard.test/api/v2/status/{answer.json()['statusId']}/"
    running = api.get(location)
    assert (running.status_code, running.json()["status"], running.json()["statusType"]) == (
        200,
        "INITIALIZED",
        "Dataset",
    )
    dataset_path = f"/datasets/{answer.json()['catalogId']}/"
    assert api.get(dataset_path).json()["processingState"] == "RUNNING"

    installation.run_operations()

    done = api.get(location)
    assert done.status_code == 303
    assert done.headers["Location"] == f"http://modelyard.test/api/v2{dataset_path}"
    read = api.get(done.headers["Location"]).json()
    assert read["datasetId"] == answer.json()["catalogId"]
    assert read["versionId"] == answer.json()["catalogVersionId"]
    assert read["name"] == "people.csv"
    assert (read["processingState"], read["error"]) == ("COMPLETED", None)
    assert (read["rowCount"], read["columnCount"], read["datasetSize"]) == (3, 4, len(CSV))
    assert read["categories"] == ["TRAINING", "PREDICTION"]
    assert api.get(f"{dataset_path}file/").content == CSV


def test_the_address_without_its_last_slash_takes_uploads_too(api: Api) -> None:
    assert upload(api, CSV, path="/datasets/fromFile").status_code == 202


def test_columns_are_described(installation: Installation) -> None:
    read = a_dataset(installation, CSV)
    columns = {
        column["name"]: column
        for column in installation.api.get(f"/datasets/{read['datasetId']}/allFeaturesDetails/").json()["data"]
    }
    assert {name: column["featureType"] for name, column in columns.items()} == {
        "age": "Numeric",
        "city": "Categorical",
        "since": "Date",
        "active": "Boolean",
    }
    age = columns["age"]
    assert (age["naCount"], age["min"], age["max"], age["mean"], age["uniqueCount"]) == (1, 31, 45, 38, 2)
    assert columns["city"]["uniqueCount"] == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", b"a,b\n1,x\n2,y\n"),
        ("t.csv", b"\xef\xbb\xbfa,b\n1,x\n2,y\n"),
        ("t.csv", b"a,b\r\n1,x\r\n2,y"),
        ("t.csv", b"a;b\n1;x\n2;y\n"),
        ("t.tsv", b"a\tb\n1\tx\n2\ty\n"),
        ("t.csv.gz", gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0)),
        ("t.zip", zipped({"folder/t.csv": b"a,b\n1,x\n2,y\n", "__MACOSX/t.csv": b"?"})),
        ("t.jsonl", b'{"a":1,"b":"x"}\n{"a":2,"b":"y"}\n'),
        ("t.parquet", parquet(pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}))),
    ],
    ids=["csv", "bom", "crlf", "semicolon", "tab", "gzip", "zip", "jsonl", "parquet"],
)
def test_every_form_of_one_table_reads_the_same(
    installation: Installation, tmp_path: Path, name: str, content: bytes
) -> None:
    read = a_dataset(installation, content, name)
    assert (read["processingState"], read["error"]) == ("COMPLETED", None)
    application = installation.application
    with application.database.read() as session:
        version = session.get_one(DatasetVersion, read["versionId"])
    assert service.column_names(version) == ["a", "b"]
    blobs = application.parts.get(BlobStore)  # type: ignore[type-abstract]
    with service.open_table(blobs, version, tmp_path) as table:
        assert table.collect().to_dict(as_series=False) == {"a": [1, 2], "b": ["x", "y"]}
    assert not list((application.settings.data_dir / "spool").iterdir())


def test_a_quote_in_the_name_of_a_column_is_one(installation: Installation) -> None:
    read = a_dataset(installation, b'"say ""yes""",n\n1,2\n')
    columns = installation.api.get(f"/datasets/{read['datasetId']}/allFeaturesDetails/").json()["data"]
    assert [column["name"] for column in columns] == ['say "yes"', "n"]


def test_a_column_that_turns_into_text_late_is_text(installation: Installation) -> None:
    read = a_dataset(installation, b"a\n" + b"1\n" * 12_000 + b"x\n")
    assert read["processingState"] == "COMPLETED"
    columns = installation.api.get(f"/datasets/{read['datasetId']}/allFeaturesDetails/").json()["data"]
    assert (columns[0]["featureType"], columns[0]["dataType"]) == ("Categorical", "String")


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("t.csv", b"", "'t.csv' is empty"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.csv", b"\n\n", "first line is blank"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", "line 3 has 3 fields, the header has 2"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', "line 3"),
        ("t.csv", b"a,a\n1,2\n", "Several columns are called 'a'"),
        ("t.csv", "a,b\n1,é\n".encode("latin-1"), "line 2 holds the byte 0xe9"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        ("t.csv", b"a,b\n1,\xc3", "last character is cut off"),
        ("t.csv", b"a,b\n\0\0,1\n", "NUL byte in line 2"),
        ("t.png", b"\x89PNG\r\n\x1a\n....", "is an image, not a table"),
        ("t.xlsx", zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "save it as CSV"),
        ("t.zip", zipped({"a.csv": CSV, "b.csv": CSV}), "The zip holds 2 files"),
        ("t.zip", zipped({"../a.csv": CSV}), "The archive cannot be used"),
        ("t.csv.gz", gzip.compress(CSV, mtime=0)[:-9], "gzip file is broken"),
        ("t.parquet", b"PAR1 nothing of the kind", "Parquet file is broken"),
        ("t.parquet", parquet(pl.DataFrame({"a": [[1], [2]]})), "Columns hold lists"),
        ("t.jsonl", b'{"a":1}\nnot json\n', "cannot be read as a table"),
    ],
)
def test_what_is_no_table_ends_in_an_error_that_says_why(
    installation: Installation, name: str, content: bytes, text: str
) -> None:
    answer = upload(installation.api, content, name)
    installation.run_operations()
    status = installation.api.get(answer.headers["Location"])
    assert (status.status_code, status.json()["status"]) == (200, "ERROR")
    assert text in status.json()["message"]
    read = installation.api.get(f"/datasets/{answer.json()['catalogId']}/").json()
    assert (read["processingState"], read["error"]) == ("ERROR", status.json()["message"])
    assert installation.api.get(f"/datasets/{read['datasetId']}/allFeaturesDetails/").status_code == 409
    assert not list((installation.application.settings.data_dir / "spool").iterdir())


def test_a_compressed_bomb_is_refused(installation: Installation) -> None:
    packed = gzip.compress(b"a\n" + b"0\n" * (40 << 20), compresslevel=9)
    read = a_dataset(installation, packed, "t.csv.gz")
    assert "unpacks to over 1000 times its size" in read["error"]


def test_an_upload_over_the_limit_is_refused(an_installation: Callable[..., Installation]) -> None:
    answer = upload(an_installation(max_dataset_bytes=20).api, CSV)
    assert answer.status_code == 413
    assert "a dataset may have 20" in answer.json()["message"]


@pytest.mark.parametrize("files", [[], [("file", ("a", b"1")), ("file", ("b", b"2"))]], ids=["none", "two"])
def test_an_upload_needs_exactly_one_file(api: Api, files: list[Any]) -> None:
    answer = api.post("/datasets/fromFile/", files=files or [("other", ("a", b"1"))])
    assert answer.status_code == 422
    assert "file" in answer.json()["errors"]
    assert api.get("/datasets/").json()["totalCount"] == 0


def test_a_new_version_is_the_latest_once_it_is_a_table(installation: Installation) -> None:
    api, first = installation.api, a_dataset(installation, CSV)
    path = f"/datasets/{first['datasetId']}/"
    broken = upload(api, b"\x89PNG", "2.png", f"{path}versions/fromFile/").json()
    better = upload(api, b"a\n1\n", "3.csv", f"{path}versions/fromFile/")
    assert api.get(path).json()["versionId"] == first["versionId"]
    installation.run_operations()
    latest = api.get(path).json()
    assert (latest["versionId"], latest["columnCount"]) == (better.json()["catalogVersionId"], 1)
    moved = api.get(better.headers["Location"])
    assert moved.headers["Location"].endswith(f"{path}versions/{latest['versionId']}/")
    versions = api.get(f"{path}versions/").json()["data"]
    assert [version["versionNumber"] for version in versions] == [3, 2, 1]
    assert [version["isLatestVersion"] for version in versions] == [True, False, False]
    assert api.get(f"{path}versions/{broken['catalogVersionId']}/").json()["processingState"] == "ERROR"
    assert api.get(f"{path}versions/{first['versionId']}/file/").content == CSV
    assert api.get(f"{path}versions/{'0' * 24}/").status_code == 404


def test_listing_changing_and_deleting(installation: Installation) -> None:
    api = installation.api
    first, second = a_dataset(installation, CSV, "one.csv"), a_dataset(installation, CSV, "two.csv")
    listed = api.get("/datasets/?limit=1").json()
    assert (listed["totalCount"], listed["data"][0]["name"]) == (2, "two.csv")
    assert api.get(listed["next"]).json()["data"][0]["name"] == "one.csv"
    assert [item["name"] for item in api.get("/datasets/?searchFor=ONE").json()["data"]] == ["one.csv"]
    path = f"/datasets/{first['datasetId']}/"
    changed = api.patch(path, json={"name": "People", "categories": ["TRAINING"]})
    assert (changed.status_code, changed.json()["name"], changed.json()["categories"]) == (200, "People", ["TRAINING"])
    assert api.patch(path, json={"name": "", "categories": ["x"]}).json()["errors"].keys() == {"name", "categories"}
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert [item["datasetId"] for item in api.get("/datasets/").json()["data"]] == [second["datasetId"]]
    with installation.application.database.read() as session:
        assert session.scalars(select(Dataset.id)).all() == [second["datasetId"]]
        assert session.scalars(select(DatasetVersion.dataset_id)).all() == [second["datasetId"]]


def test_a_dataset_deleted_while_it_is_read_leaves_nothing(installation: Installation) -> None:
    api = installation.api
    answer = upload(api, CSV)
    assert api.delete(f"/datasets/{answer.json()['catalogId']}/").status_code == 204
    installation.run_operations()
    assert api.get(answer.headers["Location"]).json()["status"] == "ABORTED"
    with installation.application.database.read() as session:
        assert session.scalars(select(DatasetVersion.id)).all() == []


def test_strangers_see_nothing(installation: Installation) -> None:
    read = a_dataset(installation, CSV)
    stranger = installation.a_user("eve")
    path = f"/datasets/{read['datasetId']}/"
    for below in ("", "versions/", "file/", "allFeaturesDetails/", f"versions/{read['versionId']}/file/"):
        assert stranger.get(path + below).status_code == 404, below
    assert stranger.patch(path, json={"name": "x"}).status_code == 404
    assert stranger.delete(path).status_code == 404
    assert upload(stranger, CSV, path=f"{path}versions/fromFile/").status_code == 404
    assert stranger.get("/datasets/").json()["totalCount"] == 0


def test_a_controller_that_died_is_taken_over(installation: Installation) -> None:
    """A killed controller leaves a claimed operation and half a folder; the next one finishes the work."""
    answer = upload(installation.api, CSV).json()
    application = installation.application
    with application.database.write() as session:
        past = datetime.now(UTC) - timedelta(seconds=1)
        session.execute(
            update(Operation)
            .where(Operation.id == answer["statusId"])
            .values(status="RUNNING", lease_owner="gone/1/1.00", lease_token="0" * 24, lease_expires_at=past)
        )
    left = application.settings.data_dir / "spool" / f"dataset-{answer['statusId']}"
    left.mkdir(parents=True)
    (left / "table.parquet").write_bytes(os.urandom(64))
    installation.run_operations()
    read = installation.api.get(f"/datasets/{answer['catalogId']}/").json()
    assert (read["processingState"], read["rowCount"]) == ("COMPLETED", 3)
    assert not left.exists()


def test_a_shared_dataset_is_seen_and_not_changed(installation: Installation) -> None:
    read, ann = a_dataset(installation, CSV), installation.a_user("ann")
    path = f"/datasets/{read['datasetId']}/"
    wanted = {"data": [{"username": "ann", "role": "OBSERVER"}]}
    assert installation.api.patch(f"{path}accessControl/", json=wanted).status_code == 204
    assert ann.get("/datasets/").json()["data"][0]["datasetId"] == read["datasetId"]
    assert ann.get(f"{path}file/").content == CSV
    assert ann.delete(path).status_code == 403
    assert [line["username"] for line in ann.get(f"{path}accessControl/").json()["data"]] == ["admin", "ann"]
