"""Wire types of resource bundles, named as in the contract."""

from typing import Annotated, Literal

from msgspec import Meta

from modelyard.kernel.paging import Offset
from modelyard.kernel.wire import Query, Schema, Uri

UseCase = Literal["customApplication", "customJob", "customModel", "sapAICore"]


class BundleListQuery(Query):
    use_cases: UseCase | None = None
    offset: Offset = 0
    limit: Annotated[int, Meta(ge=1, le=100)] = 100


class ResourceRequestBundleResponse(Schema):
    id: str
    name: str
    description: str
    cpu_count: int
    memory_bytes: int
    gpu_count: int | None
    gpu_maker: Literal["nvidia", "amd", "intel"] | None
    gpu_memory_bytes: int
    has_gpu: bool
    is_default: bool
    is_deleted: bool
    use_cases: list[UseCase]


class ResourceRequestBundleListResponse(Schema):
    count: int
    next: Uri | None
    previous: Uri | None
    total_count: int
    data: Annotated[list[ResourceRequestBundleResponse], Meta(max_length=100)]
