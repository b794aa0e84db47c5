"""Runtime parameters as a model's code reads them."""

import json
from pathlib import Path

import pytest

from modelyard_runner import RuntimeParameters
from tests.runner.running import StartRunner


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ({"type": "string", "payload": "x"}, "x"),
        ({"type": "string", "payload": 5}, "5"),
        ({"type": "string", "payload": None}, None),
        ({"type": "boolean", "payload": True}, True),
        ({"type": "boolean", "payload": "false"}, False),
        ({"type": "numeric", "payload": 5}, 5),
        ({"type": "numeric", "payload": "2.5"}, 2.5),
        ({"type": "deployment", "payload": "65f"}, "65f"),
        ({"type": "credential", "payload": {"user": "u", "password": "p"}}, {"user": "u", "password": "p"}),
        ({"user": "u"}, {"user": "u"}),
        ("plain", "plain"),
    ],
)
def test_values(monkeypatch: pytest.MonkeyPatch, content: object, value: object) -> None:
    monkeypatch.setenv("MLOPS_RUNTIME_PARAM_P", json.dumps(content))
    assert RuntimeParameters.has("P")
    found = RuntimeParameters.get("P")
    assert found == value
    assert type(found) is type(value)


def test_missing_and_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MODELYARD_CODE_DIR", str(tmp_path))
    assert not RuntimeParameters.has("P")
    with pytest.raises(ValueError, match="'P' is not set"):
        RuntimeParameters.get("P")
    monkeypatch.setenv("MLOPS_RUNTIME_PARAM_P", "{")
    with pytest.raises(ValueError, match="MLOPS_RUNTIME_PARAM_P does not hold JSON"):
        RuntimeParameters.get("P")


def test_local_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".runtime-parameters.yaml").write_text("P: 3\nLOGIN:\n  user: u\n")
    monkeypatch.setenv("MODELYARD_CODE_DIR", str(tmp_path))
    assert RuntimeParameters.get("P") == 3
    assert RuntimeParameters.get("LOGIN") == {"user": "u"}
    monkeypatch.setenv("MLOPS_RUNTIME_PARAM_P", "4")
    assert RuntimeParameters.get("P") == 4
    assert not RuntimeParameters.has("Q")


def test_import_name_of_published_code(start_runner: StartRunner) -> None:
    code = """
        from datarobot_drum import RuntimeParameters

        def score_unstructured(model, data, **kwargs):
            return RuntimeParameters.get("GREETING") + RuntimeParameters.get("LOCAL")
    """
    environment = {"MLOPS_RUNTIME_PARAM_GREETING": json.dumps({"type": "string", "payload": "hello"})}
    files = {"custom.py": code, ".runtime-parameters.yaml": "LOCAL: ' world'\n"}
    runner = start_runner(files, ("--target-type", "unstructured"), environment=environment)
    assert runner.predict("x", "text/plain", path="/predictUnstructured/").body == b"hello world"
