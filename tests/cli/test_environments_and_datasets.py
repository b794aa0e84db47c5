"""Environments and datasets from the command line."""

from tests.cli.conftest import Terminal

ROWS = "name,height\nada,1.7\nbob,1.8\ncleo,\n"

OWN_REQUIREMENTS = "packaging>=21.0,!=21.1\n"
"""No other test asks for just this, so it is resolved here, whatever was built before."""


def test_an_environment_is_pushed_built_and_prepared(modelyard: Terminal) -> None:
    folder = modelyard.folder / "tiny"
    folder.mkdir()
    (folder / "requirements.txt").write_text(OWN_REQUIREMENTS)
    outcome = modelyard.ok("env", "push", folder)
    assert outcome.out.startswith("Built version v1 of tiny (")
    assert "Resolved " in outcome.err
    shown = modelyard.ok("env", "show", "tiny", "--json").json
    assert shown["latestVersion"]["buildStatus"] == "success"
    assert any(line.startswith("packaging==") for line in shown["latestVersion"]["libraries"])
    assert "Resolved " in modelyard.ok("env", "log", "tiny").out
    assert modelyard.ok("env", "prepare", "tiny").out == "tiny is ready: version v1 of tiny is built.\n"
    second = modelyard.ok("env", "push", folder, "--env", "tiny", "--label", "again", "--json").json
    assert (second["label"], second["buildStatus"]) == ("again", "success")
    assert modelyard.ok("env", "delete", "tiny", "--yes").out == "Deleted the environment tiny.\n"


def test_an_environment_that_cannot_be_built_says_which_line(modelyard: Terminal) -> None:
    folder = modelyard.folder / "broken"
    folder.mkdir()
    (folder / "requirements.txt").write_text("packaging\nno-such-package-anywhere==1.0\n")
    outcome = modelyard("env", "push", folder)
    assert outcome.code == 1
    assert "no-such-package-anywhere" in outcome.err.splitlines()[-1]
    assert "Line 2 of requirements.txt" in outcome.err.splitlines()[-1]
    assert "The build failed: " in modelyard.ok("env", "log", "broken").out


def test_a_part_of_a_name_is_enough_where_one_has_it(modelyard: Terminal) -> None:
    found = modelyard.ok("env", "show", "scikit", "--json").json
    assert "Scikit-Learn" in found["name"]
    outcome = modelyard("env", "show", "drop-in")
    assert outcome.code == 2
    assert outcome.err.splitlines()[0].startswith("error: 'drop-in' is the name of ")


def test_a_dataset_is_uploaded_and_shown(modelyard: Terminal) -> None:
    (modelyard.folder / "people.csv").write_text(ROWS)
    made = modelyard.ok("dataset", "upload", "people.csv", "--name", "People", "--json").json
    assert (made["rowCount"], made["columnCount"], made["processingState"]) == (3, 2, "COMPLETED")
    outcome = modelyard.ok("dataset", "upload", "people.csv", "--to", "People")
    assert outcome.out == f"Uploaded People ({made['datasetId']}): 3 rows, 2 columns.\n"
    shown = modelyard.ok("dataset", "show", "People").out.splitlines()
    assert shown[0] == "Dataset  People"
    assert "Version  2" in shown
    assert shown[-1].split() == ["height", "Numeric", "1", "2", "1.7", "1.75", "1.8"]
    columns = modelyard.ok("dataset", "show", "People", "--json").json["columns"]
    assert [column["name"] for column in columns] == ["name", "height"]
    listed = modelyard.ok("dataset", "list", "--search", "People", "--json").json
    assert [one["datasetId"] for one in listed] == [made["datasetId"]]
    modelyard.ok("dataset", "delete", "People", "--yes")
    assert modelyard("dataset", "show", "People").code == 3


def test_what_is_no_table_is_refused(modelyard: Terminal) -> None:
    (modelyard.folder / "empty.csv").write_text("")
    outcome = modelyard("dataset", "upload", "empty.csv")
    assert outcome.code == 1
    assert "empty" in outcome.err
    assert modelyard("dataset", "upload", "nowhere.csv").code == 2


def test_an_environment_asks_for_values_and_code_on_it_finds_them(modelyard: Terminal) -> None:
    made = modelyard.ok("env", "create", "asking", "--ask", "TEAM=Who pays", "--ask", "REGION", "--json").json
    assert [(key["fieldName"], key["displayName"]) for key in made["requiredMetadataKeys"]] == [
        ("TEAM", "Who pays"),
        ("REGION", "REGION"),
    ]
    context = modelyard.folder / "context"
    context.mkdir()
    (context / "start_server.sh").write_text("#!/bin/sh\nexec true\n")
    modelyard.ok("env", "push", context, "--env", "asking")
    assert "TEAM, REGION" in modelyard.ok("env", "show", "asking").out
    folder = modelyard.folder / "code"
    folder.mkdir()
    (folder / "run.sh").write_text('echo "$TEAM in $REGION"\n')
    push = ("job", "push", folder, "--job", "asked", "--env", "asking")
    refused = modelyard(*push, "--metadata", "TEAM=fruit")
    assert refused.code == 1
    assert "asks for a value of REGION (REGION)" in refused.err
    assert modelyard(*push, "--metadata", "TEAM").code == 2
    modelyard.ok(*push, "--metadata", "TEAM=fruit", "--metadata", "REGION=eu")
    assert modelyard.ok("job", "run", "asked").out == "fruit in eu\n"
    modelyard.ok("job", "update", "asked", "--metadata", "REGION=us")
    assert modelyard.ok("job", "run", "asked").out == "fruit in us\n"
    modelyard.ok("job", "push", folder, "--job", "asked", "--metadata", "TEAM=nuts")
    assert "TEAM=nuts, REGION=us" in modelyard.ok("job", "show", "asked").out

    modelyard.ok("model", "create", "asked too", "--target-type", "Unstructured")
    values = ("--metadata", "TEAM=fruit", "--metadata", "REGION=eu")
    pushed = modelyard.ok("model", "push", folder, "--model", "asked too", "--env", "asking", *values, "--json").json
    assert pushed["version"]["requiredMetadata"] == {"TEAM": "fruit", "REGION": "eu"}
    next_one = modelyard.ok("model", "push", folder, "--model", "asked too", "--metadata", "TEAM=nuts", "--json").json
    assert next_one["version"]["requiredMetadata"] == {"TEAM": "nuts", "REGION": "eu"}
