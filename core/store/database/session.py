"""The database: one engine, two kinds of transaction, one clock.

On SQLite, `writing()` takes the write lock at its start (BEGIN IMMEDIATE). So a second writer waits instead of failing
half-way. On PostgreSQL, writers of the same run wait for the lock of the run's row (`lifecycle.lock`). `now()` is the
database's clock. Leases of several machines are compared by this clock only.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Float, create_engine, event, select, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import GenericFunction

from core.errors import MAKE_ROOM, InsufficientStorageError, StorageUnavailableError
from core.store.database import counters

LOCK_WAIT_SECONDS = 10
"""Longest wait for SQLite's write lock or for a PostgreSQL statement.

Chosen by hand: a longer wait hides longer outages.
"""

LOOK_AGAIN_SECONDS = 0.001
"""Pause between two tries to take SQLite's write lock. Chosen by hand: a shorter pause uses more CPU."""

IDLE_SECONDS = 5
"""PostgreSQL ends a transaction that is idle for longer than this many seconds.

A frozen or vanished writer then releases its lock on a run's row. A working transaction is never idle for so long. The
number is a choice: a lower one frees rows sooner and ends slow transactions.
"""

POSTGRESQL_DISK_FULL = "53100"
"""SQLSTATE `disk_full` (PostgreSQL documentation, appendix A)."""


class now(GenericFunction[float]):  # noqa: N801 - reads like SQL's own now()
    """The database's clock, seconds since 1970."""

    type = Float()
    identifier = "embedreel_now"  # SQLAlchemy has a now() of its own
    inherit_cache = True


@compiles(now, "sqlite")
def _now_sqlite(element: Any, compiler: Any, **options: Any) -> str:  # noqa: ANN401, ARG001
    return "(julianday('now') - 2440587.5) * 86400.0"


@compiles(now, "postgresql")
def _now_postgresql(element: Any, compiler: Any, **options: Any) -> str:  # noqa: ANN401, ARG001
    return "extract(epoch from clock_timestamp())::float"


_CLOCK = select(now())


def clock(session: Session) -> float:
    """Return the database's time in seconds since 1970.

    For SQLite, the clock of this machine is read without a query, in whole milliseconds.
    """
    if session.get_bind().dialect.name == "sqlite":
        return time.time_ns() // 1_000_000 / 1000
    return session.execute(_CLOCK).scalar_one()


class Database:
    """Transactions on one database. They raise StorageUnavailableError if the database does not answer or grow."""

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = create_engine(self.url, connect_args=_connect_args(self.url), pool_pre_ping=not self.sqlite)
        # A waiting SQLite writer polls, and a frequent writer starves it. Writers of one process wait for this lock.
        self._write_lock = threading.Lock()
        if self.sqlite:
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def sqlite(self) -> bool:
        """True if the database is a SQLite file, not a server."""
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that may write. It is committed at the end of the block and rolled back on an error."""
        with self._write_lock if self.sqlite else nullcontext():
            yield from self._session({})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads and blocks no other transaction."""
        yield from self._session({"embedreel_readonly": True})

    def _session(self, options: dict[str, Any]) -> Iterator[Session]:
        try:
            with Session(self.engine, expire_on_commit=False) as session, session.begin():
                session.connection(execution_options=options)
                yield session
                counters.write(session)
        except (OperationalError, DBAPIError) as error:
            if isinstance(error, OperationalError) or error.connection_invalidated:
                raise _unavailable(error) from error
            raise

    def check(self) -> None:
        """Raise StorageUnavailableError if the database does not answer."""
        with self.reading() as session:
            session.execute(text("SELECT 1"))

    def check_server(self) -> None:
        """Check a database server before the first migration. A SQLite file need not exist yet."""
        if not self.sqlite:
            self.check()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _unavailable(error: DBAPIError) -> StorageUnavailableError:
    what = " ".join(str(error.orig).split()).rstrip(".?")
    full = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    if full or getattr(error.orig, "sqlstate", None) == POSTGRESQL_DISK_FULL:
        return InsufficientStorageError(f"The database cannot grow: {what}. {MAKE_ROOM}")
    return StorageUnavailableError(f"The database does not answer: {what}. Try again.")


def _connect_args(url: URL) -> dict[str, Any]:
    if url.get_backend_name() == "sqlite":
        return {"timeout": LOCK_WAIT_SECONDS, "check_same_thread": False}
    limits = {"statement_timeout": LOCK_WAIT_SECONDS, "idle_in_transaction_session_timeout": IDLE_SECONDS}
    return {
        "connect_timeout": 5,
        "options": " ".join(f"-c {name}={seconds}s" for name, seconds in limits.items()),
        "tcp_user_timeout": LOCK_WAIT_SECONDS * 1000,
        "keepalives_idle": LOCK_WAIT_SECONDS,
    }


def _prepare_sqlite(connection: Any, record: Any) -> None:  # noqa: ANN401, ARG001
    connection.isolation_level = None  # _begin_sqlite sends BEGIN
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("embedreel_readonly"):
        connection.exec_driver_sql("BEGIN")
    else:
        _take_write_lock(connection)


def _take_write_lock(connection: Connection) -> None:
    """Take SQLite's write lock as soon as it is free.

    SQLite's own busy handler sleeps longer after each try, up to 100 ms. With several busy writers, the writer that has
    waited longest would then get the lock last.
    """
    end = time.monotonic() + LOCK_WAIT_SECONDS
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        while not _begun(connection, last=time.monotonic() > end):
            time.sleep(LOOK_AGAIN_SECONDS)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={LOCK_WAIT_SECONDS * 1000}")


def _begun(connection: Connection, *, last: bool) -> bool:
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    except OperationalError as error:
        if last or getattr(error.orig, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
