"""Credentials from the command line: secrets from files, variables, stdin and a prompt."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal


def test_a_credential_is_stored_shown_changed_and_deleted(modelyard: Terminal) -> None:
    (modelyard.folder / "password").write_text("pass-word-1\n")
    made = modelyard.ok(
        "credential", "create", "cli-db", "--type", "basic", "--field", "user=anna", "--field", "password=@password"
    )
    assert made.out.startswith("Stored the credential cli-db (")
    modelyard.variables["TOKEN"] = "token-word"
    create = ("credential", "create", "cli-token", "--type", "api_token", "--description", "for cli")
    token = modelyard.ok(*create, "--from-env", "apiToken=TOKEN", "--json").json
    assert token["credentialType"] == "apiToken"
    listed = modelyard.ok("credential", "list", "--search", "cli-", "--type", "basic", "--type", "apiToken", "--json")
    assert [one["name"] for one in listed.json] == ["cli-token", "cli-db"]
    only = modelyard.ok("credential", "list", "--search", "cli-", "--type", "basic", "--json").json
    assert [one["name"] for one in only] == ["cli-db"]
    shown = modelyard.ok("credential", "show", "cli-token").out.splitlines()
    assert shown[0] == "Credential   cli-token"
    modelyard.ok(
        "credential", "update", "cli-db", "--field", "password=@-", "--name", "cli-db-2", stdin="pass-word-2\n"
    )
    outcome = modelyard("credential", "update", "cli-db-2", "--remove-field", "password", "--json")
    assert set(outcome.error["errors"]) == {"password"}
    assert modelyard.ok("credential", "share", "cli-db-2", "--json").json[0]["role"] == "OWNER"
    for name in ("cli-db-2", "cli-token"):
        assert modelyard.ok("credential", "delete", name, "--yes").out == f"Deleted the credential {name}.\n"
    assert modelyard("credential", "show", "cli-token").code == 3


def test_what_is_wrong_is_told_without_the_secret(modelyard: Terminal) -> None:
    create = ("credential", "create", "cli-wrong", "--type", "basic", "--field", "user=anna")
    outcome = modelyard(*create)
    assert outcome.code == 1
    assert "password: is required for basic credentials" in outcome.err
    for arguments in (
        ("--field", "top-secret"),
        ("--field", "password=@nowhere"),
        ("--from-env", "password=NOT_THERE"),
        ("--ask", "password"),
    ):
        outcome = modelyard(*create, *arguments)
        assert outcome.code == 2, arguments
        assert "top-secret" not in outcome.err
    assert modelyard("credential", "update", "cli-wrong").code == 2


def test_help_says_how_to_keep_secrets_out_of_ps(modelyard: Terminal) -> None:
    assert "sees it in ps" in " ".join(modelyard.ok("credential", "create", "--help").out.split())


@pytest.mark.timeout(60)
def test_missing_fields_are_asked_for_without_echo(modelyard: Terminal) -> None:
    ours, theirs = pty.openpty()
    program = Path(sys.executable).with_name("modelyard")
    process = subprocess.Popen(
        [program, "credential", "create", "cli-asked", "--type", "basic", "--field", "user=anna"],
        env=modelyard.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    seen, deadline = "", time.monotonic() + 40
    answered = False
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                seen += os.read(ours, 4096).decode()
            except OSError:  # its end is closed
                break
        if not answered and "password: " in seen:
            os.write(ours, b"typed-word\n")
            answered = True
    assert process.wait(20) == 0, seen
    os.close(ours)
    assert "Stored the credential cli-asked" in seen
    assert "typed-word" not in seen
    modelyard.ok("credential", "delete", "cli-asked", "--yes")
