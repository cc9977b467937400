"""The two pairs of servers that the service stands on: embedded (SQLite twice), and PostgreSQL with Redis.

Tests that need the second pair carry the mark `services`; they are left out unless `--services` is given, as CI does.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time

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


@pytest.fixture
def postgres_url():
    """A database of its own on the PostgreSQL server of EMBEDREEL_TEST_POSTGRES_URL."""
    name = f"embedreel_test_{secrets.token_hex(6)}"
    server = sqlalchemy.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    yield sqlalchemy.make_url(POSTGRES).set(database=name).render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    server.dispose()


@pytest.fixture
def redis_url(tmp_path):
    """A Redis server of its own, with an append-only file."""
    program = shutil.which("redis-server")
    assert program, "redis-server is not installed"
    port, folder = free_port(), tmp_path / "redis"
    folder.mkdir()
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--save",
        "",
    ]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    server.terminate()
    server.wait(10)


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


@pytest.fixture(params=["embedded", pytest.param("servers", marks=pytest.mark.services)])
def pair(request):
    """EMBEDREEL_* variables of each pair of database and broker."""
    if request.param == "embedded":
        return {}
    return {
        "EMBEDREEL_DATABASE_URL": request.getfixturevalue("postgres_url"),
        "EMBEDREEL_BROKER_URL": request.getfixturevalue("redis_url"),
    }


@pytest.fixture
def service(pair, tmp_path):
    """An API and a worker on each pair of servers."""
    running = Service(tmp_path / "home", free_port(), pair)
    running.start_api()
    running.start_worker()
    yield running
    running.stop()
