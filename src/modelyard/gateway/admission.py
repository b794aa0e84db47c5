"""Whether a request may go to a model, and to which replicas: asked as soon as its head is there."""

from typing import TYPE_CHECKING

from modelyard.gateway.errors import inactive, not_found
from modelyard.gateway.exchange import Exchange
from modelyard.gateway.grants import Grant
from modelyard.gateway.lookups import LookupLimitError

if TYPE_CHECKING:
    from modelyard.gateway.connection import ClientConnection
    from modelyard.gateway.server import Gateway

RETRY_AFTER_S = 1


class Admission:
    """Admits the requests of one connection, one after another. A refusal does not wait for the body."""

    def __init__(self, gateway: "Gateway", client: "ClientConnection") -> None:
        self.is_waiting = False
        """Whether something is being looked up; until then no more of the body is read."""
        self._gateway = gateway
        self._client = client
        self._exchange: Exchange | None = None
        self._authorization = ""
        self._deployment_id = ""
        self._grant: Grant | None = None
        self._looked_again = False
        self._checked_again = False

    def begin(self, exchange: Exchange, authorization: str, deployment_id: str) -> None:
        """Find out what the sender may do; the client is told with ``admitted``, or the exchange fails."""
        self._exchange = exchange
        self._authorization = authorization
        self._deployment_id = deployment_id
        self._looked_again = False
        self._checked_again = False
        self._grant = self._gateway.grants.find(authorization, deployment_id)
        if self._grant is None:
            self._wait_for_lookup(exchange)
        else:
            self._client.admitted()

    def dispatch(self, *, whole: bool) -> None:
        """Send the request to a replica. ``whole`` says that the body has come to its end."""
        exchange = self._exchange
        if exchange is None or self.is_waiting:
            return
        if self._client.is_slow and not self._checked_again:
            self._checked_again = True  # the token may have been revoked while the body came
            if self._gateway.grants.find(self._authorization, self._deployment_id) is None:
                self._wait_for_lookup(exchange)
                return
        target = self._gateway.table.target(self._deployment_id)
        if (target is None or not target.upstreams or not target.is_active) and not self._looked_again:
            self._looked_again = True  # what became ready a moment ago may not have been noticed yet
            self.is_waiting = True
            self._gateway.spawn(self._look_again(exchange))
            return
        if target is None:  # the right to it is known, so it exists, but nothing of it was ever started
            exchange.fail(503, f"Deployment {self._deployment_id} is not running; its status and its log say why.")
        elif not target.is_active:
            exchange.fail(422, inactive(self._deployment_id))
        else:
            exchange.start(target, self._client.take_body(whole=whole), whole=whole)

    def _wait_for_lookup(self, exchange: Exchange) -> None:
        self.is_waiting = True
        self._client.hold_body()
        self._gateway.spawn(self._look_up(exchange))

    async def _look_up(self, exchange: Exchange) -> None:
        try:
            load = self._gateway.lookups.load
            grant = await load(self._authorization, self._deployment_id, lambda: not exchange.done)
        except LookupLimitError:
            grant, message = None, "Too many requests with unknown tokens are waiting; try again in a moment."
        except ConnectionError:
            grant, message = None, "The database that knows the tokens cannot be asked; try again in a moment."
        if self._exchange is not exchange:
            return
        self.is_waiting = False
        if exchange.done:
            return
        if grant is None:
            exchange.fail(503, message, retry_after_s=RETRY_AFTER_S)
        elif not grant.is_valid:
            self._client.distrusted()
            exchange.fail(401, "The API token is unknown, expired or revoked.")
        elif not grant.may_use:
            self._client.admitted(expects_body=False)
            exchange.fail(404, not_found(self._deployment_id))
        else:
            self._grant = grant
            self._client.admitted()
            self._client.go_on()

    async def _look_again(self, exchange: Exchange) -> None:
        """Read the routes again; a deployment that is not among them was deleted, and the right to it with it."""
        await self._gateway.refresh_soon()
        if self._exchange is not exchange:
            return
        self.is_waiting = False
        if exchange.done:
            return
        if self._gateway.table.target(self._deployment_id) is None:
            self._wait_for_lookup(exchange)
        else:
            self._client.go_on()
