"""The environments that ship with Modelyard."""

import re

import pytest

from modelyard.environments.builtin import BuiltinEnvironment, load_builtin
from modelyard.environments.images.interpreter import this_interpreter
from modelyard.environments.images.locks import covers, parse_lock
from modelyard.environments.images.runner_files import find_runner
from modelyard.environments.images.spec import gather
from modelyard.environments.requirements import parse_requirements

BUILTIN = {each.key: each for each in load_builtin()}


def test_all_are_there() -> None:
    assert list(BUILTIN) == ["lightgbm", "onnx", "python", "pytorch", "scikit-learn", "xgboost"]


def test_names_are_found_by_known_clients() -> None:
    names = [each.name for each in load_builtin("3.12")]

    assert len(set(names)) == len(names)
    assert any(re.search(r"\[Modelyard\].*Python 3\.12.*Scikit-Learn Drop-In", name) for name in names)
    assert all(name.startswith("[Modelyard] Python 3.12 ") and name.endswith("Drop-In") for name in names)


@pytest.mark.parametrize("key", BUILTIN)
def test_a_definition_is_complete(key: str) -> None:
    environment = BUILTIN[key]

    assert environment.description
    assert environment.programming_language == "python"
    assert set(environment.use_cases) <= {"customModel", "customApplication", "notebook"}
    assert "customModel" in environment.use_cases
    assert parse_requirements(environment.requirements).dependencies


@pytest.mark.parametrize("key", [key for key in BUILTIN if key != "pytorch"])
def test_a_lock_covers_the_requirements_and_the_runner(key: str) -> None:
    environment = BUILTIN[key]
    assert environment.lock is not None
    wanted = gather(environment.requirements_files(), find_runner().requirements)

    pins = parse_lock(environment.lock)

    assert all(pin.hashes and pin.version for pin in pins)
    for python_version in ("3.11", "3.12", "3.13"):
        markers = dict(this_interpreter().markers)
        markers |= {"python_version": python_version, "python_full_version": f"{python_version}.1"}
        assert covers(environment.lock, wanted, markers), (
            f"run modelyard.environments.builtin.relock ({python_version})"
        )


@pytest.mark.parametrize("environment", BUILTIN.values(), ids=BUILTIN)
def test_a_lock_names_no_host_and_no_path(environment: BuiltinEnvironment) -> None:
    assert not re.search(r"://|/|^#|^-i|^--(?!hash)", environment.lock or "", re.MULTILINE)


def test_pytorch_takes_the_cpu_build_and_has_no_lock() -> None:
    requirements = parse_requirements(BUILTIN["pytorch"].requirements)

    assert BUILTIN["pytorch"].lock is None
    assert any(
        each.requirement.startswith("torch==") and "+cpu" in each.requirement for each in requirements.dependencies
    )
    assert [option.value for option in requirements.options] == ["https://download.pytorch.org/whl/cpu"]
