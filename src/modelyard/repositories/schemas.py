"""Wire types of ``/remoteRepositories/`` (supporting-endpoints.md, A.13)."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.kernel.paging import PageQuery
from modelyard.kernel.wire import UNSET, Body, Moment, Schema, UnsetType

SourceType = Literal[
    "git",
    "github",
    "github-enterprise",
    "gitlab-cloud",
    "gitlab-enterprise",
    "bitbucket-cloud",
    "bitbucket-server",
    "s3",
]
Name = Annotated[str, Meta(min_length=1, max_length=255)]
Description = Annotated[str, Meta(max_length=4096)]
Location = Annotated[str, Meta(min_length=1, max_length=1024)]
SourcePath = str | list[str] | UnsetType
"""One path of a repository or several, as the ``fromRepository`` bodies have it."""


class RemoteRepositoryCreate(Body, kw_only=True):
    name: Name
    location: Location
    source_type: SourceType
    description: Description | UnsetType | None = UNSET
    credential_id: str | UnsetType | None = UNSET


class RemoteRepositoryUpdate(Body, kw_only=True):
    """What is absent stays."""

    name: Name | UnsetType = UNSET
    location: Location | UnsetType = UNSET
    source_type: SourceType | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    credential_id: str | UnsetType | None = UNSET


class RemoteRepositoryListQuery(PageQuery):
    search_for: str | None = None
    order_by: Literal["name", "-name", "created", "-created"] = "-created"


class RemoteRepositoryResponse(Schema):
    id: str
    name: str
    description: str | None
    location: str
    source_type: SourceType
    credential_id: str | None
    created: Moment
    updated: Moment
