"""OpenTelemetry spans.

Spans are exported if `embedreel[otel]` is installed, and OTEL_EXPORTER_OTLP_ENDPOINT is set or OTEL_TRACES_EXPORTER is
`otlp`. Otherwise the functions of this module do nothing. The SDK reads all other OTEL_* variables.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core import logs

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

_provider: "TracerProvider | None" = None


def configure(service: str) -> None:
    """Start the export of spans if the OTEL_* variables request it.

    Args:
        service: name of the process in the spans; OTEL_SERVICE_NAME overrides it.
    """
    if not _wanted(os.environ):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - optional
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        log.warning("no spans are exported: %s. Install embedreel[otel], or unset the OTEL_* variables.", error)
        return
    name = os.environ.get("OTEL_SERVICE_NAME") or service
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def _wanted(variables: Mapping[str, str]) -> bool:
    exporter = variables.get("OTEL_TRACES_EXPORTER", "")
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if variables.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter not in {"", "otlp"}:
        return False
    return bool(exporter) or any(variables.get(endpoint) for endpoint in endpoints)


def use(provider: "TracerProvider | None") -> None:
    """Set the provider that makes the spans; None turns spans off."""
    global _provider  # noqa: PLW0603 - a process has one provider
    _provider = provider


def provider() -> "TracerProvider | None":
    """Return the provider that makes the spans of this process; None if spans are off."""
    return _provider


@contextmanager
def span(name: str, **attributes: str | int) -> Iterator[None]:
    """Open a span around work that was taken from a queue. Log lines inside the block have the field `trace`.

    Args:
        name: name of the span.
        attributes: attributes of the span, exported as `embedreel.<name>`.
    """
    if _provider is None:
        yield
        return
    from opentelemetry.trace import SpanKind  # noqa: PLC0415

    named = {f"embedreel.{key}": value for key, value in attributes.items()}
    tracer = _provider.get_tracer("embedreel")
    with tracer.start_as_current_span(name, kind=SpanKind.CONSUMER, attributes=named), logs.bound(**trace()):
        yield


def failed(reason: str) -> None:
    """Mark the current span as failed for this reason."""
    if _provider is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span  # noqa: PLC0415

        get_current_span().set_status(Status(StatusCode.ERROR, reason))


def trace() -> dict[str, str]:
    """Return the id of the current trace as a log field; empty if there is no trace."""
    if _provider is None:
        return {}
    from opentelemetry.trace import format_trace_id, get_current_span  # noqa: PLC0415

    context = get_current_span().get_span_context()
    return {"trace": format_trace_id(context.trace_id)} if context.is_valid else {}
