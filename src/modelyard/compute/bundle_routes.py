"""``/mlops/compute/bundles/``: the resource bundles to choose from."""

from modelyard.compute.bundle_schemas import BundleListQuery, ResourceRequestBundleResponse
from modelyard.compute.bundles import Bundle, bundles
from modelyard.identity.caller import Caller
from modelyard.kernel.errors import NotFound
from modelyard.kernel.paging import Page, slice_page
from modelyard.kernel.routing import RequestInfo, endpoint
from modelyard.kernel.settings import Settings

TAG = "ResourceBundles"


@endpoint("GET", "/mlops/compute/bundles/", tag=TAG)
def list_bundles(
    caller: Caller,  # naming it asks for a token
    query: BundleListQuery,
    settings: Settings,
    request: RequestInfo,
) -> Page[ResourceRequestBundleResponse]:
    """List the resource bundles that you may use."""
    fitting = [one for one in bundles(settings) if query.use_cases is None or query.use_cases in one.use_cases]
    return slice_page([_view(one) for one in fitting], query, request)


@endpoint("GET", "/mlops/compute/bundles/{resourceRequestBundleId}/", tag=TAG, errors=(404,))
def read_bundle(
    caller: Caller,  # naming it asks for a token
    resource_request_bundle_id: str,
    settings: Settings,
) -> ResourceRequestBundleResponse:
    """Read one resource bundle."""
    bundle = next((one for one in bundles(settings) if one.id == resource_request_bundle_id), None)
    if bundle is None:
        raise NotFound(f"There is no resource bundle {resource_request_bundle_id!r}.")
    return _view(bundle)


def _view(bundle: Bundle) -> ResourceRequestBundleResponse:
    return ResourceRequestBundleResponse(
        id=bundle.id,
        name=bundle.name,
        description=bundle.description,
        cpu_count=bundle.cpu_count,
        memory_bytes=bundle.memory_bytes,
        gpu_count=bundle.gpu_count or None,
        gpu_maker=bundle.gpu_maker,  # type: ignore[arg-type] # checked by the setting
        gpu_memory_bytes=bundle.gpu_memory_bytes,
        has_gpu=bundle.gpu_count > 0,
        is_default=bundle.is_default,
        is_deleted=False,
        use_cases=list(bundle.use_cases),  # type: ignore[arg-type] # checked by the setting
    )
