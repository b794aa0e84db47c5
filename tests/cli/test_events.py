"""Events by the command line alone."""

from tests.cli.conftest import Terminal
from tests.cli.test_checks import PYTHON


def test_events_of_a_deployment(modelyard: Terminal) -> None:
    modelyard.ok("model", "push", modelyard.a_model_folder("Told"), "--env", PYTHON)
    modelyard.ok("deploy", "Told")
    (told,) = modelyard.ok("events", "-d", "Told").out.splitlines()[1:]
    assert told.split(maxsplit=2)[2] == "deploymentCreated  Told is active."
    found = modelyard.ok("events", "-d", "Told", "--type", "deploymentCreated", "--json").json
    assert [one["deploymentLabel"] for one in found] == ["Told"]
    outcome = modelyard.ok("events", "-d", "Told", "--type", "runFailed", "--type", "deploymentErrored")
    assert (outcome.out, outcome.err) == ("", "Nothing happened.\n")
    assert modelyard("events", "-d", "Untold").code == 3
    modelyard.ok("deployment", "delete", "Told", "--yes")
