"""How this installation is doing, for whoever asks; needs no token."""

from typing import Literal

from modelyard.compute.isolation import Isolation
from modelyard.kernel.routing import endpoint
from modelyard.kernel.wire import Schema


class HealthResponse(Schema):
    """``warning`` says what is unsafe about how user code runs; null where it runs in a sandbox."""

    status: Literal["ok"]
    sandbox: Literal["on", "off"]
    warning: str | None


@endpoint("GET", "/health/", tag="Info")
def read_health(isolation: Isolation) -> HealthResponse:
    """Tell that the API is there, and whether user code runs in a sandbox. Needs no token."""
    return HealthResponse("ok", "on" if isolation.is_sandboxed else "off", isolation.warning)
