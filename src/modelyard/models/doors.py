"""Two doors to the same rows: custom models of both types, and those that train, which are custom tasks (seed 000)."""

from dataclasses import dataclass

from modelyard.models.tables import CustomModel, CustomModelVersion


@dataclass(frozen=True)
class Door:
    """By which operations a caller comes: what they show, and what it is called in messages, links and errors."""

    noun: str
    path: str
    id_field: str
    custom_model_type: str | None
    """Models of another type are not behind this door; ``None``: all are."""

    @property
    def title(self) -> str:
        return self.noun.capitalize()

    def leads_to(self, model: CustomModel) -> bool:
        return self.custom_model_type is None or model.custom_model_type == self.custom_model_type

    def version_path(self, version: CustomModelVersion) -> str:
        """Where the version is, below the API's address."""
        return f"{self.path}{version.model_id}/versions/{version.id}/"


MODELS = Door("model", "/customModels/", "customModelId", None)
TASKS = Door("task", "/customTasks/", "customTaskId", "training")
DOORS = {door.noun: door for door in (MODELS, TASKS)}
