"""Usage of deployments, by the hour, and the health that was seen last."""

from datetime import datetime

from sqlalchemy import BigInteger, Float, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id


class PredictionUsage(Base):
    """Traffic of one model of one deployment within one hour (UTC). Times are sums over all requests."""

    __tablename__ = "prediction_usage"
    __table_args__ = (
        Index("ix_prediction_usage_hour", "deployment_id", "hour"),
        Index("ix_prediction_usage_recent", "hour"),
    )

    deployment_id: Mapped[str] = mapped_column(Id, primary_key=True)
    model_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    rows: Mapped[int] = mapped_column(BigInteger)
    user_errors: Mapped[int] = mapped_column(BigInteger)
    model_errors: Mapped[int] = mapped_column(BigInteger)
    server_errors: Mapped[int] = mapped_column(BigInteger)
    slow_requests: Mapped[int] = mapped_column(BigInteger)
    response_ms: Mapped[float] = mapped_column(Float)
    execution_ms: Mapped[float] = mapped_column(Float)
    last_at: Mapped[datetime]


class DeploymentHealth(Base):
    """The service health of a deployment when it was looked at last, and since when it is so."""

    __tablename__ = "deployment_health"

    deployment_id: Mapped[str] = mapped_column(Id, ForeignKey("deployments.id", ondelete="CASCADE"), primary_key=True)
    health: Mapped[str] = mapped_column(String(16))
    since: Mapped[datetime]
