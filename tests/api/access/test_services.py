from dataclasses import dataclass, replace

import pytest

from api.access.caller import NOBODY, OPERATOR
from api.access.services import Services
from core.store.database.tables import DEFAULT_TENANT


@dataclass(frozen=True)
class Rows:
    tenant: str = ""

    def for_tenant(self, tenant):
        return replace(self, tenant=tenant)


class Clock:
    """A service that all tenants share."""


def test_of__a_service_of_a_tenant_is_limited_to_the_caller():
    services = Services(Rows(), Clock())
    assert services.of(Rows, OPERATOR) == Rows(DEFAULT_TENANT)
    assert services.of(Rows, NOBODY) == Rows("")


def test_of__another_service_is_shared():
    clock = Clock()
    assert Services(Rows(), clock).of(Clock, OPERATOR) is clock


def test_of__a_class_without_a_service():
    with pytest.raises(KeyError):
        Services(Rows()).of(Clock, OPERATOR)
