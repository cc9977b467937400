"""The API: wiring, lifespan. `uvicorn api.main:create_app --factory`, or `python -m api`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.telemetry import TelemetryConfig

from api.access import routes as key_routes
from api.access.hosts import Hosts
from api.access.middleware import AuthMiddleware
from api.access.rate_limit import RateLimiter
from api.comparisons import routes as comparison_routes
from api.datasets import routes as dataset_routes
from api.http import errors, problems
from api.models import routes as model_routes
from api.openapi import docs_page, document
from api.ops import health, metrics, metrics_route, workers
from api.ops.request_log import Observer
from api.runs import artifact_routes, events, figure_routes
from api.runs import routes as run_routes
from api.webhooks import routes as webhook_routes
from api.wiring import Process, wire
from core import tracing
from core.settings import Settings, read_settings
from core.version import installed_version

ROUTES = (
    run_routes,
    events,
    artifact_routes,
    figure_routes,
    comparison_routes,
    dataset_routes,
    model_routes,
    workers,
    webhook_routes,
    key_routes,
    health,
    problems,
    docs_page,
    metrics_route,
)
"""In the order of the OpenAPI document."""

DESCRIPTION = "Films of vision models while they learn. POST a run, follow it, and get the film as a GIF."
SPANS_ONLY: TelemetryConfig = {
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
    "exclude": lambda scope: scope["path"] in {"/livez", "/readyz", "/metrics"},
}
"""FastAPI sends one span for each request. Metrics and logs are produced by this package."""


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
    process = app.state.process = wire(settings)
    app.state.services = process.services
    app.state.registry = metrics.make_registry(process.database, process.store.scratch, version=app.version)
    for module in ROUTES:
        app.include_router(module.router)
    app.add_middleware(
        AuthMiddleware, keyring=process.keyring, hosts=Hosts(settings), meter=RateLimiter(settings.rate_limit)
    )
    app.add_middleware(Observer, registry=app.state.registry)  # the last one is the outermost
    errors.install(app)
    document.install(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    process: Process = app.state.process
    await run_in_threadpool(process.start)
    yield
    await run_in_threadpool(process.stop)
