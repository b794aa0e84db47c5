"""Deployments of models that were trained in a project (seed 004, fromLearningModel)."""

from sqlalchemy.orm import Session

from modelyard.deployments import service
from modelyard.deployments.schemas import DeploymentCreateFromLearningModel, DeploymentFromModelPackage
from modelyard.deployments.tables import Deployment
from modelyard.deployments.views import KIND
from modelyard.identity import sharing
from modelyard.identity.caller import Caller
from modelyard.identity.tables import ResourceKind
from modelyard.kernel.problems import Problems
from modelyard.kernel.settings import Settings
from modelyard.kernel.wire import changes
from modelyard.learning.deploying import deployable, version_of
from modelyard.operations.tables import Operation
from modelyard.registry import packages
from modelyard.registry.schemas import PackageFromCustomModelVersion
from modelyard.workspaces.references import References


def create_deployment(
    session: Session,
    caller: Caller,
    settings: Settings,
    references: References,
    body: DeploymentCreateFromLearningModel,
) -> tuple[Deployment, Operation]:
    """Registers the model and deploys it. Unless told otherwise, who has a role on its project gets it here, too."""
    given = changes(body)
    problems = Problems()
    with problems.collecting():
        project, model = deployable(session, caller, body.model_id)
        if "prediction_threshold" in given and project.target_type != "Binary":
            problems.add("predictionThreshold", f"is for Binary targets only; this one is {project.target_type}")
    with problems.collecting():
        service.check_prediction_server(given.get("default_prediction_server_id"))
    if not given.get("label", "unread").strip():
        problems.add("label", "must not be blank")
    problems.raise_all()
    version_id = version_of(session, caller, project, model)
    package, _ = packages.create_package(
        session, caller, PackageFromCustomModelVersion(custom_model_version_id=version_id)
    )
    if "prediction_threshold" in given:
        package.prediction_threshold = given["prediction_threshold"]
    wanted = DeploymentFromModelPackage(
        model_package_id=package.id,
        label=body.label,
        description=body.description,
        importance=given.get("importance"),
    )
    row, operation = service.create_deployment(
        session, caller, settings, references, wanted, is_active=given.get("status") != "inactive"
    )
    if given.get("grant_initial_deployment_roles_from_project", True):
        sharing.copy_grants(session, ResourceKind.PROJECT, project.id, KIND, row.id, but_of=caller.user_id)
    session.flush()
    return row, operation
