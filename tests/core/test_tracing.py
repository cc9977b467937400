import logging
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from core import logs, tracing

VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_SDK_DISABLED",
    "OTEL_SERVICE_NAME",
)


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    if tracing.provider():
        tracing.provider().shutdown()
    tracing.use(None)


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    return exporter.get_finished_spans


def test_off__nothing_happens():
    tracing.configure("embedreel-test")
    assert tracing.provider() is None
    with tracing.span("fine_tune", run="run_1"):
        tracing.failed("no")
        assert logs.fields() == {}


def test_a_span(spans):
    with tracing.span("fine_tune", run="run_1", attempt=2):
        fields = logs.fields()
    (span,) = spans()
    assert span.name == "fine_tune"
    assert span.kind is SpanKind.CONSUMER
    assert dict(span.attributes) == {"embedreel.run": "run_1", "embedreel.attempt": 2}
    assert span.status.status_code is StatusCode.UNSET
    assert fields == {"trace": f"{span.context.trace_id:032x}"}
    assert logs.fields() == {}


def test_spans__of_a_failed_task(spans):
    with tracing.span("score"):
        tracing.failed("the worker was lost")
    (span,) = spans()
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "the worker was lost")


@pytest.mark.parametrize(
    ("variables", "on"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}, False),
    ],
)
def test_configure__the_variables_decide(monkeypatch, variables, on):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    tracing.configure("embedreel-test")
    assert (tracing.provider() is not None) is on


@pytest.mark.parametrize(("named", "name"), [({}, "embedreel-test"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")])
def test_configure__the_name(monkeypatch, named, name):
    for variable, value in {"OTEL_TRACES_EXPORTER": "otlp", **named}.items():
        monkeypatch.setenv(variable, value)
    tracing.configure("embedreel-test")
    assert tracing.provider().resource.attributes["service.name"] == name


def test_configure__not_installed(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.WARNING):
        tracing.configure("embedreel-test")
    assert tracing.provider() is None
    assert "Install embedreel[otel]" in caplog.text


def test_a_request_is_a_span_of_the_trace_it_came_with(spans, tmp_path):
    from fastapi.testclient import TestClient

    from api.main import create_app
    from core.settings import Settings

    settings = Settings(home=tmp_path, broker_url="memory://", sweep_seconds=3600)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        client.get("/v1/runs/run_x", headers={"traceparent": parent})
        client.get("/readyz")
        client.get("/metrics")
    (span,) = spans()
    assert span.name == "GET /v1/runs/{run_id}"
    assert span.kind is SpanKind.SERVER
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.attributes["http.response.status_code"] == 404
