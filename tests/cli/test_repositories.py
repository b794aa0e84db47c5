"""Remote repositories and pulls from the command line."""

from tests.cli.conftest import Terminal


def test_a_repository_is_named_shown_changed_and_deleted(modelyard: Terminal) -> None:
    made = modelyard.ok("repository", "create", "cli-code", "https://github.com/team/churn", "--json").json
    assert made["sourceType"] == "github"
    assert modelyard.ok("repository", "list", "--search", "cli-", "--json").json == [made]
    assert modelyard.ok("repository", "show", "cli-code").out.splitlines()[0] == "Repository   cli-code"
    changed = modelyard.ok("repository", "update", "cli-code", "--location", "git@github.com:a/b.git", "--json").json
    assert changed["location"] == "git@github.com:a/b.git"
    modelyard.ok("repository", "update", "cli-code", "--no-credential", "--name", "cli-code-2")
    assert modelyard("repository", "update", "cli-code-2").code == 2
    assert modelyard.ok("repository", "delete", "cli-code-2", "--yes").out == "Deleted the repository cli-code-2.\n"
    assert modelyard("repository", "show", "cli-code-2").code == 3


def test_what_cannot_be_pulled_says_why(modelyard: Terminal) -> None:
    outcome = modelyard("repository", "create", "cli-wrong", "https://localhost/x.git")
    assert outcome.code == 1
    assert "The host localhost is private" in outcome.err
    modelyard.ok("repository", "create", "cli-gone", "https://gone.invalid/x.git", "--type", "git")
    modelyard.ok("model", "create", "cli-pulled", "--target-type", "unstructured")
    words = ("model", "pull", "cli-pulled", "--repository", "cli-gone")
    told = modelyard(*words, "--env", "Python 3.11 Drop-In")
    assert told.code == 1
    assert "gone.invalid cannot be found" in told.err
    waiting = modelyard.ok(*words, "--env", "Python 3.11 Drop-In", "--path", "a", "--keep", "--no-wait", "--json")
    assert list(waiting.json) == ["statusId"]
