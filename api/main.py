"""The API: wiring, lifespan. `uvicorn api.main:create_app --factory`, or `python -m api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter, FastAPI, Security
from fastapi.concurrency import run_in_threadpool

from api import errors, openapi
from api.intake import INCOMING
from api.routes import artifacts, datasets, events, health, models, runs
from api.security import DOCUMENTED, Gate, api_key
from api.sweep import remove_abandoned
from api.wiring import Parts, wire
from core.settings import Settings
from core.store import migrate

DESCRIPTION = "Films of vision models while they learn. POST a run, follow it, and get the film as a GIF."


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, on the EMBEDREEL_* variables unless settings are given. Nothing is opened before it starts."""
    settings = settings or Settings()
    app = FastAPI(
        title="Embedreel",
        summary="A service that films a model while it learns",
        description=DESCRIPTION,
        version=_version(),
        lifespan=_lifespan,
        redirect_slashes=False,
        redoc_url=None,
    )
    app.state.parts = wire(settings)
    key = api_key(settings)
    v1 = APIRouter(dependencies=[Security(scheme) for scheme in DOCUMENTED] if key else [])
    for module in (runs, events, artifacts, datasets, models):
        v1.include_router(module.router)
    app.include_router(v1)
    app.include_router(health.router)
    app.add_middleware(Gate, key=key)
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
    remove_abandoned(parts.settings.artifacts / INCOMING)
    parts.ringer.start()
    parts.sweeper.start()


def _close(parts: Parts) -> None:
    parts.sweeper.stop()
    parts.ringer.stop()
    parts.database.close()


def _version() -> str:
    try:
        return version("embedreel")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
