"""The parts of one API process, and how a route gets at them: bound to the tenant of whoever asks."""

import threading
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request

from api.caller import NOBODY, Caller
from api.delivery import Deliverer
from api.idempotency import InFlight
from api.intake import Intake
from api.keyring import KeyRing
from api.keys import Keys, operators_key
from api.looks import Looks
from api.queue import make_celery
from api.readiness import Readiness
from api.results import Results
from api.service import Service
from api.sweep import Sweeper
from api.upload_slots import UploadSlots
from api.webhooks import Webhooks
from core.settings import Settings
from core.store.artifacts import ArtifactStore, open_store
from core.store.ringer import Ringer
from core.store.session import Database

MOST_BOUND = 1000


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the process.

    Attributes:
        tenant: whose runs, datasets and results these parts work on.
        bound: the parts of each tenant that has asked, made once.
        stopping: set when the process is asked to end: answers that would last for ever then end too.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    ringer: Ringer
    sweeper: Sweeper
    service: Service
    intake: Intake
    results: Results
    webhooks: Webhooks
    deliverer: Deliverer
    keys: Keys
    keyring: KeyRing
    tenant: str
    looks: Looks
    readiness: Readiness
    stopping: threading.Event
    bound: dict[str, "Parts"] = field(default_factory=dict)

    def of(self, caller: Caller) -> "Parts":
        """The same parts, of which runs, datasets and results are the caller's only."""
        if caller.tenant not in self.bound:
            if len(self.bound) >= MOST_BOUND:
                self.bound.clear()
            self.bound[caller.tenant] = self._of(caller.tenant)
        return self.bound[caller.tenant]

    def _of(self, tenant: str) -> "Parts":
        return replace(
            self,
            tenant=tenant,
            service=replace(self.service, tenant=tenant),
            intake=replace(self.intake, tenant=tenant),
            results=replace(self.results, tenant=tenant),
        )


def wire(settings: Settings) -> Parts:
    """Put the parts together, for nobody: `Parts.of` gives a caller's. Nothing is opened or started yet."""
    database, ringer, tenant = Database(settings.database), Ringer(make_celery(settings.broker)), NOBODY.tenant
    store, stopping = open_store(settings.artifacts, home=settings.root), threading.Event()
    sweeper, in_flight = Sweeper(settings, database, store, ringer.ring), InFlight()
    return Parts(
        settings=settings,
        database=database,
        store=store,
        ringer=ringer,
        sweeper=sweeper,
        service=Service(settings, database, store, ringer.ring, tenant, in_flight),
        intake=Intake(settings, database, store, tenant, UploadSlots(settings.max_uploads), in_flight),
        results=Results(database, store, tenant),
        webhooks=Webhooks(database, allow_private=settings.webhook_allow_private),
        deliverer=Deliverer(
            database, allow_private=settings.webhook_allow_private, poll_seconds=settings.webhook_poll_seconds
        ),
        keys=Keys(database),
        keyring=KeyRing(database, settings, operator=operators_key(settings)),
        tenant=tenant,
        looks=Looks(database, stopping),
        readiness=Readiness(database, store),
        stopping=stopping,
    )


async def parts_of(request: Request) -> Parts:
    """The parts of the process that answers this request, bound to its caller by the gate."""
    parts: Parts = request.app.state.parts
    return parts.of(request.scope["caller"])


PartsOf = Annotated[Parts, Depends(parts_of)]
