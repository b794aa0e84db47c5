"""Templates from the command line."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

DEFINITION = """name: {name}
description: Scores every night.
templateType: customJob
category: Scoring
publisher: Us
tags: [night, 7]
environment: scikit
resourceBundleId: cpu.small
"""


@pytest.fixture
def folder(modelyard: Terminal) -> Path:
    """A folder with a template, with something in it that is left out."""
    folder = modelyard.folder / "nightly"
    (folder / "lib").mkdir(parents=True)
    (folder / "main.py").write_text("print('hi')\n")
    (folder / "lib" / "text.py").write_text("TEXT = 'hi'\n")
    (folder / "README.md").write_text("# Nightly\n")
    (folder / "old.pyc").write_bytes(b"\0")
    return folder


def test_a_folder_becomes_a_template(modelyard: Terminal, folder: Path) -> None:
    (folder / "template.yaml").write_text(DEFINITION.format(name="Nightly"))
    made = modelyard.ok("template", "create", folder, "--json").json
    assert (made["templateType"], made["templateSubType"]) == ("customJob", "default")
    assert made["defaultResourceBundleId"] == "cpu.small"
    metadata = made["templateMetadata"]
    assert (metadata["tags"], metadata["category"], metadata["publisher"]) == (["night", "7"], "Scoring", "Us")
    assert metadata["readme"] == "# Nightly\n"
    assert [item["name"] for item in made["items"]] == ["README.md", "lib/text.py", "main.py"]
    shown = modelyard.ok("template", "show", "Nightly").out
    assert shown.splitlines()[0].split() == ["Template", "Nightly"]
    assert "main.py" in shown
    assert modelyard.ok("template", "show", "Nightly", "--file", "main.py").out == "print('hi')\n"
    listed = modelyard.ok("template", "list", "--tag", "night", "--json").json
    assert [one["id"] for one in listed] == [made["id"]]
    assert modelyard.ok("template", "delete", made["id"], "--yes").out == "Deleted the template Nightly.\n"
    assert modelyard("template", "show", made["id"]).code == 3


def test_options_go_before_the_file(modelyard: Terminal, folder: Path) -> None:
    (folder / "template.yaml").write_text(DEFINITION.format(name="Nightly"))
    outcome = modelyard.ok(
        *("template", "create", folder, "--name", "Alerts", "--sub-type", "notification", "--env", "scikit"),
        *("--description", "Tells.", "--bundle", "cpu.nano", "--tag", "alert", "--category", "Alerts"),
    )
    assert outcome.out.startswith("Made the template Alerts (")
    shown = modelyard.ok("template", "show", "Alerts", "--json").json
    assert (shown["description"], shown["templateSubType"]) == ("Tells.", "notification")
    assert (shown["defaultResourceBundleId"], shown["templateMetadata"]["tags"]) == ("cpu.nano", ["alert"])
    modelyard.ok("template", "delete", "Alerts", "--yes")


def test_a_folder_laid_out_as_those_that_ship(modelyard: Terminal, folder: Path) -> None:
    """Only what is below ``files/`` is in it then."""
    (folder / "files").mkdir()
    (folder / "files" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "template.yaml").write_text(DEFINITION.format(name="Shell"))
    made = modelyard.ok("template", "create", folder, "--json").json
    assert [item["name"] for item in made["items"]] == ["run.sh"]
    modelyard.ok("template", "delete", made["id"], "--yes")


def test_the_gallery_is_listed(modelyard: Terminal) -> None:
    listed = modelyard.ok("template", "list", "--search", "hello").out
    assert "[Modelyard] Hello" in listed
    refused = modelyard("template", "delete", "[Modelyard] Hello", "--yes")
    assert (refused.code, "ships with Modelyard" in refused.err) == (4, True)


def test_what_is_missing_is_named(modelyard: Terminal, folder: Path) -> None:
    outcome = modelyard("template", "create", folder, "--json")
    assert outcome.code == 2
    message = json.loads(outcome.err)
    assert "no environment" in str(message)
    (folder / "template.yaml").write_text("name: [")
    broken = modelyard("template", "create", folder)
    assert (broken.code, "template.yaml, line 1" in broken.err) == (1, True)
    (folder / "template.yaml").write_text("- a\n")
    assert modelyard("template", "create", folder).code == 1
    (folder / "template.yaml").write_text("tags: 7\nenvironment: scikit\ntemplateType: customThing\n")
    refused = modelyard("template", "create", folder)
    assert (refused.code, "templateType" in refused.err, "templateMetadata.tags" in refused.err) == (1, True, True)
    assert modelyard("template", "show", "Nowhere").code == 3
    assert modelyard("template", "create", folder / "nothing").code == 2
