"""What users write in YAML without quotes stays as it is written, for the command line and for the server alike."""

import datetime
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.lookup import MODEL
from modelyard.cli.model_metadata import NAMES, creation_of
from modelyard.cli.yaml_files import read_metadata as read_folder
from modelyard.workspaces.metadata_file import read_metadata as read_content

TEXTS = ["007", "010", "12:30", "0x1F", "1_000", "0b11", "1:2:3.5", "+", "0o17", "007.5"]
VALUES = [("8", 8), ("-3", -3), ("0.5", 0.5), (".5", 0.5), ("1.0e+3", 1000.0), ("true", True), ("~", None), ("", None)]
METADATA = "name: {name}\ntargetType: {kind}\ninferenceModel:\n  targetName: t\n"


def by_command_line(folder: Path, text: str) -> dict[str, Any]:
    (folder / NAMES[0]).write_text(text)
    return read_folder(folder, NAMES)


@pytest.mark.parametrize("written", TEXTS)
def test_what_only_yaml_1_1_takes_for_another_thing_is_a_text(written: str, tmp_path: Path) -> None:
    text = f"value: {written}\nlist: [{written}]\n"
    expected = {"value": written, "list": [written]}
    assert by_command_line(tmp_path, text) == expected
    assert read_content(text.encode(), "model-metadata.yaml") == expected


@pytest.mark.parametrize(("written", "value"), VALUES)
def test_numbers_booleans_and_null_are_what_json_has(written: str, value: object, tmp_path: Path) -> None:
    text = f"value: {written}\n"
    assert by_command_line(tmp_path, text) == {"value": value}
    assert read_content(text.encode(), "model-metadata.yaml") == {"value": value}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_files_as_windows_writes_them(encoding: str, tmp_path: Path) -> None:
    content = "value: größer\r\nlist: [010]\r\n".encode(encoding)
    (tmp_path / NAMES[0]).write_bytes(content)
    expected = {"value": "größer", "list": ["010"]}
    assert read_folder(tmp_path, NAMES) == expected
    assert read_content(content, NAMES[0]) == expected


@pytest.mark.parametrize("label", [*TEXTS, "2024-01-01", "0.0", "1.50", "1e3", "true", "No", "8", "-1"])
def test_class_labels_are_as_they_are_written(label: str, tmp_path: Path) -> None:
    text = METADATA.format(name=label, kind="multiclass") + f"  classLabels: [{label}, other]\n"
    body = creation_of(MODEL, by_command_line(tmp_path, text), None)
    assert body["classLabels"] == [label, "other"]
    text = METADATA.format(name="x", kind="binary") + f"  positiveClassLabel: {label}\n  negativeClassLabel: 'q'\n"
    body = creation_of(MODEL, by_command_line(tmp_path, text), None)
    assert (body["positiveClassLabel"], body["negativeClassLabel"]) == (label, "q")


def test_labels_at_the_top_of_the_file_and_labels_left_out(tmp_path: Path) -> None:
    text = "name: x\ntargetType: binary\ntargetName: t\npositiveClassLabel: 010\nnegativeClassLabel:\n"
    body = creation_of(MODEL, by_command_line(tmp_path, text), None)
    assert body["positiveClassLabel"] == "010"
    assert "negativeClassLabel" not in body


@pytest.mark.parametrize("name", ["012:30", "0", "1.50", "2024-01-01"])
def test_a_name_of_digits_stays_as_it_is_written(name: str, tmp_path: Path) -> None:
    body = creation_of(MODEL, by_command_line(tmp_path, METADATA.format(name=name, kind="regression")), None)
    assert body["name"] == name


def test_a_default_that_is_a_date_is_no_text_for_the_server() -> None:
    assert read_content(b"a: 2024-01-01\n", "model-metadata.yaml") == {"a": datetime.date(2024, 1, 1)}


def test_booleans_of_parameters_may_still_be_yes_and_no() -> None:
    assert read_content(b"a: yes\nb: off\n", "model-metadata.yaml") == {"a": True, "b": False}
