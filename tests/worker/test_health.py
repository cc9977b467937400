import socket

import pytest

from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.database.tables import WorkerRow
from core.store.queries import workers
from worker import health

HERE = socket.gethostname()


@pytest.fixture
def database(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path))
    opened = Database(Settings().database)
    migrate.upgrade(opened)
    yield opened
    opened.close()


def beat(database, worker_id, *, seconds_ago=0.0):
    with database.writing() as session:
        workers.beat(session, worker_id, queues=["gpu"], device="cpu")
        session.flush()
        session.get_one(WorkerRow, worker_id, populate_existing=True).heartbeat_at -= seconds_ago


def test_healthy__while_a_worker_of_this_host_sends_heartbeats(database):
    assert health.main() == 1
    beat(database, f"{HERE}-1-abcdef")
    assert health.main() == 0


@pytest.mark.parametrize("worker_id", ["another-host-1-abcdef", f"{HERE}-2-1-abcdef", f"x{HERE}-1-abcdef"])
def test_other_hosts_do_not_count(database, worker_id):
    beat(database, worker_id)
    assert health.main() == 1


def test_an_old_heartbeat_does_not_count(database):
    beat(database, f"{HERE}-1-abcdef", seconds_ago=workers.ALIVE_SECONDS + 5)
    assert health.main() == 1


def test_database_away(monkeypatch, capsys):
    monkeypatch.setenv("EMBEDREEL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert health.main() == 1
    assert "does not answer" in capsys.readouterr().err
