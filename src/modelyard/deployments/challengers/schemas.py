"""Wire types of challengers (supporting-endpoints.md, A.12)."""

from typing import Annotated

from msgspec import Meta

from modelyard.deployments.schemas import DeploymentModelPackageResponse, DeploymentPredictionEnvironmentResponse
from modelyard.kernel.wire import Body, Moment, Schema

Name = Annotated[str, Meta(min_length=1, max_length=512)]


class ChallengerCreate(Body):
    """Without ``prediction_environment_id`` the challenger is meant for the deployment's own environment."""

    model_package_id: str
    name: Name
    prediction_environment_id: str | None = None


class ChallengerUpdate(Body):
    name: Name


class ChallengerModelResponse(Schema):
    """``id`` is that of the custom model version."""

    id: str
    name: str
    version_label: str
    custom_model_id: str
    target_type: str
    target_name: str | None
    build_environment_type: str


class ChallengerResponse(Schema):
    """``is_champion`` is ours: the entry is the model that answers, whose id is that of its package."""

    id: str
    name: str
    deployment_id: str
    is_champion: bool
    model: ChallengerModelResponse
    model_package: DeploymentModelPackageResponse
    prediction_environment: DeploymentPredictionEnvironmentResponse
    created_at: Moment | None
    created_by: str | None
