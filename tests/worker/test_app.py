"""A worker's Celery app: its queues on a new SQLite broker, and its restart."""

import sqlite3
import threading
from types import SimpleNamespace

import pytest
from kombu.transport import sqlalchemy
from sqlalchemy.exc import IntegrityError

from core.settings import Settings
from worker import app

pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")  # of kombu


def queues(home):
    with sqlite3.connect(home / "broker.db") as file:
        found = sorted(name for (name,) in file.execute("SELECT name FROM kombu_queue"))
    file.close()
    return found


@pytest.fixture
def loser(monkeypatch):
    """A transport that finds twice that another worker has created the queue first."""
    create, lost = sqlalchemy.Channel._get_or_create, []  # noqa: SLF001 - the race is in there

    def race(channel, queue):
        if len(lost) < 2:
            lost.append(queue)
            raise IntegrityError("INSERT INTO kombu_queue", {}, Exception("UNIQUE constraint failed"))
        return create(channel, queue)

    monkeypatch.setattr(sqlalchemy.Channel, "_get_or_create", race)
    return lost


def test_declare__workers_that_start_together_share_their_queues(tmp_path, loser):
    app.declare_queues(app.make_celery(Settings(home=tmp_path)), pause_seconds=0)
    assert len(loser) == 2
    assert queues(tmp_path) == ["cpu", "gpu"]


def test_queues_are_declared_once(tmp_path):
    for _ in range(2):
        app.declare_queues(app.make_celery(Settings(home=tmp_path)))
    assert queues(tmp_path) == ["cpu", "gpu"]


def test_declare__an_unavailable_broker_is_left_to_celery(tmp_path):
    app.declare_queues(app.make_celery(Settings(home=tmp_path, broker_url="redis://127.0.0.1:1/0")))


def test_listen__restarts_celery_if_it_ends(monkeypatch, caplog):
    stopping, began = threading.Event(), []

    class Worker:
        def __init__(self, **options):
            began.append(options)

        def start(self):
            if len(began) == 1:
                return  # as after an error that ends Celery: the error is logged
            if len(began) == 2:
                raise AttributeError("'NoneType' object has no attribute 'hostname'")
            stopping.set()

    monkeypatch.setattr(app, "AGAIN_SECONDS", 0)
    app.listen(SimpleNamespace(Worker=Worker), stopping, hostname="w1")
    assert [options["hostname"] for options in began] == ["w1"] * 3
    assert [record.message for record in caplog.records if "started again" in record.message] == [
        "Celery's worker ended by itself and is started again"
    ] * 2


def test_polling_transport__polls_once_for_any_timeout(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(sqlalchemy.Transport, "drain_events", lambda _self, _connection, timeout: asked.append(timeout))
    with app.make_celery(Settings(home=tmp_path)).connection_for_read() as connection:
        connection.drain_events(timeout=2.0)
    assert asked == [app.SQLITE_POLL_SECONDS]
