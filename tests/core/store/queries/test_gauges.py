from core.store.database.tables import DeliveryRow, TaskRow, WebhookRow
from core.store.queries import gauges, workers


def measure(engine):
    with engine.database.reading() as session:
        return gauges.measure(session)


def test_gauges__of_an_empty_database(engine):
    assert measure(engine) == gauges.Gauges(runs={}, tasks={}, queues={}, workers={}, deliveries=0)


def test_runs_stages_and_queues(engine):
    first, _ = engine.submit(seed=1)
    second, _ = engine.submit(seed=2)
    engine.film(engine.submit(seed=3)[0])
    engine.claim(first, "fine_tune")
    with engine.database.writing() as session:
        session.get(TaskRow, (second, "fine_tune")).queued_at -= 100
    found = measure(engine)
    assert found.runs == {"queued": 1, "running": 1, "succeeded": 1}
    assert found.tasks == {("fine_tune", "running"): 1, ("fine_tune", "queued"): 1}
    (queue, waiting) = found.queues.popitem()
    assert (queue, waiting.tasks) == ("gpu", 1)
    assert 100 <= waiting.age_seconds < 200
    assert not found.queues


def test_workers(engine):
    engine.call(workers.beat, "a", queues=["gpu", "cpu"], device="cuda")
    engine.call(workers.beat, "b", queues=["cpu"], device="cpu")
    engine.call(workers.beat, "c", queues=["cpu"], device="cpu")
    assert measure(engine).workers == {("gpu", "cuda"): 1, ("cpu", "cuda"): 1, ("cpu", "cpu"): 2}


def test_deliveries(engine):
    with engine.database.writing() as session:
        session.add(
            WebhookRow(id="wh", tenant="default", url="http://a", secret="s", events=[], created_at=0, disabled_at=None)
        )
        session.flush()
        for index, status in enumerate(["pending", "pending", "delivered", "failed"]):
            session.add(DeliveryRow(id=str(index), webhook_id="wh", type="t", payload={}, status=status, created_at=0))
    assert measure(engine).deliveries == 2
