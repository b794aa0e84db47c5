"""Challengers of deployments."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id
from modelyard.kernel.ids import new_id


class Challenger(Base):
    """A package that could replace a deployment's model. It goes when it does, and with the deployment."""

    __tablename__ = "challengers"
    __table_args__ = (UniqueConstraint("deployment_id", "package_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"))
    package_id: Mapped[str] = mapped_column(Id)
    custom_model_version_id: Mapped[str] = mapped_column(Id)
    prediction_environment_id: Mapped[str] = mapped_column(Id, ForeignKey("prediction_environments.id"), index=True)
    name: Mapped[str] = mapped_column(String(512))
    created_by_id: Mapped[str] = mapped_column(Id)
    created_at: Mapped[datetime]
