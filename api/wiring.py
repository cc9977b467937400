"""Makes the services of one API process, and starts and stops those that work in the background."""

import threading
from dataclasses import dataclass

from api.access.caller import NOBODY
from api.access.keyring import KeyRing
from api.access.keys import KeyService, operators_key
from api.access.services import Services
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
from core.store.database import migrate
from core.store.database.session import Database
from core.store.objects import ownership
from core.store.objects.artifacts import ArtifactStore, open_store


@dataclass(frozen=True, slots=True)
class Process:
    """One API process.

    Attributes:
        settings: settings of the operator.
        database: the service's database.
        store: the service's artifact store.
        notifier: sends wake-ups to workers.
        sweeper: sweeps in the background.
        deliverer: sends webhook deliveries in the background.
        reads: coalesced reads of runs.
        keyring: cached API keys.
        services: what routes use, by class.
        stopping: set when the process shall stop. Endless responses end then.
    """

    settings: Settings
    database: Database
    store: ArtifactStore
    notifier: Notifier
    sweeper: Sweeper
    deliverer: Deliverer
    reads: RunReads
    keyring: KeyRing
    services: Services
    stopping: threading.Event

    def start(self) -> None:
        """Bring the database and the store to this version, and start the background work."""
        migrate.upgrade(self.database)
        self.store.prepare()
        ownership.claim(self.database, self.store)
        self.notifier.start()
        self.sweeper.start()
        self.deliverer.start()

    def stop(self) -> None:
        """Stop the background work and close the database."""
        self.deliverer.stop()
        self.sweeper.stop()
        self.notifier.stop()
        self.reads.close()
        self.database.close()


def wire(settings: Settings) -> Process:
    """Make the services of a process. Nothing is opened or started yet."""
    database, notifier, stopping = (
        Database(settings.database),
        Notifier(make_celery(settings.broker)),
        threading.Event(),
    )
    store, tenant, in_flight = open_store(settings.artifacts, home=settings.root), NOBODY.tenant, InFlight()
    runs = RunService(settings, database, store, notifier.notify, tenant, in_flight)
    reads = RunReads.open(database, stopping, tenant)
    keyring = KeyRing(database, settings, operator=operators_key(settings))
    private = settings.webhook_allow_private
    return Process(
        settings=settings,
        database=database,
        store=store,
        notifier=notifier,
        sweeper=Sweeper(settings, database, store, notifier.notify),
        deliverer=Deliverer(database, allow_private=private, poll_seconds=settings.webhook_poll_seconds),
        reads=reads,
        keyring=keyring,
        services=Services(
            settings,
            database,
            runs,
            reads,
            keyring,
            ComparisonService(runs),
            DatasetService(settings, database, store, tenant, UploadSlots(settings.max_uploads), in_flight),
            RunArtifacts(database, store, tenant),
            WebhookService(database, tenant, allow_private=private),
            KeyService(database),
            Readiness(database, store),
        ),
        stopping=stopping,
    )
