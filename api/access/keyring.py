"""Find the caller of a request by its API key.

The operator's key (EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE) belongs to the tenant "default" and has every scope.
All other keys are in the database table. The service accepts local requests without a key only while there is no
operator's key and the table has never had a key. Revoking the last key therefore does not open the service again.
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
"""Maximum age of a cached key lookup, seconds. A revoked key works for at most this time.

Chosen by hand; not measured. A longer time saves database reads, a shorter time makes revocation faster.
"""

MOST_KEPT = 10_000
"""Number of cached keys at which the cache is emptied. It bounds memory. Chosen by hand; not measured."""


class KeyRing:
    """Finds callers by their keys, and caches the lookups of valid keys."""

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
        """Return the caller of a request with these headers, or None if access is denied.

        Args:
            headers: the request's headers.
            before_look_up: called before each database lookup of a key that is not in the cache. An exception that it
                raises propagates, and the lookup does not happen.

        Raises:
            StorageUnavailableError: a lookup is needed, and the database does not answer.
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
        """Empty the cache, because this process has made or revoked a key."""
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
    """Return the keys in X-API-Key and in the bearer token. Cookies are ignored, because browsers add them."""
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    sent = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    return [key for key in sent if key]
