"""Wire types of a version's dependency build: the shape of seed 000, with the ids of a model."""

from typing import Literal

from modelyard.kernel.wire import BoolText, Query, Schema, Uri


class DependencyBuildResponse(Schema):
    """``buildEnd`` and ``buildLogLocation`` are null until the build has ended."""

    build_end: str | None
    build_log_location: Uri | None
    build_start: str
    build_status: Literal["submitted", "processing", "failed", "success"]
    custom_model_id: str
    custom_model_version_id: str


class BuildLogQuery(Query):
    """Ours: by default the log of a build in progress is not found, as documented."""

    in_progress: BoolText = "false"
