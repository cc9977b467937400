"""From a request's key to its caller.

The operator's key (EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE) is of the tenant "default" and may do everything; all
others are in the table. The service is open to its own machine only while there is neither an operator's key nor has
there ever been one in the table: revoking the last key does not open it again.
"""

import hmac
import time
from collections.abc import Callable, Mapping

from fastapi.concurrency import run_in_threadpool

from api.access.caller import LOCAL_CALLER, OPERATOR, Caller, Scope
from api.access.hosts import is_loopback
from api.access.keys import PREFIX, digest
from core.settings import Settings
from core.store.database.session import Database
from core.store.queries import keys

KEPT_SECONDS = 2.0
"""So long an answer of the table is believed: a revoked key works no longer than this."""

MOST_KEPT = 10_000


class KeyRing:
    """Knows callers by their keys. Of the table's answers it keeps those about keys that are valid."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        operator: str | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._operator = digest(operator) if operator is not None else None
        self._may_be_open = operator is None and is_loopback(settings.host)
        self._clock = clock
        self._known: dict[str, tuple[Caller, float]] = {}
        self._open_until = 0.0

    async def identify(
        self, headers: Mapping[str, str], *, before_look_up: Callable[[], None] | None = None
    ) -> Caller | None:
        """The caller of a request with these headers, None where they must not come in.

        Args:
            headers: of the request.
            before_look_up: called before the table is asked for a key that this process does not know to have been
                valid. What it raises is passed on, and the table is not asked.

        Raises:
            StorageUnavailableError: the table has to be asked, and does not answer.
        """
        offered = [digest(key) for key in _offered(headers)]
        if self._operator and any([hmac.compare_digest(one, self._operator) for one in offered]):  # noqa: C419 - all
            return OPERATOR
        for one, key in zip(offered, _offered(headers), strict=True):
            if not key.startswith(PREFIX):
                continue
            if before_look_up and one not in self._known:
                before_look_up()
            if caller := await self._look_up(one):
                return caller
        return LOCAL_CALLER if self._may_be_open and await self._is_open() else None

    def forget(self) -> None:
        """Ask the table again from now on: a key was made or revoked by this process."""
        self._known.clear()
        self._open_until = 0.0

    async def _look_up(self, digested: str) -> Caller | None:
        caller, until = self._known.get(digested, (None, 0.0))
        if self._clock() < until:
            return caller
        asked_at = self._clock()
        caller = await run_in_threadpool(self._in_table, digested)
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        if caller:
            self._known[digested] = caller, asked_at + KEPT_SECONDS
        else:
            self._known.pop(digested, None)
        return caller

    def _in_table(self, digested: str) -> Caller | None:
        with self._database.reading() as session:
            row = keys.valid(session, digested)
        if row is None or not hmac.compare_digest(row.digest, digested):
            return None
        return Caller(row.tenant, frozenset(map(Scope, row.scopes)), row.id)

    async def _is_open(self) -> bool:
        if self._clock() < self._open_until:
            return True
        asked_at = self._clock()
        if await run_in_threadpool(self._ever_had_keys):
            self._may_be_open = False
            return False
        self._open_until = asked_at + KEPT_SECONDS
        return True

    def _ever_had_keys(self) -> bool:
        with self._database.reading() as session:
            return keys.ever_made(session)


def _offered(headers: Mapping[str, str]) -> list[str]:
    """The keys that a request brings: in X-API-Key and as a bearer; never a cookie's, which browsers add themselves."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    sent = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    return [key for key in sent if key]
