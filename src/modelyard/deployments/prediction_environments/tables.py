"""Prediction environments."""

from datetime import datetime

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id


class PredictionEnvironment(Base):
    """``is_default``: the one of this installation, which everybody may see and use."""

    __tablename__ = "prediction_environments"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    description: Mapped[str | None] = mapped_column(Text)
    search_text: Mapped[str] = mapped_column(Text)
    platform: Mapped[str] = mapped_column(String(32), index=True)
    managed_by: Mapped[str] = mapped_column(String(32))
    priority: Mapped[int | None]
    max_concurrent_batch_predictions_job: Mapped[int | None]
    supported_model_formats: Mapped[list[str]] = mapped_column(Json)
    credential_id: Mapped[str | None] = mapped_column(Id)
    datastore_id: Mapped[str | None] = mapped_column(Id)
    is_default: Mapped[bool] = mapped_column(default=False, index=True)
    created_by_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
