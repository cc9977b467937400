"""The parts of one API process, and how a route gets at them: bound to the tenant of whoever asks."""

import threading
from dataclasses import dataclass, field, replace
from typing import Annotated

from fastapi import Depends, Request

from api.access.caller import NOBODY, Caller
from api.access.keyring import KeyRing
from api.access.keys import KeyService, operators_key
from api.comparisons.service import ComparisonService
from api.datasets.service import DatasetService
from api.datasets.upload_slots import UploadSlots
from api.http.idempotency import InFlight
from api.ops.readiness import Readiness
from api.ops.sweeper import Sweeper
from api.runs.artifacts import RunArtifacts
from api.runs.polling import RunReads
from api.runs.service import RunService
from api.webhooks.delivery import Deliverer
from api.webhooks.service import WebhookService
from core.queue.notifier import Notifier
from core.queue.sender import make_celery
from core.settings import Settings
from core.store.database.session import Database
from core.store.objects.artifacts import ArtifactStore, open_store

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
    notifier: Notifier
    sweeper: Sweeper
    service: RunService
    comparisons: ComparisonService
    intake: DatasetService
    results: RunArtifacts
    webhooks: WebhookService
    deliverer: Deliverer
    keys: KeyService
    keyring: KeyRing
    tenant: str
    run_reads: RunReads
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
        service = replace(self.service, tenant=tenant)
        return replace(
            self,
            tenant=tenant,
            service=service,
            comparisons=ComparisonService(service),
            intake=replace(self.intake, tenant=tenant),
            results=replace(self.results, tenant=tenant),
        )


def wire(settings: Settings) -> Parts:
    """Put the parts together, for nobody: `Parts.of` gives a caller's. Nothing is opened or started yet."""
    database, notifier, tenant = Database(settings.database), Notifier(make_celery(settings.broker)), NOBODY.tenant
    store, stopping = open_store(settings.artifacts, home=settings.root), threading.Event()
    sweeper, in_flight = Sweeper(settings, database, store, notifier.notify), InFlight()
    service = RunService(settings, database, store, notifier.notify, tenant, in_flight)
    return Parts(
        settings=settings,
        database=database,
        store=store,
        notifier=notifier,
        sweeper=sweeper,
        service=service,
        comparisons=ComparisonService(service),
        intake=DatasetService(settings, database, store, tenant, UploadSlots(settings.max_uploads), in_flight),
        results=RunArtifacts(database, store, tenant),
        webhooks=WebhookService(database, allow_private=settings.webhook_allow_private),
        deliverer=Deliverer(
            database, allow_private=settings.webhook_allow_private, poll_seconds=settings.webhook_poll_seconds
        ),
        keys=KeyService(database),
        keyring=KeyRing(database, settings, operator=operators_key(settings)),
        tenant=tenant,
        run_reads=RunReads(database, stopping),
        readiness=Readiness(database, store),
        stopping=stopping,
    )


async def parts_of(request: Request) -> Parts:
    """The parts of the process that answers this request, bound to its caller by the gate."""
    parts: Parts = request.app.state.parts
    return parts.of(request.scope["caller"])


PartsOf = Annotated[Parts, Depends(parts_of)]
