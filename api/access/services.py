"""How a route gets the services of its process, limited to the tenant of the caller.

`api/wiring.py` makes one service of each class. A room declares the services that its routes need:

    Runs = Annotated[RunService, Depends(service(RunService))]

A service of a tenant has the method `for_tenant`. A route gets a copy of the service for the tenant of the caller, so
no route can read the rows of another tenant. The other services are shared by all tenants.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, Self, TypeVar, cast

from fastapi import Request

from api.access.caller import Caller

Service = TypeVar("Service")


class TenantService(Protocol):
    """A service that works on the rows of one tenant."""

    def for_tenant(self, tenant: str) -> Self:
        """Return the same service for another tenant."""


class Services:
    """The services of one process, by class.

    Args:
        services: one service of each class. Services of a tenant are for no tenant yet.
    """

    def __init__(self, *services: object) -> None:
        self._by_class = {type(service): service for service in services}

    def of(self, kind: type[Service], caller: Caller) -> Service:
        """Return the service of a class, for the tenant of the caller."""
        found = self._by_class[kind]
        if hasattr(found, "for_tenant"):
            found = cast("TenantService", found).for_tenant(caller.tenant)
        return cast("Service", found)


def service_of(kind: type[Service], request: Request) -> Service:
    """Return the service of a class, for the caller of a request."""
    services: Services = request.app.state.services
    return services.of(kind, request.scope["caller"])


def service(kind: type[Service]) -> Callable[[Request], Awaitable[Service]]:
    """Return the dependency of a route that needs the service of a class."""

    async def provide(request: Request) -> Service:
        return service_of(kind, request)

    return provide
