import os
import time

import pytest
from sqlalchemy import select, update

from api.ops.sweeper import Sweeper
from core.errors import StorageUnavailableError
from core.store.database.tables import DeliveryRow, IdempotencyRow, TaskRow
from core.store.objects import collect
from core.store.queries import idempotency


@pytest.fixture
def sent():
    return []


@pytest.fixture
def sweeper(process, sent):
    settings = process.settings.model_copy(update={"sweep_seconds": 0.01})
    return Sweeper(settings, process.database, process.store, sent.extend)


def test_sweep__sends_the_wake_up_of_an_unclaimed_task_again(process, submit, sweeper, sent):
    run = submit()
    sweeper.sweep()
    assert sent == []
    with process.database.writing() as session:
        session.execute(update(TaskRow).where(TaskRow.notify_at.is_not(None)).values(notify_at=1.0))
    sweeper.sweep()
    assert [(wake_up.run_id, wake_up.task_id) for wake_up in sent] == [(run["id"], "fine_tune")]


def test_sweep__queues_a_lost_task_again(client, process, submit, worker, sweeper, sent):  # noqa: PLR0917 - fixtures and cases
    run = submit()
    worker.claim(run["id"])
    with process.database.writing() as session:
        session.execute(update(TaskRow).where(TaskRow.lease_until.is_not(None)).values(lease_until=1.0))
    sweeper.sweep()
    assert len(sent) == 1
    kinds = [event["type"] for event in client.get(run["links"]["events"]).json()["events"]]
    assert kinds[-1] == "stage.requeued"


def test_sweep__forgets_old_idempotency_keys(client, process, small, sweeper):
    headers = {"Idempotency-Key": "one"}
    first = client.post("/v1/runs", json=small, headers=headers).json()
    sweeper.sweep()
    assert client.post("/v1/runs", json=small, headers=headers).json()["id"] == first["id"]
    with process.database.writing() as session:
        session.execute(update(IdempotencyRow).values(created_at=time.time() - idempotency.KEPT_SECONDS - 60))
    sweeper.sweep()
    assert client.post("/v1/runs", json=small, headers=headers).json()["id"] != first["id"]


def test_sweep__collects_what_killed_uploads_left(process, sent):
    for name in ("old", "young"):
        (process.store.incoming / name).mkdir()
    then = time.time() - collect.ORPHANED_SECONDS - 60
    os.utime(process.store.incoming / "old", (then, then))
    settings = process.settings.model_copy(update={"collect_seconds": 0.0})
    Sweeper(settings, process.database, process.store, sent.extend).sweep()
    assert [path.name for path in process.store.incoming.iterdir()] == ["young"]


def test_sweep__forgets_old_deliveries(client, process, sweeper):
    webhook = client.post("/v1/webhooks", json={"url": "https://9.9.9.9/"}).json()
    with process.database.writing() as session:
        for delivery_id, forget_at in (("old", 1.0), ("young", time.time() + 600), ("pending", None)):
            session.add(
                DeliveryRow(
                    id=delivery_id,
                    webhook_id=webhook["id"],
                    type="webhook.test",
                    payload={},
                    status="delivered",
                    forget_at=forget_at,
                    created_at=1.0,
                )
            )
    sweeper.sweep()
    with process.database.reading() as session:
        assert set(session.scalars(select(DeliveryRow.id))) == {"young", "pending"}


@pytest.mark.parametrize("error", [StorageUnavailableError("away"), ZeroDivisionError("unforeseen")])
def test_work__continues_after_an_error(sweeper, monkeypatch, caplog, error):
    swept = []

    def sweep():
        swept.append(1)
        if len(swept) == 1:
            raise error

    monkeypatch.setattr(sweeper, "sweep", sweep)
    sweeper.start()
    deadline = time.monotonic() + 20
    while len(swept) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    sweeper.stop()
    assert len(swept) >= 2
    assert str(error) in caplog.text
