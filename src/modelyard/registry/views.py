"""Registered models and packages as the wire shows them, whole pages at once."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from modelyard.identity.accounts import usernames
from modelyard.kernel.wire import moment
from modelyard.registry.schemas import (
    CustomModelDetails,
    ModelDescription,
    ModelPackageResponse,
    PackageSource,
    PackageTarget,
    RegisteredModelResponse,
    RegisteredModelTarget,
    TagResponse,
    TextGeneration,
)
from modelyard.registry.tables import ModelPackage, PackageRole, PackageUse, RegisteredModel


def view_packages(session: Session, packages: Sequence[ModelPackage]) -> list[ModelPackageResponse]:
    """Packages with how often each is deployed, in two queries."""
    counts = _deployment_counts(session, [package.id for package in packages])
    names = usernames(session, {package.created_by_id for package in packages})
    return [_package(one, counts.get(one.id, 0), names.get(one.created_by_id, "")) for one in packages]


def view_registered_models(session: Session, models: Sequence[RegisteredModel]) -> list[RegisteredModelResponse]:
    """Registered models with the names of their makers, in one query."""
    names = usernames(session, {model.created_by_id for model in models})
    return [
        RegisteredModelResponse(
            id=model.id,
            name=model.name,
            description=model.description,
            is_global=model.is_global,
            is_archived=False,
            last_version_num=model.last_version_number,
            target=RegisteredModelTarget(name=model.target_name, type=model.target_type),
            created_at=moment(model.created_at),
            created_by=names.get(model.created_by_id, ""),
            modified_at=moment(model.updated_at),
        )
        for model in models
    ]


def _deployment_counts(session: Session, package_ids: list[str]) -> dict[str, int]:
    return dict(
        session.execute(
            select(PackageUse.package_id, func.count())
            .where(PackageUse.package_id.in_(package_ids), PackageUse.role == PackageRole.MODEL.value)
            .group_by(PackageUse.package_id)
        )
        .tuples()
        .all()
    )


def _package(package: ModelPackage, deployment_count: int, created_by: str) -> ModelPackageResponse:
    return ModelPackageResponse(
        id=package.id,
        name=package.name,
        model_id=package.custom_model_version_id,
        model_execution_type="custom_inference_model",
        registered_model_id=package.registered_model_id,
        registered_model_version=package.number,
        build_status=package.build_state,  # type: ignore[arg-type] # written from BuildState only
        build_error=package.build_error,
        stage="Registered",
        is_archived=False,
        target=PackageTarget(
            name=package.target_name,
            type=package.target_type,
            prediction_threshold=package.prediction_threshold,
            class_names=package.class_labels,
            class_count=len(package.class_labels) if package.class_labels else None,
        ),
        tags=[TagResponse(**tag) for tag in package.tags],
        text_generation=TextGeneration(prompt=package.prompt),
        model_description=ModelDescription(
            model_name=package.custom_model_name, build_environment_type=package.build_environment_type
        ),
        source_meta=PackageSource(
            custom_model_details=CustomModelDetails(
                id=package.custom_model_id,
                version_id=package.custom_model_version_id,
                version_label=package.custom_model_version_label,
                name=package.custom_model_name,
            )
        ),
        active_deployment_count=deployment_count,
        created_at=moment(package.created_at),
        created_by=created_by,
    )
