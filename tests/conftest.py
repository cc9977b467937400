"""Fixtures of the two pairs of servers: SQLite as database and broker, and PostgreSQL with Redis.

Tests that need the second pair have the mark `services`. They run only with the option `--services`, which CI gives.
They start servers of their own.

Each process of the tests computes with one thread, and so do the processes that it starts: pytest-xdist already uses
every core. If each process had several threads, the threads would wait for each other in busy loops, and the tests
would take several times as long.

Temporary files are in memory if it has room for them: most of a commit's time is the wait for the disk.
"""

import gc
import logging
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from testing.servers import Postgres, Redis
from testing.service import serving

gc.disable()  # until all tests are collected

# torch and OpenBLAS read these when they are imported, which is later.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["GOMP_SPINCOUNT"] = "1000"  # openTSNE counts the cores itself

MEMORY = Path("/dev/shm")
ROOM = 4 << 30
if "TMPDIR" not in os.environ and MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM:
    os.environ["TMPDIR"] = str(MEMORY)
    tempfile.tempdir = None  # tempfile determines the folder again


def pytest_addoption(parser):
    parser.addoption("--services", action="store_true", help="also run the tests on PostgreSQL and Redis")


UNCOVERED = [Path(__file__).parent / part for part in ("core/learn", "worker", "e2e", "faults")]
"""Tests that run trainings or other processes. Coverage makes a training a third slower and sees no other process."""


LONGEST = ("e2e", "faults")
"""Folders whose tests run first: they take longest and mostly wait. A long test at the end would leave cores idle."""


def pytest_collection_modifyitems(config, items):
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in UNCOVERED):
            item.add_marker("no_cover")
    if config.getoption("--services"):
        return
    left_out = [item for item in items if item.get_closest_marker("services")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if not item.get_closest_marker("services")]


def s3_variables(address):
    """Return the environment variables of a client of the test S3 server."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def pytest_collection_finish():
    """Exclude the imported libraries from garbage collections: each collection would traverse a million objects."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def restore_root_logger():
    """Restore the root logger after each test. A handler on the captured output of a test would outlive the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server."""
    with Postgres.running(durable=False) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres):
    """Name of a migrated database. Copying it is faster than migrating a database for each test."""
    url = postgres.new_database()
    migrated(driven(url)).close()
    return url.rpartition("/")[2]


@pytest.fixture
def postgres_url(postgres, postgres_template):
    """URL of a migrated database for one test."""
    url = postgres.new_database(template=postgres_template)
    yield driven(url)
    postgres.drop(url)


@pytest.fixture(scope="module")
def servers(postgres):
    """EMBEDREEL_* variables of an empty database and a broker on servers."""
    url = postgres.new_database()
    with Redis.running() as broker:
        yield {"EMBEDREEL_DATABASE_URL": url, "EMBEDREEL_BROKER_URL": broker.url}
    postgres.drop(url)


@pytest.fixture
def redis_url():
    with Redis.running() as server:
        yield server.url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory):
    """File of a migrated database. Copying it is faster than migrating a database for each test."""
    path = tmp_path_factory.mktemp("database") / "embedreel.db"
    migrated(f"sqlite:///{path}").close()
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def database(request, tmp_path):
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        path = shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "embedreel.db")
        opened = Database(f"sqlite:///{path}")
    else:
        opened = Database(request.getfixturevalue("postgres_url"))
    yield opened
    opened.close()


def driven(url):
    """Return the URL with the name of the driver, as SQLAlchemy needs it."""
    return Settings(database_url=url).database


def migrated(url):
    """Return the open database after its migration."""
    opened = Database(url)
    migrate.upgrade(opened)
    return opened


@pytest.fixture(scope="module", params=["embedded", pytest.param("servers", marks=pytest.mark.services)])
def pair(request):
    """EMBEDREEL_* variables of each pair of database and broker."""
    return {} if request.param == "embedded" else request.getfixturevalue("servers")


@pytest.fixture(scope="module")
def service(pair, tmp_path_factory):
    """An API and a worker for all tests of a file, on each pair of servers."""
    with serving(tmp_path_factory.mktemp("service"), pair) as running:
        yield running
