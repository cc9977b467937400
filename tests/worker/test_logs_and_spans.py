"""Log fields and spans of a supervised task."""

import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from core import logs, tracing
from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.settings import Settings
from core.store.engine import claims
from core.store.objects.artifacts import open_store
from core.store.queries import runs
from worker import child
from worker.supervisor import Supervisor


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter.get_finished_spans
    tracing.use(None)


@pytest.fixture
def work(tmp_path, database):
    """Run a stub run of this name until it ends."""
    settings = Settings(home=tmp_path / "home", renew_seconds=0.1)
    settings = settings.model_copy(update={"cancel_poll_seconds": 0.02})
    store = open_store(settings.artifacts, home=settings.root)
    store.prepare()

    def run(name):
        spec = RunSpec(
            name=name,
            dataset="digits",
            train=TrainSpec(steps=10),
            capture=CaptureSpec(frames=3),
            pinned=PinnedSources(dataset_digest="d"),
        )
        with database.writing() as session:
            run_id = runs.accept(session, new_id("run"), spec, build(spec))[0].id
        Supervisor(settings, database, store, "w1", list, "tests.stub_stages").wake()
        return run_id

    return run


def test_log_fields__in_the_supervisor_and_in_children(work, monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    seen = {"lines": [], "jobs": [], "lease": []}
    started, asked = child.Child.start, claims.lease_state

    def start(job):
        seen["jobs"].append(job.log_fields)
        return started(job)

    def ask(session, held):
        seen["lease"].append(logs.fields())
        return asked(session, held)

    class Recorder(logging.Handler):
        def emit(self, record):
            seen["lines"].append((record.getMessage(), logs.fields()))

    monkeypatch.setattr(child.Child, "start", start)
    monkeypatch.setattr(claims, "lease_state", ask)
    log, recorder = logging.getLogger("worker"), Recorder()
    log.addHandler(recorder)
    try:
        run_id = work("diverge")
    finally:
        log.removeHandler(recorder)
    fields = {"run": run_id, "stage": "fine_tune", "attempt": 1}
    assert seen["jobs"] == [fields]
    assert all(found == fields for found in seen["lease"])
    assert [found for _, found in seen["lines"]] == [fields, fields]
    assert seen["lines"][-1][0].startswith("task failed: The loss became NaN")
    assert logs.fields() == {}


def test_spans__one_for_each_task(work, spans):
    run_id = work("run")
    told = [(span.name, span.attributes["embedreel.stage"]) for span in spans()]
    assert told == [(name, name) for name in ("fine_tune", "score", "project", "measure", "render")]
    assert {span.attributes["embedreel.run"] for span in spans()} == {run_id}
    assert {span.status.status_code for span in spans()} == {StatusCode.UNSET}


def test_spans__of_a_failed_task(work, spans):
    work("diverge")
    (span,) = spans()
    assert span.status.status_code is StatusCode.ERROR
    assert "NaN" in span.status.description
