"""The kinds of work on deployments. Each of the first four brings up a service and waits until it is ready."""

DEPLOY = "deployments.deploy"
START = "deployments.start"
REPLACE_MODEL = "deployments.replaceModel"
APPLY_SETTINGS = "deployments.applySettings"
STOP = "deployments.stop"
COLLECT_LOGS = "deployments.collectLogs"
ERASE = "deployments.erase"
