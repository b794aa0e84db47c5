"""Finding, listing, downloading, sharing and deleting models."""

import zipfile

from tests.cli.conftest import Terminal

PYTHON = "Python 3.11 Drop-In"


def test_what_is_named_is_found_or_told(modelyard: Terminal) -> None:
    made = modelyard.ok("model", "create", "Weather today", "-t", "regression", "--target", "rain", "--json").json
    assert modelyard.ok("model", "show", made["id"], "--json").json == made
    assert modelyard.ok("model", "show", "Weather today", "--json").json == made

    outcome = modelyard("model", "show", "weather Today")
    assert (outcome.code, outcome.out) == (3, "")
    assert outcome.err == (
        "error: there is no model with the id or name 'weather Today'\nhint: did you mean 'Weather today'?\n"
    )
    outcome = modelyard("model", "show", "zzz", "--json")
    assert outcome.error == {
        "message": "there is no model with the id or name 'zzz'",
        "code": 3,
        "hint": "modelyard model list shows what there is",
    }

    second = modelyard.ok("model", "create", "Weather today", "-t", "regression", "--target", "rain", "--json").json
    outcome = modelyard("model", "show", "Weather today")
    assert outcome.code == 2
    lines = outcome.err.splitlines()
    assert lines[0] == "error: 'Weather today' is the name of 2 models:"
    assert set(lines[1:3]) == {f"  {one['id']}  Weather today" for one in (made, second)}
    assert lines[3] == "hint: name the one you mean by its id"


def test_a_server_refusal_names_the_fields(modelyard: Terminal) -> None:
    outcome = modelyard("model", "create", "Half", "-t", "binary", "--target", "left", "--positive", "yes")
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")
    assert "error: negativeClassLabel: " in outcome.err
    error = modelyard(
        "model", "create", "Half", "-t", "binary", "--target", "left", "--positive", "yes", "--json"
    ).error
    assert error["code"] == 1
    assert "negativeClassLabel" in error["errors"]


def test_long_lists_are_read_to_their_end(modelyard: Terminal) -> None:
    for number in range(3):
        modelyard.ok("model", "create", f"Listed {number}", "-t", "unstructured")
    names = [one["name"] for one in modelyard.ok("model", "list", "--search", "Listed", "--json").json]
    assert sorted(names) == ["Listed 0", "Listed 1", "Listed 2"]
    assert len(modelyard.ok("model", "list", "--search", "Listed", "--limit", "2", "--json").json) == 2
    table = modelyard.ok("model", "list", "--search", "Listed").out.splitlines()
    assert table[0].split() == ["ID", "NAME", "TARGET", "VERSION", "DEPLOYED", "UPDATED"]
    assert len(table) == 4
    nothing = modelyard.ok("model", "list", "--search", "no such model")
    assert (nothing.out, nothing.err) == ("", "There is no model. Push one: modelyard model push DIR\n")
    assert modelyard.ok("model", "list", "--search", "no such model", "--json").json == []


def test_a_version_is_downloaded_as_it_was_pushed(modelyard: Terminal) -> None:
    folder = modelyard.a_model_folder("Download", {"data.txt": "first"})
    modelyard.ok("model", "push", folder, "--env", PYTHON)
    (folder / "data.txt").write_text("second")
    modelyard.ok("model", "push", folder)
    assert modelyard.ok("model", "download", "Download", "-o", "latest.zip").out.startswith("Saved latest.zip (")
    modelyard.ok("model", "download", "Download", "--version", "1.0", "-o", "first.zip")
    for archive, text in (("latest.zip", b"second"), ("first.zip", b"first")):
        with zipfile.ZipFile(modelyard.folder / archive) as opened:
            assert opened.read("data.txt") == text
    outcome = modelyard("model", "download", "Download", "--version", "9.9")
    assert (outcome.code, outcome.err) == (3, "error: model 'Download' has no version '9.9'\nhint: it has 1.1, 1.0\n")
    saved = modelyard.ok("model", "download", "Download", "--json").json["file"]
    assert (modelyard.folder / saved).exists()
    outcome = modelyard("model", "download", "Download")
    assert (outcome.code, outcome.err) == (
        1,
        f"error: {saved} exists already\nhint: choose another file with -o\n",
    )


def test_a_model_without_a_version_says_how_to_get_one(modelyard: Terminal) -> None:
    made = modelyard.ok("model", "create", "Empty", "-t", "unstructured", "--json").json
    outcome = modelyard("model", "build", "Empty")
    assert (outcome.code, outcome.err) == (
        3,
        f"error: model 'Empty' has no version yet\nhint: modelyard model push DIR --model {made['id']}\n",
    )


def test_deleting_asks(modelyard: Terminal) -> None:
    made = modelyard.ok("model", "create", "Short-lived", "-t", "unstructured", "--json").json
    outcome = modelyard("model", "delete", "Short-lived")
    assert (outcome.code, outcome.err) == (
        2,
        "error: this cannot be undone, and there is nobody to ask\nhint: add --yes\n",
    )
    assert modelyard.ok("model", "delete", "Short-lived", "--yes", "--json").json == {"id": made["id"], "deleted": True}
    assert modelyard("model", "show", "Short-lived").code == 3


def test_sharing_gives_and_takes(modelyard: Terminal) -> None:
    modelyard.ok("model", "create", "Shared", "-t", "unstructured")
    modelyard.ok("admin", "user", "create", "reader")
    token = modelyard.ok("admin", "token", "create", "laptop", "--user", "reader").out.strip()
    reader = Terminal(modelyard.folder, modelyard.forks, modelyard.endpoint, token)
    assert reader("model", "show", "Shared").code == 3
    assert modelyard.ok("model", "share", "Shared", "reader").out == "Shared: reader is now READ_ONLY.\n"
    reader.ok("model", "show", "Shared")
    outcome = reader("model", "delete", "Shared", "--yes")
    assert outcome.code == 4
    assert outcome.err.endswith("hint: ask an owner to share it with you, or an administrator\n")
    listed = modelyard.ok("model", "share", "Shared", "--json").json
    assert {(one["username"], one["role"]) for one in listed} == {("admin", "OWNER"), ("reader", "READ_ONLY")}
    modelyard.ok("model", "share", "Shared", "reader", "--remove")
    assert reader("model", "show", "Shared").code == 3
