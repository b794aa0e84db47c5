"""What each example holds, and what of it is pushed."""

from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from pathspec import GitIgnoreSpec

from tests.examples.loading import EXAMPLES

PUSHED = {
    "churn_model": {"custom.py", "model-metadata.yaml", "model.joblib", "requirements.txt"},
    "house_prices": {"custom.py", "model-metadata.yaml", "model.joblib", "requirements.txt"},
    "iris_species": {"model-metadata.yaml", "model.joblib", "requirements.txt"},
    "sensor_anomaly": {"custom.py", "model-metadata.yaml", "model.joblib", "requirements.txt"},
    "transform_scaler": {"custom.py", "model-metadata.yaml", "model.joblib", "requirements.txt"},
    "text_generation": {"corpus.txt", "custom.py", "model-metadata.yaml", "requirements.txt"},
    "unstructured_wordcount": {"custom.py", "model-metadata.yaml", "stopwords.txt"},
    "score_job": {"customers.csv", "main.py", "metadata.yaml"},
    "c_server": {"model-metadata.yaml", "scorer", "start_server.sh", "weights.csv"},
}
TARGET_TYPES = {
    "churn_model": "binary",
    "house_prices": "regression",
    "iris_species": "multiclass",
    "sensor_anomaly": "anomaly",
    "transform_scaler": "transform",
    "text_generation": "textgeneration",
    "unstructured_wordcount": "unstructured",
    "c_server": "regression",
}
SHARED_REQUIREMENTS = ["house_prices", "iris_species", "sensor_anomaly", "transform_scaler"]
BUILTIN = EXAMPLES.parent / "src/modelyard/environments/builtin"
ENVIRONMENTS = {**dict.fromkeys([*SHARED_REQUIREMENTS, "churn_model"], "scikit-learn"), "text_generation": "python"}
PINNED = ["churn_model", "house_prices", "text_generation"]


def test_every_folder_is_listed() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"tasks"}
    listed = (EXAMPLES / "README.md").read_text()
    assert folders == set(PUSHED)
    assert all(f"[{folder}]({folder})" in listed for folder in folders)


@pytest.mark.parametrize("example", PUSHED)
def test_only_what_is_needed_is_pushed(example: str) -> None:
    folder = EXAMPLES / example
    ignored = GitIgnoreSpec.from_lines((folder / ".modelyardignore").read_text().splitlines())
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    files |= {"scorer"} if example == "c_server" else set()  # built by make, never committed
    assert {path for path in files if not ignored.match_file(path)} == PUSHED[example]


@pytest.mark.parametrize("example", TARGET_TYPES)
def test_metadata_says_what_the_model_predicts(example: str) -> None:
    metadata = yaml.safe_load((EXAMPLES / example / "model-metadata.yaml").read_text())
    assert metadata["type"] == "inference"
    assert metadata["targetType"] == TARGET_TYPES[example]
    assert metadata["name"]
    assert metadata["inferenceModel"]["targetName"]


def test_churn_labels_stay_words() -> None:
    """Unquoted, YAML would read yes and no as booleans."""
    model = yaml.safe_load((EXAMPLES / "churn_model/model-metadata.yaml").read_text())["inferenceModel"]
    assert (model["positiveClassLabel"], model["negativeClassLabel"]) == ("yes", "no")


@pytest.mark.parametrize("example", PINNED)
def test_pins_are_what_the_artifacts_were_trained_and_tested_with(example: str) -> None:
    lines = (EXAMPLES / example / "requirements.txt").read_text().splitlines()
    for requirement in map(Requirement, lines):
        assert str(requirement.specifier) == f"=={version(requirement.name)}"


def requirements(path: Path) -> list[Requirement]:
    return [Requirement(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]


@pytest.mark.parametrize("example", ENVIRONMENTS)
def test_pins_agree_with_the_environment_on_every_python(example: str) -> None:
    """The environment's own pins may differ by Python version; an example must agree with each of them."""
    given = requirements(BUILTIN / ENVIRONMENTS[example] / "requirements.txt")
    asked = {
        requirement.name: requirement.specifier for requirement in requirements(EXAMPLES / example / "requirements.txt")
    }
    shared = [requirement for requirement in given if requirement.name in asked]
    assert shared
    assert [str(requirement.specifier) for requirement in shared] == [str(asked[each.name]) for each in shared]


def test_scikit_learn_examples_share_one_image() -> None:
    texts = {(EXAMPLES / example / "requirements.txt").read_bytes() for example in SHARED_REQUIREMENTS}
    assert len(texts) == 1
    assert (EXAMPLES / "churn_model/requirements.txt").read_bytes().startswith(texts.pop())


@pytest.mark.parametrize("table", sorted(EXAMPLES.glob("*/training/*.csv")), ids=lambda path: path.name)
def test_tables_are_small_enough_to_ship(table: Path) -> None:
    assert table.stat().st_size < 700_000


def test_the_churn_table_is_of_a_realistic_size() -> None:
    with (EXAMPLES / "churn_model/training/churn.csv").open() as lines:
        assert sum(1 for _ in lines) > 6_000
