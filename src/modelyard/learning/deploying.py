"""From a model of a project to a custom model, which can be packaged, tested and deployed like any other."""

from sqlalchemy.orm import Session

from modelyard.environments.tables import EnvironmentVersion
from modelyard.identity.caller import Caller
from modelyard.identity.roles import Permission
from modelyard.kernel.errors import Forbidden, NotFound, invalid
from modelyard.learning.chains import surroundings_of
from modelyard.learning.projects import find_project
from modelyard.learning.tables import LearningModel, ModelStatus, Project
from modelyard.models import service as models
from modelyard.models.trained import Trained, add_trained_model
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.tables import Workspace


def deployable(session: Session, caller: Caller, model_id: str) -> tuple[Project, LearningModel]:
    """A trained model that the caller may deploy; raises ``Invalid`` on ``modelId`` for any other."""
    model = session.get(LearningModel, model_id, with_for_update=True)
    missing = f"there is no model {model_id} of a project that you may see"
    if model is None:
        raise invalid(modelId=missing)
    try:
        project = find_project(session, caller, model.project_id, Permission.EDIT)
    except NotFound:
        raise invalid(modelId=missing) from None
    except Forbidden as error:
        raise invalid(modelId=error.message) from None
    if model.status != ModelStatus.COMPLETED.value:
        raise invalid(modelId=f"model {model.name!r} is {model.status}; only one that is completed can be deployed")
    return project, model


def version_of(session: Session, caller: Caller, project: Project, model: LearningModel) -> str:
    """The version (an id) of the custom model that a trained model is: made for its first deployment, or found."""
    if model.custom_model_id is not None:
        try:
            found = models.find_model(session, caller, model.custom_model_id, Permission.EDIT)
        except (NotFound, Forbidden):
            pass
        else:
            if found.latest_version_id is not None:
                return found.latest_version_id
    workspace = workspaces.copy(session, session.get_one(Workspace, model.trained_workspace_id))
    around = surroundings_of(model.tasks)
    trained = Trained(
        name=model.name,
        target_type=project.target_type,
        target_name=project.target,
        labels=project.class_labels,
        project_id=project.id,
        project_name=project.name,
        learning_model_id=model.id,
        memory_bytes=model.memory_bytes,
        parameter_definitions=around.definitions,
        parameter_values=around.values,
        required_metadata=around.required_metadata,
    )
    environment = session.get_one(EnvironmentVersion, model.environment_version_id)
    version = add_trained_model(session, caller, trained, workspace, environment)
    model.custom_model_id = version.model_id
    return version.id
