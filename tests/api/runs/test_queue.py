import base64
import json
import sqlite3
import threading
import time

import pytest

from core.queue import notifier as ringing
from core.queue.notifier import Notifier
from core.queue.sender import make_celery
from core.store.engine.lifecycle import WakeUp

BELL = WakeUp("run_1", "embed/00003", "gpu")


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # of kombu's, under SQLAlchemy 2.1
def test_ring__message_carries_the_queue_only(tmp_path):
    notifier = Notifier(make_celery(f"sqla+sqlite:///{tmp_path / 'broker.db'}"))
    notifier.start()
    notifier.notify([BELL])
    notifier.stop()
    connection = sqlite3.connect(tmp_path / "broker.db")
    rows = connection.execute("SELECT m.payload, q.name FROM kombu_message m JOIN kombu_queue q ON q.id = m.queue_id")
    [(payload, name)] = rows.fetchall()
    connection.close()
    message = json.loads(payload)
    assert name == "gpu"
    assert message["headers"]["task"] == "embedreel.wake"
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == (["gpu"], {})
    _dispose()


def _dispose():
    from kombu.transport.sqlalchemy import Channel

    for engine, _ in Channel._engines.values():  # noqa: SLF001 - kombu keeps them for ever
        engine.dispose()


def test_ring__broker_away_is_only_logged(caplog):
    notifier = Notifier(make_celery("redis://127.0.0.1:1/0"))
    notifier.start()
    notifier.notify([BELL, BELL])
    wait_for(lambda: caplog.text.count("wake-up for run_1 embed/00003 not sent") == 2)
    notifier.stop()


def test_submit__broker_away(serve, small, caplog):
    client = serve(broker_url="redis://127.0.0.1:1/0")
    run = client.post("/v1/runs", json=small)
    assert run.status_code == 202
    wait_for(lambda: f"wake-up for {run.json()['id']} fine_tune not sent" in caplog.text)
    assert client.get(run.json()["links"]["self"]).json()["status"] == "queued"


def test_ring__too_many_are_left_to_the_sweep(monkeypatch, caplog):
    monkeypatch.setattr(ringing, "MAX_WAITING", 2)
    notifier = Notifier(make_celery("memory://"))
    notifier.notify([BELL] * 3)
    assert caplog.text.count("too many are waiting") == 1


def test_stop__does_not_wait_for_a_broker_that_hangs(monkeypatch):
    monkeypatch.setattr(ringing, "STOP_SECONDS", 0.05)
    notifier = Notifier(make_celery("memory://"))
    answered = threading.Event()
    monkeypatch.setattr(notifier, "_send", lambda _: answered.wait(20))
    notifier.start()
    notifier.notify([BELL])
    notifier.stop()
    assert not answered.is_set()
    answered.set()
