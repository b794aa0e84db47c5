"""Every command of ``modelyard`` by name. What a command needs is imported when it is used, never before."""

from dataclasses import dataclass

STORY = "From a folder to predictions"
AUTOMATION = "Automation"
ACCOUNT = "Account"
SERVER = "Server"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the help: ``target`` is ``module:attribute``, a function or a Typer application."""

    target: str
    help: str
    panel: str


COMMANDS: dict[str, Entry] = {
    "env": Entry("modelyard.cli.environments:app", "Execution environments: what models run in.", STORY),
    "dataset": Entry("modelyard.cli.datasets:app", "Datasets: tables to test and score with.", STORY),
    "model": Entry("modelyard.cli.models:app", "Custom models: push, build, test and share them.", STORY),
    "task": Entry("modelyard.cli.tasks:app", "Custom tasks: code that fits and transforms, to train with.", STORY),
    "project": Entry("modelyard.cli.projects:app", "Projects: train chains of tasks, compare and deploy.", STORY),
    "credential": Entry("modelyard.cli.credentials:app", "Credentials: what code needs for other systems.", STORY),
    "repository": Entry("modelyard.cli.repositories:app", "Remote repositories: Git and S3 to pull files from.", STORY),
    "registry": Entry("modelyard.cli.registry:app", "Registered models and their versions.", STORY),
    "deploy": Entry("modelyard.cli.deploy:deploy", "Deploy a model and wait until it answers.", STORY),
    "deployment": Entry("modelyard.cli.deployments:app", "Deployments: look at, replace, stop and start them.", STORY),
    "metric": Entry("modelyard.cli.metrics:app", "Custom metrics: measure a deployment your own way.", STORY),
    "predict": Entry("modelyard.cli.predict:predict", "Score a file with a deployment.", STORY),
    "events": Entry("modelyard.cli.events:events", "What happened to your deployments and jobs.", STORY),
    "template": Entry("modelyard.cli.templates:app", "Templates: files to make jobs and applications from.", STORY),
    "status": Entry("modelyard.cli.status:status", "What the server is doing for you.", STORY),
    "job": Entry("modelyard.cli.jobs:app", "Custom jobs: push and run them, with logs and outputs.", AUTOMATION),
    "login": Entry("modelyard.cli.account:login", "Remember a server and your token for it.", ACCOUNT),
    "whoami": Entry("modelyard.cli.account:whoami", "Who you are, and on which server.", ACCOUNT),
    "logout": Entry("modelyard.cli.account:logout", "Forget the server and the token.", ACCOUNT),
    "admin": Entry("modelyard.cli.admin:app", "Users, groups, organizations and API tokens.", ACCOUNT),
    "up": Entry("modelyard.processes.start:up", "Run everything on this machine.", SERVER),
    "api": Entry("modelyard.processes.api:api", "Run the REST API alone.", SERVER),
    "gateway": Entry("modelyard.processes.gateway:gateway", "Run the prediction gateway alone.", SERVER),
    "controller": Entry("modelyard.processes.controller:controller", "Run the controller alone.", SERVER),
    "doctor": Entry("modelyard.processes.machine:doctor", "Say what this machine can isolate and limit.", SERVER),
    "ps": Entry("modelyard.processes.machine:ps", "List what runs: roles, workloads, process ids.", SERVER),
    "gc": Entry("modelyard.processes.machine:gc", "Collect what nothing refers to any more.", SERVER),
    "rekey": Entry("modelyard.processes.machine:rekey", "Encrypt all secrets with the first key.", SERVER),
    "openapi": Entry("modelyard.processes.machine:openapi", "Print the OpenAPI document of the REST API.", SERVER),
}
