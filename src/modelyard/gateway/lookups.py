"""Questions to the database about tokens, one thread for those that are known and one for those that are not."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from modelyard.gateway.grants import Grant, Grants, Key
from modelyard.kernel.outages import Outage, OutageLog

log = logging.getLogger(__name__)

MAX_WAITING = 2000
BATCH = 20
STALLED_S = 1.5
"""The database is taken to be away when a question to it takes longer: requests are answered meanwhile."""


class LookupLimitError(Exception):
    """More requests with unknown tokens are waiting than can be looked up soon."""


@dataclass
class _Lookup:
    key: Key
    answer: "asyncio.Future[Grant]"
    is_wanted: list[Callable[[], bool]] = field(default_factory=list)


class _Lane:
    """Lookups of one kind, a few at a time in a thread of their own."""

    def __init__(self, grants: Grants, name: str) -> None:
        self._grants = grants
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting: deque[_Lookup] = deque()
        self._by_key: dict[Key, _Lookup] = {}
        self._worker: asyncio.Task[None] | None = None
        self._asking: asyncio.Future[list[Grant]] | None = None
        self._outages = OutageLog(log, f"{name} cannot be looked up")

    async def load(self, key: Key, is_wanted: Callable[[], bool]) -> Grant:
        if self._is_stalled():
            return self._known_in_outage(key)
        lookup = self._by_key.get(key)
        if lookup is None:
            if len(self._waiting) >= MAX_WAITING:
                raise LookupLimitError
            lookup = _Lookup(key, asyncio.get_running_loop().create_future())
            self._by_key[key] = lookup
            self._waiting.append(lookup)
        lookup.is_wanted.append(is_wanted)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await asyncio.shield(lookup.answer)

    def _is_stalled(self) -> bool:
        """Whether a question has been given up that is still being asked: further ones would wait behind it."""
        return self._asking is not None and not self._asking.done()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            lookups = self._take()
            keys = [lookup.key for lookup in lookups]
            asking = loop.run_in_executor(self._executor, self._grants.load_many, keys)
            try:
                grants = await asyncio.wait_for(asyncio.shield(asking), STALLED_S)
            except TimeoutError:
                self._outages.failed(Outage("The database does not answer."))
                self._asking = asking
                asking.add_done_callback(self._is_answered)
                for lookup in [*lookups, *self._take_all()]:
                    self._resolve_in_outage(lookup)
            except Exception as error:  # noqa: BLE001 # logged
                self._outages.failed(error)
                for lookup in lookups:
                    self._resolve_in_outage(lookup)
            else:
                self._outages.succeeded()
                for lookup, grant in zip(lookups, grants, strict=True):
                    lookup.answer.set_result(grant)

    def _is_answered(self, asking: "asyncio.Future[list[Grant]]") -> None:
        """A question that was given up has an answer now, or an error, which is nobody's any more."""
        if not asking.cancelled() and asking.exception() is None:
            self._outages.succeeded()

    def _take_all(self) -> list[_Lookup]:
        lookups = list(self._waiting)
        self._waiting.clear()
        self._by_key.clear()
        return lookups

    def _take(self) -> list[_Lookup]:
        """The next ones whose clients still wait. Who asks the same from now on wants what is true then."""
        lookups: list[_Lookup] = []
        while self._waiting and len(lookups) < BATCH:
            lookup = self._waiting.popleft()
            del self._by_key[lookup.key]
            if any(is_wanted() for is_wanted in lookup.is_wanted):
                lookups.append(lookup)
            else:
                lookup.answer.cancel()
        return lookups

    def _resolve_in_outage(self, lookup: _Lookup) -> None:
        try:
            lookup.answer.set_result(self._known_in_outage(lookup.key))
        except ConnectionError as error:
            lookup.answer.set_exception(error)

    def _known_in_outage(self, key: Key) -> Grant:
        known = self._grants.find_for_outage(key)
        if known is None:
            raise ConnectionError("the database cannot be asked")
        return known


class Lookups:
    """Belongs to one event loop. Many requests with the same token and deployment are one question."""

    def __init__(self, grants: Grants) -> None:
        self._grants = grants
        self._known = _Lane(grants, "known tokens")
        self._unknown = _Lane(grants, "unknown tokens")

    async def load(self, header: str, deployment_id: str, is_wanted: Callable[[], bool]) -> Grant:
        """Return what the token may do, read now.

        ``is_wanted`` says whether somebody still waits when its turn has come; the task is cancelled if not.
        Raises ``LookupLimitError``, and ``ConnectionError`` while the database cannot be asked.
        """
        key = (header, deployment_id)
        lane = self._known if self._grants.is_cached(key) else self._unknown
        return await lane.load(key, is_wanted)
