"""Proposing, accepting and withdrawing challengers by the command line."""

from tests.cli.conftest import Terminal
from tests.cli.test_checks import DOUBLES, METADATA, PYTHON


def test_a_challenger_is_proposed_and_accepted(modelyard: Terminal) -> None:
    files = {"custom.py": DOUBLES, "model-metadata.yaml": METADATA.format(name="Champion of two")}
    folder = modelyard.a_model_folder("Champion of two", files)
    modelyard.ok("model", "push", folder, "--env", PYTHON)
    modelyard.ok("deploy", "Champion of two", "--label", "contest")
    (folder / "custom.py").write_text(DOUBLES.replace("* 2", "* 3"))
    modelyard.ok("model", "push", folder)
    package = modelyard.ok("registry", "register", "Champion of two", "--json").json

    outcome = modelyard("deployment", "challenge", "contest", package["name"])
    assert outcome.code == 1
    assert "disabled" in outcome.err
    assert outcome.err.rstrip().endswith(" --enable")
    assert "--enable" in modelyard.ok("deployment", "challengers", "contest").err
    (champion,) = modelyard.ok("deployment", "challengers", "contest", "--enable", "--json").json
    assert (champion["isChampion"], champion["model"]["versionLabel"]) == (True, "1.0")

    told = modelyard.ok("deployment", "challenge", "contest", package["name"], "--name", "triples").out
    assert told.startswith("triples challenges contest. To accept it: modelyard deployment replace ")
    listed = modelyard.ok("deployment", "challengers", "contest").out.splitlines()
    assert [line.split()[1] for line in listed] == ["NAME", "Champion", "triples"]
    assert modelyard.ok("deployment", "withdraw", "contest", "triples").out == "triples no longer challenges contest.\n"
    assert modelyard("deployment", "withdraw", "contest", "triples").code == 3
    made = modelyard.ok("deployment", "challenge", "contest", package["id"], "--json").json
    assert (made["name"], made["modelPackage"]["id"]) == (package["name"], package["id"])

    assert modelyard("deployment", "replace", "contest").code == 2
    assert modelyard("deployment", "replace", "contest", "Champion of two", "--challenger", made["id"]).code == 2
    assert modelyard("deployment", "replace", "contest", "--challenger", "nobody").code == 3
    replaced = modelyard.ok("deployment", "replace", "contest", "--challenger", made["name"])
    assert replaced.out == "contest answers with Champion of two 2.0.\n"
    assert modelyard.ok("predict", "-", "-d", "contest", stdin="x\n2\n").out.splitlines()[1:] == ["6.0"]
    (left,) = modelyard.ok("deployment", "challengers", "contest", "--json").json
    assert (left["isChampion"], left["model"]["versionLabel"]) == (True, "2.0")
    modelyard.ok("deployment", "delete", "contest", "--yes")
