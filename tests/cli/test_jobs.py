"""``modelyard job``: from a folder to a run, its log, its end and what it left."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.cli.errors import CommandError
from modelyard.cli.job_artifacts import place_in
from modelyard.cli.server_events import read_events
from tests.cli.conftest import Terminal
from tests.conftest import ADMIN_TOKEN
from tests.servers import Server, a_server
from tests.waiting import wait_until

PYTHON = "Python 3.11 Drop-In"


def a_job_folder(terminal: Terminal, name: str, script: str, files: dict[str, str] | None = None) -> Path:
    """A folder with a job that runs a shell script."""
    folder = terminal.folder / name.replace(" ", "_")
    folder.mkdir()
    (folder / "metadata.yaml").write_text(f"name: {name}\n")
    (folder / "run.sh").write_text(script)
    for path, text in (files or {}).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def a_job(terminal: Terminal, name: str, script: str, files: dict[str, str] | None = None) -> str:
    """The id of a pushed job."""
    folder = a_job_folder(terminal, name, script, files)
    return str(terminal.ok("job", "push", folder, "--env", PYTHON, "--json").json["job"]["id"])


def the_run(terminal: Terminal, job: str) -> dict[str, object]:
    found: dict[str, object] = terminal.ok("job", "runs", job, "--json").json[0]
    return found


def begun(terminal: Terminal, *arguments: str) -> "subprocess.Popen[str]":
    """A command that goes on beside the test."""
    return subprocess.Popen(
        [Path(sys.executable).with_name("modelyard"), *arguments],
        env=terminal.environment() | {"PYTHONUNBUFFERED": "1"},
        cwd=terminal.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


PARAMETERS = """
name: Parameters
description: Says hello.
jobType: notification
runtimeParameterDefinitions:
  - {fieldName: GREETING, type: string, defaultValue: Hello}
  - {fieldName: TIMES, type: numeric, defaultValue: 2, minValue: 1, maxValue: 5}
  - {fieldName: LOUD, type: boolean, defaultValue: false}
  - {fieldName: TO, type: string, allowEmpty: false}
"""


def test_a_push_makes_the_job_and_sends_only_what_changed(modelyard: Terminal) -> None:
    files = {"old.txt": "gone soon\n", "notes/skip.tmp": "", ".modelyardignore": "*.tmp\n"}
    folder = a_job_folder(modelyard, "First job", "echo one\n", files)
    refused = modelyard("job", "push", folder)
    assert refused.code == 2
    assert refused.err.startswith("error: a new job needs an environment\nhint: push with --env")
    outcome = modelyard.ok("job", "push", folder, "--env", PYTHON)
    lines = outcome.out.splitlines()
    assert lines[:5] == [
        "  + .modelyardignore",
        "  + metadata.yaml",
        "  + old.txt",
        "  + run.sh",
        "Sent 4 files (41 B); 0 unchanged.",
    ]
    assert lines[5].startswith("Made the job First job (")
    assert outcome.err.startswith("next: modelyard job run ")

    assert modelyard.ok("job", "push", folder).out == "Nothing changed: First job has these files.\n"
    assert modelyard.ok("job", "push", folder, "--json").json["changed"] is False

    (folder / "old.txt").unlink()
    (folder / "run.sh").write_text("echo two\n")
    (folder / "main.py").write_text("print('python')\n")
    changed = modelyard.ok("job", "push", folder, "--json").json
    assert (changed["isNewJob"], changed["changed"]) == (False, True)
    assert (changed["added"], changed["replaced"], changed["removed"]) == (["main.py"], ["run.sh"], ["old.txt"])
    assert modelyard.ok("job", "run", "First job").out == "two\n"

    turned = modelyard.ok("job", "push", folder, "--entry-point", "main.py", "--json").json
    assert (turned["changed"], turned["added"]) == (True, [])
    assert modelyard.ok("job", "run", "First job").out == "python\n"
    assert modelyard.ok("job", "push", folder, "--entry-point", "main.py").out.startswith("Nothing changed")
    outcome = modelyard("job", "push", folder, "--entry-point", "mainn.py")
    assert outcome.code == 2
    assert outcome.err == "error: no file 'mainn.py' to run is among the job's files\nhint: did you mean main.py?\n"

    moved = modelyard.ok("job", "push", folder, "--env", "onnx", "--json").json
    assert moved["changed"] is True
    assert moved["job"]["environmentId"] != changed["job"]["environmentId"]


def test_metadata_describes_the_job_and_its_parameters(modelyard: Terminal) -> None:
    folder = a_job_folder(modelyard, "Parameters", 'echo "$GREETING $TO $TIMES $LOUD"\n', {"metadata.yaml": PARAMETERS})
    job = modelyard.ok("job", "push", folder, "--env", PYTHON, "--json").json["job"]
    assert (job["description"], job["jobType"]) == ("Says hello.", "notification")
    shown = modelyard.ok("job", "show", "Parameters").out
    assert "Entry point      run.sh\n" in shown
    assert 'GREETING (string) = "Hello", TIMES (numeric) = 2, LOUD (boolean) = false, TO (string)' in shown

    outcome = modelyard("job", "run", "Parameters")
    assert outcome.code == 1
    assert "error: runtimeParameterValues: TO must be set" in outcome.err
    run = modelyard.ok(
        "job", "run", "Parameters", "-p", "TO=you=me", "-p", "TIMES=2.5", "-p", "LOUD=True", "--json"
    ).json
    values = {each["fieldName"]: each.get("overrideValue") for each in run["runtimeParameters"]}
    assert values == {"GREETING": None, "TIMES": 2.5, "LOUD": True, "TO": "you=me"}
    assert modelyard.ok("job", "logs", "Parameters").out == "Hello you=me 2.5 true\n"

    for option, told in {
        "TIMES=many": "TIMES is a number, not 'many'",
        "LOUD=yes": "LOUD is true or false, not 'yes'",
        "TO": "--param TO: write it as NAME=VALUE",
        "GREETNG=Hi": "Parameters has no parameter 'GREETNG'\nhint: did you mean GREETING?",
    }.items():
        outcome = modelyard("job", "run", "Parameters", "--param", option)
        assert (outcome.code, outcome.err) == (2, f"error: {told}\n")
    outcome = modelyard("job", "run", "Parameters", "--param", "TO=you", "--param", "TIMES=6")
    assert outcome.code == 1
    assert "TIMES: the value 6 is above maxValue 5" in outcome.err
    assert modelyard.ok("job", "show", "Parameters", "--json").json["runCount"] == 1


def test_credentials_and_deployments_are_named_by_name(modelyard: Terminal) -> None:
    metadata = """
name: Connected
runtimeParameterDefinitions:
  - {fieldName: LOGIN, type: credential, credentialType: basic}
  - {fieldName: DEPLOYMENT, type: deployment}
"""
    (modelyard.folder / "password.txt").write_text("correct-horse-battery")
    fields = ("--field", "user=anna", "--field", "password=@password.txt")
    modelyard.ok("credential", "create", "job login", "--type", "basic", *fields)
    job = a_job(modelyard, "Connected", 'echo "$LOGIN_USER $LOGIN_PASSWORD"\n', {"metadata.yaml": metadata})
    outcome = modelyard.ok("job", "run", job, "--param", "LOGIN=job login")
    assert outcome.out.startswith("anna ***")
    assert "horse" not in outcome.out
    outcome = modelyard("job", "run", job, "--param", "LOGIN=no such login")
    assert (outcome.code, outcome.out) == (3, "")
    outcome = modelyard("job", "run", job, "--param", "DEPLOYMENT=no such deployment")
    assert (outcome.code, outcome.out) == (3, "")


def test_settings_are_made_and_changed(modelyard: Terminal) -> None:
    made = modelyard.ok(
        *("job", "create", "Set up", "--env", PYTHON, "--type", "retraining", "--network", "public"),
        *("--timeout", "60", "--retries", "2", "--json"),
    ).json
    assert (made["jobType"], made["timeoutSeconds"], made["maxRetries"]) == ("retraining", 60, 2)
    assert made["resources"] == {"egressNetworkPolicy": "public", "resourceBundleId": None}
    folder = a_job_folder(modelyard, "Set up", "true\n", {"metadata.yaml": PARAMETERS, "other.sh": "echo other\n"})
    modelyard.ok("job", "push", folder, "--job", made["id"])

    options = ("--timeout", "0", "--bundle", "cpu.small", "--param", "TO=all", "--entry-point", "other.sh")
    changed = modelyard.ok("job", "update", "Set up", *options, "--json").json
    assert (changed["timeoutSeconds"], changed["maxRetries"]) == (None, 2)
    assert changed["resources"] == {"egressNetworkPolicy": "public", "resourceBundleId": "cpu.small"}
    assert modelyard.ok("job", "run", "Set up").out == "other\n"
    modelyard.ok("job", "update", "Set up", "--clear", "TO", "--name", "Renamed")
    assert "TO must be set" in modelyard("job", "run", "Renamed").err

    assert modelyard("job", "update", "Renamed").code == 2
    outcome = modelyard("job", "update", "Renamed", "--bundle", "cpu.none", "--json")
    assert (outcome.code, list(outcome.error["errors"])) == (1, ["resources.resourceBundleId"])
    assert modelyard("job", "create", "Wrong", "--type", "nothing").code == 2


def test_a_run_ends_the_command_as_it_ended(modelyard: Terminal) -> None:
    job = a_job(modelyard, "Ending", "echo begins; echo wrong >&2; exit 7\n")
    outcome = modelyard("job", "run", job)
    assert outcome.code == 7
    assert outcome.out == "begins\nwrong\n"
    lines = outcome.err.splitlines()
    assert lines[0].endswith(" of Ending")
    assert lines[1] == "error: the run failed: exit code 7"
    assert lines[2].startswith("hint: its log: modelyard job logs ")
    told = modelyard("job", "run", job, "--json")
    assert (told.code, told.json["status"], told.json["exitCode"], told.error["code"]) == (7, "failed", 7, 7)

    slow = a_job(modelyard, "Too slow", "echo begins; sleep 60\n")
    modelyard.ok("job", "update", slow, "--timeout", "1")
    outcome = modelyard("job", "run", slow)
    assert (outcome.code, outcome.out.splitlines()[0]) == (124, "begins")
    assert "error: the run was interrupted: time limit" in outcome.err

    killed = a_job(modelyard, "Killed", "kill -9 $$\n")
    assert modelyard("job", "run", killed).code == 137


def test_a_run_that_is_not_waited_for(modelyard: Terminal, server: Server) -> None:
    job = a_job(modelyard, "Detached", "echo begins; sleep 60; echo never\n")
    outcome = modelyard("job", "logs", job)
    assert (outcome.code, outcome.err.splitlines()[0]) == (3, "error: Detached has not run yet")
    run = modelyard.ok("job", "run", job, "--no-wait", "--description", "by hand", "--json").json
    assert (run["status"], run["description"]) == ("running", "by hand")
    wait_until(lambda: modelyard.ok("job", "logs", job).out == "begins\n", 60, "the first line")
    assert "running (executing)" in modelyard.ok("job", "runs", job).out
    assert [one["id"] for one in modelyard.ok("job", "list", "--running", "--json").json] == [job]
    listed = modelyard.ok("ps", "--data-dir", server.data_dir, "--json").json
    assert [one["role"] for one in listed if f"run={run['id']}" in one["what"]] == ["workload"]

    refused = modelyard("job", "delete", job, "--yes")
    assert (refused.code, refused.err.splitlines()[-1]) == (1, f"hint: modelyard job cancel {job}")
    assert modelyard.ok("job", "cancel", job).out == f"Run {run['id']} of Detached is canceled.\n"
    again = modelyard("job", "cancel", job)
    assert again.code == 1
    assert "has ended (canceled)" in again.err
    assert modelyard.ok("job", "runs", job, "--json").json[0]["status"] == "canceled"


def test_a_canceled_run_ends_the_command_that_waits(modelyard: Terminal) -> None:
    job = a_job(modelyard, "Canceled", "echo begins; sleep 60\n")
    with begun(modelyard, "job", "run", job) as waiting:
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "begins\n"
        modelyard.ok("job", "cancel", job)
        assert waiting.wait(30) == 125


def test_ctrl_c_leaves_the_run_alone(modelyard: Terminal) -> None:
    job = a_job(modelyard, "Left alone", "echo begins; sleep 3; echo ends\n")
    with begun(modelyard, "job", "run", job) as waiting:
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        assert waiting.stdout.readline() == "begins\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(30) == 130
        run = the_run(modelyard, job)
        told = waiting.stderr.read()
    ways = f"Follow it: modelyard job logs {job} {run['id']} -f; cancel it: modelyard job cancel {job} {run['id']}\n"
    assert told.endswith(f"Stopped waiting; the run goes on. {ways}")
    assert modelyard.ok("job", "logs", job, "-f").out == "begins\nends\n"
    assert the_run(modelyard, job)["status"] == "succeeded"


COUNTING = """
import sys, time
for number in range(120):
    print(f"line {number}", "same" if number % 3 else "", flush=number % 10 == 0)
    time.sleep(0.05)
"""


def test_a_log_is_followed_across_a_death_of_the_api(modelyard: Terminal, server: Server) -> None:
    job = a_job(modelyard, "Long", "exec python main.py\n", {"main.py": COUNTING})
    with begun(modelyard, "job", "logs", job, "-f") as early:
        assert early.wait(30) == 3  # there is no run yet
    with begun(modelyard, "job", "run", job) as waiting:
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        first = waiting.stdout.readline()
        server.kill("api")
        rest = waiting.stdout.read()
        told = waiting.stderr.read()
        assert waiting.wait(60) == 0, told
    assert (first + rest).splitlines() == modelyard.ok("job", "logs", job).out.splitlines()
    assert len((first + rest).splitlines()) == 120
    assert told.count("[the connection broke; trying again]") == 1
    assert told.splitlines()[-1].startswith("Succeeded in ")


def test_a_log_is_shown_in_part_with_times_and_as_json(modelyard: Terminal) -> None:
    job = a_job(modelyard, "Logged", "for i in 1 2 3; do echo line $i; done; printf '50%%\\r100%%\\n'\n")
    whole = "line 1\nline 2\nline 3\n50%\r100%\n"
    read = whole.replace("\r", "\n")  # as a text stream reads it
    assert modelyard.ok("job", "run", job).out == read
    run = str(the_run(modelyard, job)["id"])
    assert modelyard.ok("job", "logs", job, run).out == read
    assert modelyard.ok("job", "logs", job, "--json").json == {"log": whole}
    assert modelyard.ok("job", "logs", job, "--tail", "2").out == "line 3\n50%\n100%\n"
    assert modelyard.ok("job", "logs", job, "--tail", "2", "-f").out == "line 3\n50%\n100%\n"
    stamped = modelyard.ok("job", "logs", job, "--timestamps").out
    assert modelyard.ok("job", "logs", job, "--timestamps", "-f").out == stamped
    assert [line.partition("Z ")[2] for line in stamped.split("\n")[:3]] == ["line 1", "line 2", "line 3"]
    lines = [json.loads(line) for line in modelyard.ok("job", "logs", job, "-f", "--json").out.split("\n")[:-1]]
    assert [line["text"] for line in lines] == ["line 1", "line 2", "line 3", "50%\r100%"]
    assert all(line["time"].endswith("Z") for line in lines)
    outcome = modelyard("job", "logs", job, "0123456789abcdef01234567")
    assert (outcome.code, outcome.out) == (3, "")


def test_what_a_run_waits_for_is_told(tmp_path: Path, shared_images: dict[str, Path], forks: Path) -> None:
    with a_server(tmp_path / "data", max_custom_job_runs=1, **shared_images) as crowded:
        modelyard = Terminal(tmp_path, forks, crowded.url, ADMIN_TOKEN)
        first = a_job(modelyard, "In the way", "sleep 60\n")
        second = a_job(modelyard, "In line", "echo at last\n")
        modelyard.ok("job", "run", first, "--no-wait")
        with begun(modelyard, "job", "run", second) as waiting:
            assert waiting.stdout is not None
            assert waiting.stderr is not None
            told = [waiting.stderr.readline() for _ in range(2)]
            assert told[1] == "Waiting for a free place; 0 other runs wait longer\n"
            modelyard.ok("job", "cancel", first)
            assert waiting.stdout.read() == "at last\n"
            assert waiting.wait(30) == 0


def test_places_outside_the_folder_are_refused(tmp_path: Path) -> None:
    assert place_in(tmp_path, "a/b.txt") == tmp_path / "a" / "b.txt"
    for path in ("../b.txt", "a/../../b.txt", "/etc/passwd", "a\\b.txt", "", ".", "a\0b"):
        with pytest.raises(CommandError, match="would not be a file inside"):
            place_in(tmp_path, path)


def test_events_are_read_however_they_are_cut() -> None:
    stream = ": hello\n\ndata: one\u2028two\n\ndata:  a\ndata: b\n\nevent: end\ndata: {}\n\ndata: cut off".encode()
    expected = [("message", "one\u2028two"), ("message", " a\nb"), ("end", "{}")]
    for size in (1, 7, len(stream)):
        chunks = (stream[start : start + size] for start in range(0, len(stream), size))
        assert list(read_events(chunks)) == expected


def test_artifacts_are_listed_and_saved(modelyard: Terminal) -> None:
    script = 'mkdir "$MODELYARD_OUTPUT_DIR/deep"; echo deep > "$MODELYARD_OUTPUT_DIR/deep/b.txt"; '
    job = a_job(modelyard, "Leaving", script + 'printf top > "$MODELYARD_OUTPUT_DIR/a.txt"\n')
    outcome = modelyard.ok("job", "run", job)
    assert outcome.err.splitlines()[-1].endswith(f" s and left 2 files: modelyard job artifacts {job}")
    listed = modelyard.ok("job", "artifacts", job, "--json").json
    assert [(one["filePath"], one["sizeBytes"]) for one in listed] == [("a.txt", 3), ("deep/b.txt", 5)]
    assert modelyard.ok("job", "artifacts", job).out.splitlines()[0].split() == ["PATH", "SIZE", "ID"]

    saved = modelyard.ok("job", "artifacts", job, "--download", "kept/here")
    assert saved.out.splitlines()[-1] == "Saved 2 files in kept/here."
    assert (modelyard.folder / "kept/here/a.txt").read_text() == "top"
    assert (modelyard.folder / "kept/here/deep/b.txt").read_text() == "deep\n"

    elsewhere = modelyard.folder / "elsewhere"
    elsewhere.mkdir()
    (modelyard.folder / "trap").mkdir()
    (modelyard.folder / "trap" / "deep").symlink_to(elsewhere)
    outcome = modelyard("job", "artifacts", job, "--download", "trap")
    assert outcome.code == 1
    assert outcome.err == "error: 'deep/b.txt' would not be a file inside trap; nothing was saved\n"
    assert sorted(path.name for path in (modelyard.folder / "trap").iterdir()) == ["deep"]
    assert list(elsewhere.iterdir()) == []


def test_deleted_jobs_are_listed_and_erased(modelyard: Terminal) -> None:
    job = a_job(modelyard, "Going", "true\n")
    modelyard.ok("job", "run", job)
    outcome = modelyard("job", "cleanup", "Going", "--yes")
    assert outcome.code == 3
    assert outcome.err.startswith("error: no deleted job has the id or name 'Going'\nhint: ")
    assert modelyard("job", "delete", "Going").code == 2  # there is nobody to ask
    assert modelyard.ok("job", "delete", "Going", "--yes").out.startswith("Deleted the job Going. ")
    assert modelyard("job", "show", "Going").code == 3
    assert job in [one["id"] for one in modelyard.ok("job", "list", "--deleted", "--json").json]
    assert modelyard("job", "cleanup", job).code == 2
    assert modelyard.ok("job", "cleanup", "Going", "--yes", "--json").json == {"id": job, "erased": True}
    assert job not in [one["id"] for one in modelyard.ok("job", "list", "--deleted", "--json").json]
    assert modelyard("job", "cleanup", job, "--yes").code == 3


def test_jobs_are_listed_by_type_and_name(modelyard: Terminal) -> None:
    for name, kind in {"Listed a": "default", "Listed b": "notification", "Listed c": "retraining"}.items():
        modelyard.ok("job", "create", name, "--type", kind)
    by_type = ("--type", "notification", "--type", "retraining")
    found = modelyard.ok("job", "list", "--search", "listed", *by_type, "--json").json
    assert [one["name"] for one in found] == ["Listed c", "Listed b"]
    assert len(modelyard.ok("job", "list", "--search", "Listed", "--limit", "1", "--json").json) == 1
    nothing = modelyard.ok("job", "list", "--search", "no such job")
    assert (nothing.out, nothing.err) == ("", "There is no job. Push one: modelyard job push DIR\n")
    assert modelyard("job", "run", "Listed a").code == 1  # it has neither files nor an environment
    assert modelyard("job", "run", "nowhere").code == 3


def test_a_job_is_shared_with_users_and_groups(modelyard: Terminal) -> None:
    modelyard.ok("job", "create", "Shared")
    modelyard.ok("admin", "user", "create", "heidi", "--email", "heidi@example.com")
    modelyard.ok("admin", "group", "create", "operators")
    assert modelyard.ok("job", "share", "Shared", "heidi", "--role", "editor").out == "Shared: heidi is now EDITOR.\n"
    modelyard.ok("job", "share", "Shared", "operators", "--with", "group", "--role", "consumer")
    roles = modelyard.ok("job", "share", "Shared", "--json").json
    assert [(one["name"], one["shareRecipientType"], one["role"]) for one in roles] == [
        ("admin", "user", "OWNER"),
        ("heidi", "user", "EDITOR"),
        ("operators", "group", "CONSUMER"),
    ]
    modelyard.ok("job", "share", "Shared", "heidi", "--remove")
    assert len(modelyard.ok("job", "share", "Shared", "--json").json) == 2
    assert modelyard("job", "share", "Shared", "nobody at all").code == 1
    assert modelyard("job", "share", "Shared", "admin", "--remove").code == 1  # the last owner


def test_what_cannot_be_pushed_is_told(modelyard: Terminal) -> None:
    folder = a_job_folder(modelyard, "Refused job", "true\n", {"metadata.yaml": "description: nameless\n"})
    outcome = modelyard("job", "push", folder, "--env", PYTHON)
    assert (outcome.code, outcome.err.splitlines()[0]) == (2, "error: the new job has no name")
    (folder / "metadata.yaml").write_text("name: Refused job\nruntimeParameterDefinitions: [{fieldName: A}]\n")
    outcome = modelyard("job", "push", folder, "--env", PYTHON, "--json")
    assert (outcome.code, list(outcome.error["errors"])) == (1, ["file"])
    (folder / "metadata.yaml").write_text("name: Refused job\njobType: guessing\n")
    outcome = modelyard("job", "push", folder, "--env", PYTHON, "--json")
    assert (outcome.code, list(outcome.error["errors"])) == (1, ["jobType"])
    (folder / "metadata.yaml").write_text("name: [\n")
    assert modelyard("job", "push", folder, "--env", PYTHON).err.startswith(f"error: {folder}/metadata.yaml, line 2")
    assert modelyard("job", "show", "Refused job").code == 3


def test_a_notification_job_is_made_from_a_template_and_listens(modelyard: Terminal) -> None:
    wanted = ["--template", "[Modelyard] Tell a webhook", "--on", "runFailed", "--on", "deploymentErrored"]
    made = modelyard.ok("job", "create", "Teller", *wanted, "--json").json
    assert (made["name"], made["jobType"]) == ("Teller", "notification")
    assert made["subscription"]["eventTypes"] == ["runFailed", "deploymentErrored"]
    assert "runFailed, deploymentErrored" in modelyard.ok("job", "show", "Teller").out
    modelyard.ok("job", "update", "Teller", "--on", "deploymentReplaced")
    assert modelyard.ok("job", "show", "Teller", "--json").json["subscription"]["eventTypes"] == ["deploymentReplaced"]
    modelyard.ok("job", "update", "Teller", "--on", "all")
    assert modelyard.ok("job", "show", "Teller", "--json").json["subscription"]["eventTypes"] is None
    assert "every event" in modelyard.ok("job", "show", "Teller").out
    modelyard.ok("job", "update", "Teller", "--on-deployment", "all")
    refused = modelyard("job", "create", "Deaf", "--on", "runFailed")
    assert refused.code == 1
    assert "notification" in refused.err
    assert modelyard("job", "create", "Deaf", "--on", "nothing").code == 2
    modelyard.ok("job", "delete", "Teller", "--yes")
