"""Who uses which version: deployments, challengers, packages, learning models and tests say so here.

Models need not know them.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from modelyard.models.deletion import purge
from modelyard.models.tables import CustomModel, CustomModelVersion, ModelUse


class UserKind(StrEnum):
    DEPLOYMENT = "deployment"
    MODEL_PACKAGE = "modelPackage"
    CHALLENGER = "challenger"
    """By the id of the deployment that it is proposed for."""
    TEST = "test"
    LEARNING_MODEL = "learningModel"
    """A model that was trained from it; its parent is the project."""


FREEZING_KINDS = frozenset({UserKind.DEPLOYMENT, UserKind.MODEL_PACKAGE, UserKind.LEARNING_MODEL})


def add(session: Session, version_id: str, user_kind: UserKind, user_id: str, *, parent_id: str | None = None) -> None:
    """Notes that somebody now uses the version; packages, deployments and learning models freeze it.

    ``parent_id`` is what the user is a part of, where it cannot be found without. Doing so again is no error: it makes
    the use active.
    """
    version = session.get_one(CustomModelVersion, version_id)
    use = session.get(ModelUse, (user_kind.value, user_id, version_id))
    if use is None:
        use = ModelUse(
            user_kind=user_kind.value,
            user_id=user_id,
            version_id=version_id,
            model_id=version.model_id,
            parent_id=parent_id,
            created_at=datetime.now(UTC),
        )
        session.add(use)
    use.is_active = True
    if user_kind in FREEZING_KINDS and version.frozen_at is None:
        version.frozen_at = datetime.now(UTC)
    session.flush()


def remove(session: Session, user_kind: UserKind, user_id: str, version_id: str | None = None) -> None:
    """Notes that the user no longer uses the version (``None``: any version). Unknown users are no error.

    What only this user still held of a deleted model goes.
    """
    mine = [ModelUse.user_kind == user_kind.value, ModelUse.user_id == user_id]
    if version_id is not None:
        mine.append(ModelUse.version_id == version_id)
    deleted = session.scalars(
        select(CustomModel).where(
            CustomModel.id.in_(select(ModelUse.model_id).where(*mine)), CustomModel.deleted_at.is_not(None)
        )
    ).all()
    session.execute(update(ModelUse).where(*mine).values(is_active=False))
    for model in deleted:
        purge(session, model)


def forget(session: Session, user_kind: UserKind, user_id: str) -> None:
    """The same for a user that is erased: not even history is left."""
    remove(session, user_kind, user_id)
    session.execute(delete(ModelUse).where(ModelUse.user_kind == user_kind.value, ModelUse.user_id == user_id))


def users_of(session: Session, model_id: str, user_kind: UserKind) -> list[str]:
    """The ids of those who now use any version of the model, oldest first."""
    return list(
        session.scalars(
            select(ModelUse.user_id)
            .where(ModelUse.model_id == model_id, *_active(user_kind))
            .group_by(ModelUse.user_id)
            .order_by(func.min(ModelUse.created_at), ModelUse.user_id)
        )
    )


def versions_of(session: Session, model_id: str, user_kind: UserKind) -> list[CustomModelVersion]:
    """The versions of the model that are used now, the newest first."""
    used = select(ModelUse.version_id).where(ModelUse.model_id == model_id, *_active(user_kind))
    statement = select(CustomModelVersion).where(CustomModelVersion.id.in_(used))
    return list(session.scalars(statement.order_by(CustomModelVersion.id.desc())))


def is_or_was_used(session: Session, version_id: str) -> bool:
    """Whether anything ever used the version: tested, trained, packaged or deployed it."""
    return session.scalar(select(ModelUse.version_id).where(ModelUse.version_id == version_id).limit(1)) is not None


def users_with_parents(
    session: Session, model_id: str, user_kind: UserKind, *, limit: int
) -> list[tuple[str, str | None]]:
    """The same with what each is a part of, the first ``limit`` of them."""
    rows = session.execute(
        select(ModelUse.user_id, func.max(ModelUse.parent_id))
        .where(ModelUse.model_id == model_id, *_active(user_kind))
        .group_by(ModelUse.user_id)
        .order_by(func.min(ModelUse.created_at), ModelUse.user_id)
        .limit(limit)
    )
    return [(user_id, parent_id) for user_id, parent_id in rows]


def deployment_counts(session: Session, model_ids: Collection[str]) -> dict[str, int]:
    """How many deployments each of the models has; models without any are left out."""
    rows = session.execute(
        select(ModelUse.model_id, func.count(func.distinct(ModelUse.user_id)))
        .where(ModelUse.model_id.in_(model_ids), *_active(UserKind.DEPLOYMENT))
        .group_by(ModelUse.model_id)
    )
    return {row[0]: row[1] for row in rows}


def is_deployed() -> ColumnElement[bool]:
    """The condition, on ``CustomModel``, that some deployment uses it: a short list among many models."""
    return CustomModel.id.in_(select(ModelUse.model_id).where(*_active(UserKind.DEPLOYMENT)))


def _active(user_kind: UserKind) -> tuple[ColumnElement[bool], ...]:
    return ModelUse.user_kind == user_kind.value, ModelUse.is_active.is_(True)
