"""Trains the model of a deployment anew, tests it, and proposes it as a challenger."""

import importlib.util
import io
import json
import os
import sys
import zipfile
from pathlib import Path

import pandas as pd
from modelyard_api import ApiError, call, get, multipart, wait_for
from train import fit

DEPLOYMENT = os.environ["DEPLOYMENT"]
DATASET = os.environ["DATASET"]
HOLDOUT = float(os.environ["HOLDOUT_PERCENT"]) / 100
CODE = Path("model")
ARTIFACTS = (".joblib", ".pkl")
SUPPORTED = ("Binary", "Multiclass", "Regression")


def main():
    deployment = get(f"deployments/{DEPLOYMENT}/")
    image = deployment["model"]["customModelImage"]
    model = get(f"customModels/{image['customModelId']}/")
    if model["targetType"] not in SUPPORTED:
        raise SystemExit(f"{model['name']} is of type {model['targetType']}; this trains {', '.join(SUPPORTED)}.")
    with call("GET", f"datasets/{DATASET}/file/") as file:
        table = pd.read_csv(file)
    if model["targetName"] not in table.columns:
        raise SystemExit(f"Dataset {DATASET} has no column {model['targetName']}, which {model['name']} predicts.")
    artifact = fetch_code(model["id"], image["customModelVersionId"])
    print(f"Training {model['name']} on {len(table)} rows.", flush=True)
    rows = table.dropna(subset=[model["targetName"]])
    features = prepared(rows.drop(columns=[model["targetName"]]))
    scores = fit(features, rows[model["targetName"]], model["targetType"], HOLDOUT, artifact)
    print(f"Trained: {scores}", flush=True)
    version = make_version(model, artifact)
    test(model, version)
    challenger = propose(deployment, model, version)
    report = {"deploymentId": DEPLOYMENT, "versionId": version["id"], "scores": scores, "challenger": challenger}
    Path(os.environ["MODELYARD_OUTPUT_DIR"], "report.json").write_text(json.dumps(report, indent=2))


def fetch_code(model_id, version_id):
    """Unpacks the files of the version that is deployed; the name of its artifact."""
    with call("GET", f"customModels/{model_id}/versions/{version_id}/download/") as answer:
        zipfile.ZipFile(io.BytesIO(answer.read())).extractall(CODE)
    found = sorted(path.name for path in CODE.iterdir() if path.suffix in ARTIFACTS)
    return found[0] if found else "model.joblib"


def prepared(table):
    """The table as the model's own ``transform`` hook prepares it; as it is where there is no such hook."""
    hooks = CODE / "custom.py"
    if not hooks.exists():
        return table
    sys.path.insert(0, str(CODE.resolve()))
    spec = importlib.util.spec_from_file_location("custom", hooks)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"The model's code needs more ({error}): add its requirements.txt to the job's files."
        ) from None
    return module.transform(table, None) if hasattr(module, "transform") else table


def make_version(model, artifact):
    """A version on top of the latest one, with the new artifact."""
    body, content_type = multipart([("isMajorUpdate", "false")], [(artifact, Path(artifact).read_bytes())])
    path = f"customModels/{model['id']}/versions/"
    with call("PATCH", path, body, content_type=content_type) as answer:
        version = json.load(answer)
    print(f"Made version {version['label']} ({version['id']}).", flush=True)
    return version


def test(model, version):
    """Runs the tests that every version should pass; a failed one ends the job."""
    wanted = {"customModelId": model["id"], "customModelVersionId": version["id"], "datasetId": DATASET}
    with call("POST", "customModelTests/", wanted) as answer:
        status = answer.headers["Location"]
    found = get(wait_for(status, "Testing"))
    if found["overallStatus"] not in ("succeeded", "warning"):
        raise SystemExit(f"Version {version['label']} is not proposed: {json.dumps(found['testingStatus'])}")
    print(f"The tests ended: {found['overallStatus']}.", flush=True)


def propose(deployment, model, version):
    """Packages the version, and adds it to the deployment's challengers."""
    name = f"{model['name']} {version['label']}"
    wanted = {"customModelVersionId": version["id"], "name": name}
    registered = deployment["modelPackage"]["registeredModelId"]
    if registered:
        wanted["registeredModelId"] = registered
    with call("POST", "modelPackages/fromCustomModelVersion/", wanted) as answer:
        package, status = json.load(answer), answer.headers["Location"]
    wait_for(status, "Packaging")
    body = {"modelPackageId": package["id"], "name": name}
    body["predictionEnvironmentId"] = deployment["predictionEnvironment"]["id"]
    try:
        with call("POST", f"deployments/{DEPLOYMENT}/challengers/", body) as answer:
            challenger = get(wait_for(answer.headers["Location"], "Proposing"))
    except ApiError as error:
        raise SystemExit(f"The package {package['id']} is ready, but could not be proposed. {error}") from None
    print(f"Proposed {name} as challenger {challenger['id']} of {deployment['label']}.")
    return {"id": challenger["id"], "modelPackageId": package["id"]}


main()
