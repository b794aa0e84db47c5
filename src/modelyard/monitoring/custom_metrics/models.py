"""Whose values are meant: those of one of the deployment's models, or of the deployment as a whole."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from modelyard.deployments.service import models_of
from modelyard.deployments.tables import Deployment
from modelyard.monitoring.custom_metrics.tables import CustomMetric


@dataclass(frozen=True)
class Subject:
    """A model of a deployment by its two ids, or none for the deployment as a whole."""

    package_id: str | None = None
    model_id: str | None = None

    @property
    def key(self) -> str:
        """What values are stored under."""
        return self.package_id or ""


def find_subject(
    session: Session, metric: CustomMetric, model_id: str | None, package_id: str | None
) -> tuple[Subject, dict[str, str]]:
    """The model that a client names by one id or both, the present one by default; and what is wrong, by field."""
    named = {"modelId": model_id, "modelPackageId": package_id}
    if not metric.is_model_specific:
        text = f"{metric.name!r} is a metric of the whole deployment, not of a model"
        return Subject(), {field: text for field, value in named.items() if value is not None}
    deployment = session.get_one(Deployment, metric.deployment_id)
    if model_id is None and package_id is None:
        return Subject(deployment.package_id, deployment.custom_model_version_id), {}
    models = models_of(session, deployment.id)
    errors = {}
    if model_id is not None and model_id not in {one.custom_model_version_id for one in models}:
        errors["modelId"] = f"{model_id!r} is and was no model of deployment {deployment.id}"
    if package_id is not None and package_id not in {one.package_id for one in models}:
        errors["modelPackageId"] = f"{package_id!r} is and was no model package of deployment {deployment.id}"
    if errors:
        return Subject(), errors
    fitting = [
        one
        for one in models
        if model_id in {None, one.custom_model_version_id} and package_id in {None, one.package_id}
    ]
    if not fitting:
        return Subject(), {"modelId": f"model package {package_id} has another model than {model_id}"}
    present = [one for one in fitting if one.package_id == deployment.package_id]
    found = (present or fitting)[0]
    return Subject(found.package_id, found.custom_model_version_id), {}
