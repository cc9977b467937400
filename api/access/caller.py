"""The caller of a request: its tenant and its scopes. `AuthMiddleware` determines the caller before any route runs."""

from dataclasses import dataclass
from enum import StrEnum

from core.store.database.tables import DEFAULT_TENANT


class Scope(StrEnum):
    """What a key permits. `admin` covers the whole service: the keys of every tenant, the workers and the metrics."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        tenant: owner of the runs and datasets that the caller can reach.
        scopes: scopes of the caller's key.
        key_id: id of the API key; None if the request needed no key.
    """

    tenant: str
    scopes: frozenset[Scope]
    key_id: str | None = None


OPERATOR = Caller(DEFAULT_TENANT, frozenset(Scope), "operator")
"""A caller with the operator's key (EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE)."""

LOCAL_CALLER = Caller(DEFAULT_TENANT, frozenset(Scope))
"""A caller without a key, on a service that listens on loopback and has no keys."""

NOBODY = Caller("", frozenset())
"""The caller at a path that needs no key. No database row has this tenant."""

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_PATHS = ("/v1/keys", "/v1/workers", "/metrics")


def scope_needed(method: str, path: str) -> Scope:
    """Return the scope that a request needs.

    Only the method and the path decide, so the rule also covers new routes.

    >>> scope_needed("GET", "/v1/runs"), scope_needed("DELETE", "/v1/runs/x"), scope_needed("GET", "/v1/keys/x")
    (<Scope.READ: 'read'>, <Scope.WRITE: 'write'>, <Scope.ADMIN: 'admin'>)
    """
    if any(path == admin or path.startswith(f"{admin}/") for admin in _ADMIN_PATHS):
        return Scope.ADMIN
    return Scope.READ if method in SAFE_METHODS else Scope.WRITE
