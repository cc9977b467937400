import sqlite3
import threading
import time

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import OperationalError

from core.errors import InsufficientStorageError, StorageUnavailableError
from core.store.database import migrate
from core.store.database.session import LOCK_WAIT_SECONDS, Database, clock, now
from core.store.database.tables import Base, WorkerRow


def test_migrations_make_exactly_the_tables(database):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, Base.metadata) == []


def test_a_schema_of_another_version_is_refused(database):
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StorageUnavailableError, match=r"9999.*EMBEDREEL_HOME"):
        migrate.upgrade(database)


def test_upgrading_twice_at_once_is_harmless(database):
    threads = [threading.Thread(target=migrate.upgrade, args=(database,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "runs" in inspect(database.engine).get_table_names()


def test_the_database_clock_is_seconds_since_1970(database):
    with database.reading() as session:
        assert abs(session.execute(select(now())).scalar_one() - time.time()) < 60


def test_an_error_rolls_back(database):
    def half_done():
        with database.writing() as session:
            at = clock(session)
            session.add(WorkerRow(id="w", queues=["gpu"], device="cpu", started_at=at, heartbeat_at=at))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half_done()
    with database.reading() as session:
        assert session.get(WorkerRow, "w") is None


def test_concurrent_writers_queue_up(database):
    with database.writing() as session:
        session.add(WorkerRow(id="w", queues=[], device="0", started_at=0.0, heartbeat_at=0.0))

    def count():
        for _ in range(20):
            with database.writing() as session:
                row = session.get(WorkerRow, "w", with_for_update=True)
                row.device = str(int(row.device) + 1)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as session:
        assert session.get(WorkerRow, "w").device == "80"


@pytest.fixture
def holder(tmp_path):
    """Return another writer to a SQLite database, and the database."""
    database = Database(f"sqlite:///{tmp_path}/embedreel.db")
    other = sqlite3.connect(tmp_path / "embedreel.db", isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("BEGIN IMMEDIATE")
    yield database, other
    other.close()
    database.close()


def test_writing__waits_for_another_process(holder):
    database, other = holder
    released = threading.Event()

    def release():
        released.set()
        other.rollback()

    timer = threading.Timer(0.3, release)
    timer.start()
    with database.writing() as session:
        assert released.is_set()
        assert session.execute(text("PRAGMA busy_timeout")).scalar_one() == 1000 * LOCK_WAIT_SECONDS
    timer.join()


def test_writing__fails_after_the_timeout_and_works_later(holder, monkeypatch):
    database, other = holder
    monkeypatch.setattr("core.store.database.session.LOCK_WAIT_SECONDS", 0.1)
    with pytest.raises(StorageUnavailableError, match="locked"), database.writing():
        pytest.fail("it was held")
    other.rollback()
    with database.writing() as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1


def test_unavailable_database__is_a_clear_error():
    with pytest.raises(StorageUnavailableError, match="does not answer"):
        Database("postgresql+psycopg://nobody@127.0.0.1:1/none").check()


class DriverError(Exception):
    def __init__(self, **facts):
        super().__init__("full")
        self.__dict__.update(facts)


@pytest.mark.parametrize("cause", [DriverError(sqlite_errorcode=sqlite3.SQLITE_FULL), DriverError(sqlstate="53100")])
def test_full_disk__has_an_error_of_its_own(database, cause):
    with pytest.raises(InsufficientStorageError, match="cannot grow"), database.reading():
        raise OperationalError("INSERT", {}, cause)
    with pytest.raises(StorageUnavailableError, match="does not answer") as away, database.reading():
        raise OperationalError("INSERT", {}, DriverError(sqlstate="08006"))
    assert type(away.value) is StorageUnavailableError
