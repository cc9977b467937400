"""The parts of one API process, and how a route gets at them."""

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from api.intake import Intake
from api.queue import Ringer
from api.results import Results
from api.service import Service
from api.sweep import Sweeper
from core.settings import Settings
from core.store.artifacts import ArtifactStore
from core.store.session import Database


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything that lives as long as the process.

    Attributes:
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
    stopping: threading.Event = field(default_factory=threading.Event)


def wire(settings: Settings) -> Parts:
    """Put the parts together; nothing is opened or started yet."""
    database, store, ringer = Database(settings.database), ArtifactStore(settings.artifacts), Ringer(settings.broker)
    sweeper = Sweeper(database, ringer.ring, max_attempts=settings.max_attempts, seconds=settings.sweep_seconds)
    return Parts(
        settings=settings,
        database=database,
        store=store,
        ringer=ringer,
        sweeper=sweeper,
        service=Service(settings, database, store, ringer.ring),
        intake=Intake(settings, database, store),
        results=Results(database, store),
    )


async def parts_of(request: Request) -> Parts:
    """The parts of the process that answers this request."""
    parts: Parts = request.app.state.parts
    return parts


PartsOf = Annotated[Parts, Depends(parts_of)]
