"""Whether the service lives, whether it is ready, and what its problems mean."""

import inspect
import os
from typing import Any

from fastapi import APIRouter

from api import errors
from api.wiring import PartsOf
from core.errors import NotFoundError, StorageUnavailableError
from core.store import workers

router = APIRouter(tags=["service"])


@router.get("/livez", operation_id="live", summary="Is the process alive?")
async def live() -> dict[str, str]:
    """Touches nothing."""
    return {"status": "ok"}


@router.get("/readyz", operation_id="ready", summary="Can runs be accepted?")
def ready(parts: PartsOf) -> dict[str, Any]:
    """Looks at database and store. A missing worker is told, but is no failure: runs wait for one."""
    with parts.database.reading() as session:
        alive = workers.alive(session)
    parts.store.prepare()
    if not os.access(parts.store.root, os.W_OK):
        raise StorageUnavailableError(f"{parts.store.root} cannot be written.")
    queues = sorted({queue for worker in alive for queue in worker.queues})
    return {"status": "ok", "database": "ok", "store": "ok", "workers": len(alive), "queues": queues}


@router.get("/problems/{slug}", operation_id="explainProblem", summary="What does an error mean?")
async def explain(slug: str) -> dict[str, Any]:
    """The type of a problem, explained."""
    for kind in errors.known():
        if kind.type == slug:
            status, description = errors.STATUS[kind], inspect.getdoc(kind) or ""
            return {"type": f"/problems/{slug}", "title": kind.title, "status": status, "description": description}
    raise NotFoundError("There is no problem of this type.")
