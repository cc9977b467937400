"""Who sends a request: the tenant that it acts for, and what it may do. `Gate` finds out, before any route is asked."""

from dataclasses import dataclass
from enum import StrEnum

from core.store.database.tables import DEFAULT_TENANT


class Scope(StrEnum):
    """What a key may do. `admin` is of the whole service: keys of every tenant, workers, metrics."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever sends a request; `key_id` is None where no key was needed."""

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None = None


OPERATOR = Caller(DEFAULT_TENANT, frozenset(Scope), "operator")
"""With the key of EMBEDREEL_API_KEY."""

LOCAL_CALLER = Caller(DEFAULT_TENANT, frozenset(Scope))
"""Without a key, on this machine, where the service has none."""

NOBODY = Caller("", frozenset())
"""At an address that is open to everybody; no row has this tenant."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_PATHS = ("/v1/keys", "/v1/workers", "/metrics")


def scope_needed(method: str, path: str) -> Scope:
    """What a request needs, by its address alone, so that a route that is added later is closed too.

    >>> scope_needed("GET", "/v1/runs"), scope_needed("DELETE", "/v1/runs/x"), scope_needed("GET", "/v1/keys/x")
    (<Scope.READ: 'read'>, <Scope.WRITE: 'write'>, <Scope.ADMIN: 'admin'>)
    """
    if any(path == admin or path.startswith(f"{admin}/") for admin in _ADMIN_PATHS):
        return Scope.ADMIN
    return Scope.READ if method in SAFE_METHODS else Scope.WRITE
