from sqlalchemy import update

from core.store.database.tables import TaskRow


def test_sweep__an_unclaimed_task_does_not_stop_it(engine):
    run_id, _ = engine.submit()
    with engine.database.writing() as session:
        row = session.get_one(TaskRow, (run_id, "fine_tune"))
        row.notifications, row.notify_at = 5000, 0.0
    assert [wake_up.task_id for wake_up in engine.sweep()] == ["fine_tune"]
    assert engine.sweep() == []


def test_sweep__sends_wake_ups_of_the_earliest_runs_if_many_are_due(engine, monkeypatch):
    monkeypatch.setattr("core.store.engine.recovery.NOTIFIED_AT_ONCE", 2)
    run_ids = [engine.submit(seed=seed)[0] for seed in range(3)]
    with engine.database.writing() as session:
        session.execute(update(TaskRow).where(TaskRow.notify_at.is_not(None)).values(notify_at=0.0))
    sent = [[wake_up.run_id for wake_up in engine.sweep()] for _ in range(3)]
    assert sent == [run_ids[:2], run_ids[2:], []]
