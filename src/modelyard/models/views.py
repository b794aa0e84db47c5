"""Models and versions as the wire shows them, whole pages at once: a constant number of queries for any page."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET
from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.environments.required_metadata import listed
from modelyard.identity.accounts import usernames
from modelyard.kernel.wire import moment
from modelyard.models import usage
from modelyard.models.rules import DEFAULT_THRESHOLD
from modelyard.models.schemas import CustomModelResponse, ExternalMlopsStatsConfig, Tag
from modelyard.models.tables import CustomModel, CustomModelVersion
from modelyard.models.version_schemas import (
    CustomModelVersionResponse,
    DependencyResponse,
    GitModelVersion,
)
from modelyard.workspaces import service as workspaces
from modelyard.workspaces.items import items
from modelyard.workspaces.runtime_parameters import Definition, Value, views
from modelyard.workspaces.service import StoredFile

T = TypeVar("T")
V_co = TypeVar("V_co", covariant=True)


class VersionView(Protocol[V_co]):
    """How one version is shown, given its files."""

    def __call__(self, version: CustomModelVersion, files: Sequence[StoredFile], *, is_latest: bool) -> V_co: ...


def view_model(session: Session, model: CustomModel) -> CustomModelResponse:
    return view_models(session, [model])[0]


def view_models(session: Session, models: Sequence[CustomModel]) -> list[CustomModelResponse]:
    """Each model with its latest version and that version's files."""
    versions = latest_versions(session, models, view_version)
    counts = usage.deployment_counts(session, [model.id for model in models])
    names = usernames(session, {model.created_by_id for model in models})
    return [
        _model(
            model,
            versions.get(model.latest_version_id or ""),
            counts.get(model.id, 0),
            names.get(model.created_by_id, ""),
        )
        for model in models
    ]


def latest_versions(session: Session, models: Sequence[CustomModel], view: VersionView[T]) -> dict[str, T]:
    """The latest version of each model that has one, as ``view`` shows it, by its id."""
    latest_ids = [model.latest_version_id for model in models if model.latest_version_id]
    latest = _by_id(session, latest_ids)
    return dict(zip(latest, view_each(session, list(latest.values()), latest_ids, view), strict=True))


def view_versions(
    session: Session, versions: Sequence[CustomModelVersion], latest_ids: Iterable[str | None]
) -> list[CustomModelVersionResponse]:
    return view_each(session, versions, latest_ids, view_version)


def view_each(
    session: Session, versions: Sequence[CustomModelVersion], latest_ids: Iterable[str | None], view: VersionView[T]
) -> list[T]:
    """Each version with its files. One that is not among ``latest_ids`` was superseded, so it is frozen."""
    files = workspaces.files_by_id(session, [version.workspace_id for version in versions])
    latest = set(latest_ids)
    return [view(version, files[version.workspace_id], is_latest=version.id in latest) for version in versions]


def is_frozen(version: CustomModelVersion, *, is_latest: bool) -> bool:
    return version.frozen_at is not None or not is_latest


def view_version(
    version: CustomModelVersion, files: Sequence[StoredFile], *, is_latest: bool
) -> CustomModelVersionResponse:
    return CustomModelVersionResponse(
        id=version.id,
        custom_model_id=version.model_id,
        label=version.label,
        version_major=version.version_major,
        version_minor=version.version_minor,
        is_frozen=is_frozen(version, is_latest=is_latest),
        created=moment(version.created_at),
        description=version.description,
        items=items(version.workspace_id, files),
        dependencies=list_of(version.dependencies, list[DependencyResponse]),
        base_environment_id=version.base_environment_id,
        base_environment_version_id=version.base_environment_version_id,
        desired_memory=version.desired_memory_bytes,
        maximum_memory=version.maximum_memory_bytes,
        replicas=version.replicas,
        requires_ha=version.requires_ha,
        network_egress_policy=version.network_egress_policy,  # type: ignore[arg-type] # checked when it was stored
        resource_bundle_id=version.resource_bundle_id,
        git_model_version=read_stored(version.git_model_version, GitModelVersion),
        required_metadata=version.required_metadata or {},
        required_metadata_values=listed(version.required_metadata),
        runtime_parameters=views(
            list_of(version.parameter_definitions, list[Definition]),
            list_of(version.parameter_values, list[Value]),
        ),
    )


def _by_id(session: Session, version_ids: Sequence[str]) -> dict[str, CustomModelVersion]:
    found: dict[str, CustomModelVersion] = {}
    for start in range(0, len(version_ids), 500):
        some = version_ids[start : start + 500]
        rows = session.scalars(select(CustomModelVersion).where(CustomModelVersion.id.in_(some)))
        found.update((version.id, version) for version in rows)
    return found


def read_stored(stored: Any, type_: Any) -> Any:
    return UNSET if stored is None else msgspec.convert(stored, type_)


def list_of(stored: list[dict[str, object]], type_: type[list[T]]) -> list[T]:
    return msgspec.convert(stored, type_) if stored else []


def _or_unset(value: Any) -> Any:
    return UNSET if value is None else value


def _model(
    model: CustomModel, latest: CustomModelVersionResponse | None, deployments: int, created_by: str
) -> CustomModelResponse:
    config = model.external_mlops_stats_config
    return CustomModelResponse(
        id=model.id,
        name=model.name,
        description=model.description,
        language=model.language,
        custom_model_type=model.custom_model_type,  # type: ignore[arg-type] # checked when it was stored
        target_type=model.target_type,  # type: ignore[arg-type] # checked when it was stored
        created=moment(model.created_at),
        created_by=created_by,
        updated=moment(model.updated_at),
        deployments_count=deployments,
        latest_version=latest,
        supports_binary_classification=model.supports_binary_classification,
        supports_regression=model.supports_regression,
        supports_anomaly_detection=model.target_type == "Anomaly",
        is_training_data_for_versions_permanently_enabled=model.is_training_data_for_versions_permanently_enabled,
        is_unstructured_model_kind=model.is_unstructured_model_kind,
        is_proxy_model=model.is_proxy_model,
        tags=[Tag(**tag) for tag in model.tags or []],
        calibrate_predictions=_or_unset(model.calibrate_predictions),
        class_labels=_or_unset(model.class_labels),
        desired_memory=model.desired_memory_bytes,
        maximum_memory=model.maximum_memory_bytes,
        replicas=model.replicas,
        requires_ha=model.requires_ha,
        network_egress_policy=model.network_egress_policy,  # type: ignore[arg-type] # checked when it was stored
        resource_bundle_id=latest.resource_bundle_id if latest else None,
        playground_id=model.playground_id,
        git_model_version=read_stored(model.git_model_version, GitModelVersion),
        external_mlops_stats_config=msgspec.convert(config, ExternalMlopsStatsConfig) if config else None,
        positive_class_label=_or_unset(model.positive_class_label),
        negative_class_label=_or_unset(model.negative_class_label),
        prediction_threshold=DEFAULT_THRESHOLD if model.prediction_threshold is None else model.prediction_threshold,
        target_name=_or_unset(model.target_name),
        user_provided_id=_or_unset(model.user_provided_id),
    )
