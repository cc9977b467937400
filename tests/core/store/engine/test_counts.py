"""Each metric changes by the right amount while a run is processed."""

import time

import pytest

from core.errors import StageCrashedError
from core.store.database import counters
from core.store.database.session import clock
from core.store.database.tables import TaskRow
from core.store.engine import claims, counts, failures, sweep

SINGLE = ("fine_tune", "score", "project", "measure", "render")
"""Tasks that are one task."""

LOST = 0.01


@pytest.fixture
def moved(engine):
    """Return what has been counted since the last call: `{(name, labels…): by}`, without times."""
    before = {}

    def ask():
        with engine.database.reading() as session:
            now = {
                (name.removeprefix("embedreel_"), *(value for _, value in sorted(labels))): value
                for name, values in counters.read(session).items()
                for labels, value in values.items()
                if not name.endswith(("_sum", "_bucket"))
            }
        changed = {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}
        before.update(now)
        return changed

    return ask


def observed(engine, histogram):
    """Return how often each label was observed."""
    with engine.database.reading() as session:
        figures = counters.read(session)
    found = {}
    for labels, value in figures.get(f"{histogram.name}_bucket", {}).items():
        label = next(value for name, value in labels if name != "le")
        found[label] = found.get(label, 0) + value
    assert sum(figures.get(f"{histogram.name}_sum", {}).values()) >= 0
    return found


def test_a_film(engine, moved):
    run_id, _ = engine.submit()
    assert moved() == {("runs_accepted_total",): 1}
    engine.film(run_id)
    stages_ended = {("stages_ended_total", "succeeded", name): 1 for name in SINGLE}
    embedded = {("stages_ended_total", "succeeded", "embed"): 3}
    assert moved() == {**stages_ended, **embedded, ("runs_ended_total", "succeeded"): 1}
    assert observed(engine, counts.STAGE_SECONDS) == dict.fromkeys(SINGLE, 1)
    assert observed(engine, counts.QUEUE_SECONDS) == {"gpu": 4, "cpu": 1}


def test_the_same_again_is_reused(engine, moved):
    engine.film(engine.submit()[0])
    moved()
    engine.submit()
    reused = {("stages_ended_total", "reused", name): 1 for name in SINGLE}
    assert moved() == {
        **reused,
        ("stages_ended_total", "reused", "embed"): 3,
        ("runs_accepted_total",): 1,
        ("runs_ended_total", "succeeded"): 1,
    }
    assert observed(engine, counts.STAGE_SECONDS)["fine_tune"] == 1, "what is reused takes no time"


def test_offloaded_frames_take_time(engine):
    run_id, _ = engine.submit(mode="offload")
    engine.film(run_id)
    assert observed(engine, counts.STAGE_SECONDS)["embed"] == 3


def test_a_failure_and_a_retry(engine, moved):
    run_id, _ = engine.submit()
    held = engine.claim(run_id, "fine_tune")
    moved()
    engine.call(failures.fail, held, StageCrashedError("no"))
    assert moved() == {("stages_ended_total", "failed", "fine_tune"): 1, ("runs_ended_total", "failed"): 1}
    from core.store.queries import runs

    engine.call(runs.retry, run_id)
    assert moved() == {("runs_retried_total",): 1}
    engine.call(runs.cancel, run_id)
    assert moved() == {("runs_ended_total", "cancelled"): 1}


def test_a_cancelled_stage(engine, moved):
    from core.store.queries import runs

    run_id, _ = engine.submit()
    held = engine.claim(run_id, "fine_tune")
    engine.call(runs.cancel, run_id)
    moved()
    engine.call(failures.give_up, held)
    assert moved() == {("stages_ended_total", "cancelled", "fine_tune"): 1, ("runs_ended_total", "cancelled"): 1}


def test_a_lost_worker(engine, moved):
    """The lease expires, the task is queued again, and later writes of the worker are refused."""
    run_id, _ = engine.submit()
    held = engine.claim(run_id, "fine_tune", lease=LOST)
    moved()
    time.sleep(10 * LOST)
    sweep.sweep(engine.database, max_attempts=3, deadline_seconds=3600)
    assert moved() == {
        ("lease_expiries_total", "fine_tune"): 1,
        ("stages_ended_total", "requeued", "fine_tune"): 1,
    }
    engine.call(claims.renew, held, lease_seconds=30)
    engine.call(claims.append_event, held, "stage.redrawn", {})
    engine.part(held, 0)
    engine.finish(held)
    engine.call(failures.fail, held, StageCrashedError("no"))
    engine.call(failures.give_up, held)
    engine.call(failures.give_back, held, reason="no", blame=True, max_attempts=3)
    engine.state(held, 5)
    engine.call(failures.begin_anew, held, reason="no", max_attempts=3)
    assert moved() == {("fenced_writes_total", write): 1 for write in counts.FENCED}


def test_lost_too_often(engine, moved):
    run_id, _ = engine.submit()
    engine.claim(run_id, "fine_tune", lease=LOST)
    moved()
    time.sleep(10 * LOST)
    sweep.sweep(engine.database, max_attempts=1, deadline_seconds=3600)
    assert moved() == {
        ("lease_expiries_total", "fine_tune"): 1,
        ("stages_ended_total", "failed", "fine_tune"): 1,
        ("runs_ended_total", "failed"): 1,
    }


def test_sweep__a_repeated_wake_up_is_counted(engine, moved):
    run_id, _ = engine.submit()
    moved()
    with engine.database.writing() as session:
        session.get_one(TaskRow, (run_id, "fine_tune")).notify_at = 0.0
    sweep.sweep(engine.database, max_attempts=3, deadline_seconds=3600)
    assert moved() == {("bells_rung_again_total", "gpu"): 1}
    assert moved() == {}
    engine.claim(run_id, "fine_tune")
    sweep.sweep(engine.database, max_attempts=3, deadline_seconds=3600)
    assert moved() == {}


def test_a_wait_is_measured_from_the_last_queueing(engine):
    run_id, _ = engine.submit()
    with engine.database.writing() as session:
        row = session.get(TaskRow, (run_id, "fine_tune"))
        row.queued_at = clock(session) - 100
    engine.claim(run_id, "fine_tune")
    with engine.database.reading() as session:
        figures = counters.read(session)
    labels = frozenset({("queue", "gpu"), ("le", "300")})
    assert figures["embedreel_queue_wait_seconds_bucket"] == {labels: 1}
    (waited,) = figures["embedreel_queue_wait_seconds_sum"].values()
    assert 100 <= waited < 300
