"""The rows of challengers, and what they hold: while there is one, its package and its version stay."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from modelyard.deployments.challengers.tables import Challenger
from modelyard.models import usage
from modelyard.models.usage import UserKind
from modelyard.registry import packages
from modelyard.registry.tables import PackageRole


def challengers_of(session: Session, deployment_id: str) -> list[Challenger]:
    """The deployment's challengers, oldest first."""
    statement = select(Challenger).where(Challenger.deployment_id == deployment_id).order_by(Challenger.id)
    return list(session.scalars(statement))


def add(session: Session, row: Challenger) -> None:
    """Puts a challenger on the list."""
    session.add(row)
    session.flush()
    packages.hold(session, row.package_id, row.deployment_id, PackageRole.CHALLENGER)
    usage.add(session, row.custom_model_version_id, UserKind.CHALLENGER, row.deployment_id)


def remove(session: Session, row: Challenger) -> None:
    """Takes a challenger off the list and lets go of its package; of its version, where no other challenger has it."""
    session.delete(row)
    session.flush()
    packages.release(session, row.deployment_id, row.package_id, PackageRole.CHALLENGER)
    others = challengers_of(session, row.deployment_id)
    if all(other.custom_model_version_id != row.custom_model_version_id for other in others):
        usage.remove(session, UserKind.CHALLENGER, row.deployment_id, row.custom_model_version_id)


def remove_package(session: Session, deployment_id: str, package_id: str) -> None:
    """Takes the package that has become the deployment's model off the list; no error where it is not on it."""
    for row in challengers_of(session, deployment_id):
        if row.package_id == package_id:
            remove(session, row)


def remove_all(session: Session, deployment_id: str) -> None:
    """Empties the list of a deployment that is deleted."""
    for row in challengers_of(session, deployment_id):
        remove(session, row)
