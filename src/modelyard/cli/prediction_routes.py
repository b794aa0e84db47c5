"""Where a deployment takes predictions."""

from modelyard.cli.client import Api, Json
from modelyard.cli.errors import CommandError

_ROUTE = "/predApi/v1.0/deployments"


def is_unstructured(deployment: Json) -> bool:
    model = deployment["model"]
    return bool(model["targetType"] == "Unstructured" or model["unstructuredModelKind"])


def prediction_url(deployment: Json) -> str:
    """The address on the gateway that the deployment names."""
    return _url(deployment["defaultPredictionServer"]["url"], deployment)


def find_prediction_url(api: Api, deployment: Json) -> str:
    """The address on the first of the installation's prediction servers."""
    server = next(api.pages("/predictionServers/", limit=1), None)
    if server is None:
        raise CommandError(
            "the installation has no prediction server", hint="ask an administrator to start the gateway"
        )
    return _url(server["url"], deployment)


def curl_line(deployment: Json) -> str:
    """A command line that asks for predictions."""
    kind, sample = ("text/plain", "input.txt") if is_unstructured(deployment) else ("text/csv", "rows.csv")
    return (
        f"curl -H \"Authorization: Bearer $MODELYARD_API_TOKEN\" -H 'Content-Type: {kind}' "
        f"--data-binary @{sample} {prediction_url(deployment)}"
    )


def _url(server_url: str, deployment: Json) -> str:
    route = "predictionsUnstructured" if is_unstructured(deployment) else "predictions"
    return f"{server_url.rstrip('/')}{_ROUTE}/{deployment['id']}/{route}"
