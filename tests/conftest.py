"""The two pairs of servers that the service stands on: embedded (SQLite twice), and PostgreSQL with Redis.

Tests that need the second pair carry the mark `services`; they are left out unless `--services` is given, as CI does.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import ExitStack, contextmanager

import pytest
import sqlalchemy

from core.store import migrate
from core.store.session import Database
from tests.service import Service

POSTGRES = os.environ.get("EMBEDREEL_TEST_POSTGRES_URL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")


def pytest_addoption(parser):
    parser.addoption("--services", action="store_true", help="also run the tests on PostgreSQL and Redis")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--services"):
        return
    left_out = [item for item in items if item.get_closest_marker("services")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("services")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def new_postgres():
    """URL of a database of its own on the PostgreSQL server of EMBEDREEL_TEST_POSTGRES_URL."""
    name = f"embedreel_test_{secrets.token_hex(6)}"
    server = sqlalchemy.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield sqlalchemy.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        server.dispose()


@contextmanager
def new_redis(folder):
    """URL of a Redis server of its own, with an append-only file."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed"
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes", "--save", ""]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture
def postgres_url():
    with new_postgres() as url:
        yield url


@pytest.fixture
def redis_url(tmp_path):
    with new_redis(tmp_path) as url:
        yield url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database(request, tmp_path):
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'embedreel.db'}"
    else:
        url = request.getfixturevalue("postgres_url")
    opened = Database(url)
    migrate.upgrade(opened)
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=["embedded", pytest.param("servers", marks=pytest.mark.services)])
def pair(request, tmp_path_factory):
    """EMBEDREEL_* variables of each pair of database and broker."""
    with ExitStack() as servers:
        if request.param == "embedded":
            yield {}
        else:
            yield {
                "EMBEDREEL_DATABASE_URL": servers.enter_context(new_postgres()),
                "EMBEDREEL_BROKER_URL": servers.enter_context(new_redis(tmp_path_factory.mktemp("redis"))),
            }


@pytest.fixture(scope="module")
def service(pair, tmp_path_factory):
    """An API and a worker, on each pair of servers, for all tests of a file."""
    running = Service(tmp_path_factory.mktemp("service"), free_port(), pair)
    try:
        running.start_api()
        running.start_worker()
        yield running
    finally:
        running.stop()
