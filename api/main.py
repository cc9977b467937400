"""The API: wiring, lifespan. `uvicorn api.main:create_app --factory`, or `python -m api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.telemetry import TelemetryConfig

from api import errors, figures, openapi
from api.hosts import Hosts
from api.limits import Meter
from api.observe import Observer
from api.routes import (
    artifacts,
    comparisons,
    datasets,
    docs,
    events,
    health,
    keys,
    metrics,
    models,
    problems,
    runs,
    webhooks,
    workers,
)
from api.security import Gate
from api.wiring import Parts, wire
from core import tracing
from core.settings import Settings, read_settings
from core.store import migrate, ownership
from core.version import installed_version

DESCRIPTION = "Films of vision models while they learn. POST a run, follow it, and get the film as a GIF."
SPANS_ONLY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in {"/livez", "/readyz", "/metrics"},
}
"""Of what FastAPI can tell by OpenTelemetry: a span a request. /metrics and the log have the rest."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, on the EMBEDREEL_* variables unless settings are given. Nothing is opened before it starts."""
    settings = settings or read_settings()
    app = FastAPI(
        title="Embedreel",
        summary="A service that films a model while it learns",
        description=DESCRIPTION,
        version=installed_version(),
        lifespan=_lifespan,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracer_provider": tracing.provider(), **SPANS_ONLY},
    )
    parts = app.state.parts = wire(settings)
    app.state.registry = figures.make_registry(parts.database, parts.store.scratch, version=app.version)
    made, service = (
        (artifacts, comparisons, datasets, models),
        (workers, webhooks, keys, health, problems, docs, metrics),
    )
    for module in (runs, events, *made, *service):
        app.include_router(module.router)
    app.add_middleware(Gate, ring=parts.keyring, hosts=Hosts(settings), meter=Meter(settings.rate_limit))
    app.add_middleware(Observer, registry=app.state.registry)  # the last one is the outermost
    errors.install(app)
    openapi.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    parts: Parts = app.state.parts
    await run_in_threadpool(_open, parts)
    yield
    await run_in_threadpool(_close, parts)


def _open(parts: Parts) -> None:
    migrate.upgrade(parts.database)
    parts.store.prepare()
    ownership.claim(parts.database, parts.store)
    parts.ringer.start()
    parts.sweeper.start()
    parts.deliverer.start()


def _close(parts: Parts) -> None:
    parts.deliverer.stop()
    parts.sweeper.stop()
    parts.ringer.stop()
    parts.looks.close()
    parts.database.close()
