"""What the program says about itself, and how fast."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal

HELP = """\
Usage: modelyard [OPTIONS] COMMAND [ARGS]...

  Push a folder with a model; get live predictions.

  Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not allowed.

Options:
  --version             Print the version.
  --install-completion  Install completion for the current shell.
  --show-completion     Show completion for the current shell, to copy it or
                        customize the installation.
  -h, --help            Show this message and exit.

From a folder to predictions:
  env         Execution environments: what models run in.
  dataset     Datasets: tables to test and score with.
  model       Custom models: push, build, test and share them.
  task        Custom tasks: code that fits and transforms, to train with.
  project     Projects: train chains of tasks, compare and deploy.
  credential  Credentials: what code needs for other systems.
  repository  Remote repositories: Git and S3 to pull files from.
  registry    Registered models and their versions.
  deploy      Deploy a model and wait until it answers.
  deployment  Deployments: look at, replace, stop and start them.
  metric      Custom metrics: measure a deployment your own way.
  predict     Score a file with a deployment.
  events      What happened to your deployments and jobs.
  template    Templates: files to make jobs and applications from.
  status      What the server is doing for you.

Automation:
  job         Custom jobs: push and run them, with logs and outputs.

Account:
  login       Remember a server and your token for it.
  whoami      Who you are, and on which server.
  logout      Forget the server and the token.
  admin       Users, groups, organizations and API tokens.

Server:
  up          Run everything on this machine.
  api         Run the REST API alone.
  gateway     Run the prediction gateway alone.
  controller  Run the controller alone.
  doctor      Say what this machine can isolate and limit.
  ps          List what runs: roles, workloads, process ids.
  gc          Collect what nothing refers to any more.
  rekey       Encrypt all secrets with the first key.
  openapi     Print the OpenAPI document of the REST API.
"""
MODEL_HELP = """\
Usage: modelyard model [OPTIONS] COMMAND [ARGS]...

  Custom models: push, build, test and share them.

Options:
  -h, --help  Show this message and exit.

Commands:
  list      List the models that you may see.
  create    Make a model without a version.
  versions  List the versions of a model, newest first.
  show      Show a model and the files of its latest version.
  download  Download the files of a version as a zip.
  delete    Delete a model and its versions; not one that is deployed.
  push      Push a folder as the next version of a model.
  pull      Make a version of files from a remote repository.
  build     Build what requirements.txt asks for, and follow the log.
  test      Test a version in the sandbox, and watch its checks.
  log       Print the log of the dependency build, or the latest test.
  share     Share this model, or show who has which role.
"""
TASK_HELP = """\
Usage: modelyard task [OPTIONS] COMMAND [ARGS]...

  Custom tasks: code that fits and transforms, to train models with.

Options:
  -h, --help  Show this message and exit.

Commands:
  list       List the tasks that you may see.
  create     Make a task without a version.
  show       Show a task, its files and hyperparameters.
  copy       Copy a task with its versions and files; the copy is yours.
  delete     Delete a task and its versions; not one that is trained.
  push       Push a folder as the next version of a task.
  pull       Make a version of files from a remote repository.
  versions   List the versions of a task, newest first.
  download   Download the files of a version as a zip.
  build      Build what requirements.txt asks for, and follow the log.
  build-log  Print the log of the dependency build.
  share      Share this task, or show who has which role.
"""
PROJECT_HELP = """\
Usage: modelyard project [OPTIONS] COMMAND [ARGS]...

  Projects: train chains of tasks, compare and deploy.

Options:
  -h, --help  Show this message and exit.

Commands:
  list         List the projects that you may see, newest first.
  create       Make a project of a table and what is to be learned of it.
  show         Show a project: its target, data and partitions.
  update       Rename a project, or rank its models by another metric.
  delete       Delete a project with its models; what was deployed stays.
  share        Share this project, or show who has which role.
  train        Train a chain of tasks: transforms, then an estimator.
  leaderboard  Rank the models of a project, the best first.
  models       List the models of a project, newest first.
  model        Show a model: its chain, its metrics and what it took.
  log          Print what tasks wrote in a training.
  cancel       Cancel a training.
  remove       Remove a model; what was deployed of it stays.
  predict      Predict the rows of a table with a model, as CSV.
  deploy       Deploy a model and wait until it answers.
"""
JOB_HELP = """\
Usage: modelyard job [OPTIONS] COMMAND [ARGS]...

  Custom jobs: push and run them, with logs and outputs.

Options:
  -h, --help  Show this message and exit.

Commands:
  list       List the jobs that you may see, newest first.
  create     Make a job from a template, or without files.
  update     Change what a job is set to.
  show       Show a job: files, parameters, settings and its last run.
  delete     Delete a job that is not running.
  cleanup    Erase a deleted job for good, with its runs, logs and files.
  push       Push a folder as the files of a job.
  run        Run a job and print what it writes.
  runs       List the runs of a job, newest first.
  logs       Print what a run wrote.
  cancel     Cancel a run.
  artifacts  List or download the files that a run left.
  share      Share this job, or show who has which role.
  schedule   When a job runs by itself: cron expressions in a time zone.
"""
HEAVY = ("httpx2", "rich", "yaml", "pathspec", "litestar", "sqlalchemy", "modelyard.app", "modelyard.kernel")


def test_help(alone: Terminal) -> None:
    alone.variables["COLUMNS"] = "80"
    assert alone.ok("--help").out == HELP
    assert alone.ok("model", "--help").out == MODEL_HELP
    assert alone.ok("task", "--help").out == TASK_HELP
    assert alone.ok("project", "--help").out == PROJECT_HELP
    assert alone.ok("job", "--help").out == JOB_HELP
    assert alone("model").code == 2


def test_help_is_there_at_once(alone: Terminal) -> None:
    """Under 200 ms. Processor time is what counts: others may be using the machine."""
    alone.ok("--help")
    best_s = 10.0
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        alone.ok("--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        best_s = min(best_s, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    assert best_s < 0.2


def test_help_imports_nothing_heavy() -> None:
    program = """
        import sys
        from modelyard.cli.main import run
        run(["--help"])
        print(*sys.modules, file=sys.stderr)
    """
    code = "\n".join(line.strip() for line in program.splitlines())
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(told.stderr.split())


def test_client_commands_import_nothing_of_the_server() -> None:
    program = """
        import sys
        from modelyard.cli.commands import COMMANDS
        from modelyard.cli.main import load
        for name, entry in COMMANDS.items():
            if entry.target.startswith("modelyard.cli."):
                load(name, entry)
        print(*sys.modules)
    """
    code = "\n".join(line.removeprefix(" " * 8) for line in program.splitlines())
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    mine = [name for name in told.stdout.split() if name.startswith("modelyard.")]
    assert mine
    shared = {"modelyard.plain_yaml"}  # how files of users are read, by both sides
    assert [name for name in mine if not name.startswith("modelyard.cli") and name not in shared] == []


def test_an_unknown_command_names_the_near_ones(alone: Terminal) -> None:
    outcome = alone("deploymnt")
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "error: there is no command 'deploymnt'\nhint: did you mean deployment or deploy?\n"


def test_a_wrong_option_is_wrong_usage(alone: Terminal) -> None:
    outcome = alone("model", "list", "--nope")
    assert outcome.code == 2
    assert outcome.err == (
        "Usage: modelyard model list [OPTIONS]\n"
        "Try 'modelyard model list -h' for help.\n\n"
        "Error: No such option: --nope\n"
    )
    assert alone("model", "list", "--nope", "--json").error == {"message": "No such option: --nope", "code": 2}


def test_completion(alone: Terminal) -> None:
    alone.variables |= {"_MODELYARD_COMPLETE": "complete_bash", "COMP_WORDS": "modelyard mod", "COMP_CWORD": "1"}
    assert alone().out.split() == ["model"]
    alone.variables |= {"COMP_WORDS": "modelyard model pu", "COMP_CWORD": "2"}
    assert alone().out.split() == ["push", "pull"]


def test_it_runs_as_a_module(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "modelyard.cli.main", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert told.stdout.startswith("Usage: modelyard ")


@pytest.mark.parametrize("group", ["job", "template", "credential", "metric"])
def test_the_summary_of_each_command_is_whole(modelyard: Terminal, group: str) -> None:
    assert "..." not in modelyard.ok(group, "--help").out.partition("Commands:")[2]


def test_types_and_events_are_written_as_they_are_called(modelyard: Terminal) -> None:
    for command in (("events",), ("job", "create"), ("job", "update")):
        told = modelyard.ok(*command, "--help").out
        assert "deploymentHealthChanged" in told
        assert "list[" not in told
