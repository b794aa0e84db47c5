"""Who there is, and who may do what to which resource.

``compared_name`` is what is unique of a name: names that look the same or differ in case only are the same name.
"""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from modelyard.kernel.database import Base, Id, Json
from modelyard.kernel.ids import new_id
from modelyard.kernel.texts import comparable


class ResourceKind(StrEnum):
    """Everything that can be shared."""

    CUSTOM_MODEL = "customModel"
    CUSTOM_TASK = "customTask"
    CUSTOM_JOB = "customJob"
    CUSTOM_APPLICATION = "customApplication"
    CUSTOM_APPLICATION_SOURCE = "customApplicationSource"
    CUSTOM_TEMPLATE = "customTemplate"
    ENVIRONMENT = "executionEnvironment"
    DATASET = "dataset"
    CREDENTIAL = "credential"
    REPOSITORY = "remoteRepository"
    CODESPACE = "codespace"
    PROJECT = "project"
    REGISTERED_MODEL = "registeredModel"
    PREDICTION_ENVIRONMENT = "predictionEnvironment"
    DEPLOYMENT = "deployment"


class SubjectKind(StrEnum):
    USER = "user"
    GROUP = "group"
    ORGANIZATION = "organization"


class Organization(Base):
    __tablename__ = "organizations"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(255))
    compared_name: Mapped[str] = mapped_column(String(255), unique=True)
    created_at: Mapped[datetime]

    @validates("name")
    def _compare(self, _field: str, name: str) -> str:
        self.compared_name = comparable(name)
        return name


class User(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id, ForeignKey("organizations.id"), index=True)
    username: Mapped[str] = mapped_column(String(255), index=True)
    compared_name: Mapped[str] = mapped_column(String(255), unique=True)
    email: Mapped[str | None] = mapped_column(String(255))
    first_name: Mapped[str | None] = mapped_column(String(255))
    last_name: Mapped[str | None] = mapped_column(String(255))
    password_hash: Mapped[str | None] = mapped_column(String(255))
    is_admin: Mapped[bool] = mapped_column(default=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime]

    @validates("username")
    def _compare(self, _field: str, username: str) -> str:
        self.compared_name = comparable(username)
        return username


class Group(Base):
    __tablename__ = "groups"
    __table_args__ = (UniqueConstraint("organization_id", "compared_name"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    organization_id: Mapped[str] = mapped_column(Id, ForeignKey("organizations.id"))
    name: Mapped[str] = mapped_column(String(255))
    compared_name: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]

    @validates("name")
    def _compare(self, _field: str, name: str) -> str:
        self.compared_name = comparable(name)
        return name


class GroupMember(Base):
    __tablename__ = "group_members"

    group_id: Mapped[str] = mapped_column(Id, ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)


class ApiToken(Base):
    """A token is random and stored as its SHA-256; it is shown once, when it is made."""

    __tablename__ = "api_tokens"

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    user_id: Mapped[str] = mapped_column(Id, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(255))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    scope: Mapped[str] = mapped_column(String(32), default="full")
    holder_id: Mapped[str | None] = mapped_column(Id, index=True)
    """What the token was made for, such as a run; it goes with that."""
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]


class Grant(Base):
    """One line of an access control list. Rows go when their resource is deleted."""

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_subject", "subject_id", "resource_kind", "resource_id", "role"),)

    resource_kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    resource_id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject_id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject_kind: Mapped[str] = mapped_column(String(16))
    role: Mapped[str] = mapped_column(String(32))
    can_share: Mapped[bool]
    created_at: Mapped[datetime]


class GrantCount(Base):
    """How many resources of a kind a subject's grants show in lists; kept by ``identity.grant_counts``."""

    __tablename__ = "grant_counts"

    subject_id: Mapped[str] = mapped_column(Id, primary_key=True)
    resource_kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    visible: Mapped[int]


class AuditEvent(Base):
    """Who changed what, and when; written in the transaction of the change."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_resource", "resource_kind", "resource_id"),)

    id: Mapped[str] = mapped_column(Id, primary_key=True, default=new_id)
    at: Mapped[datetime] = mapped_column(index=True)
    user_id: Mapped[str | None] = mapped_column(Id)
    action: Mapped[str] = mapped_column(String(64))
    resource_kind: Mapped[str] = mapped_column(String(32))
    resource_id: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, object] | None] = mapped_column(Json)
