"""PostgreSQL and Redis servers of the tests' own, which they may kill."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import redis

from testing.service import free_port


class Server:
    """A server process on a port of its own; its data stays when it is stopped."""

    polite = signal.SIGTERM
    """Asks it to end in good order, and not to wait for its clients."""

    @classmethod
    @contextmanager
    def running(cls, **options):
        """One that runs, in a folder that ends with it."""
        with tempfile.TemporaryDirectory(prefix="embedreel-server-") as folder:
            server = cls(Path(folder), **options)
            server.start()
            try:
                yield server
            finally:
                server.stop(server.polite)

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self._process = None

    def start(self):
        """Start it and wait until it answers."""
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(), stdout=log, stderr=log, start_new_session=True, cwd=self.folder, **self.account()
            )
        deadline = time.monotonic() + 60
        while not self.answers():
            assert self._process.poll() is None, (self.folder / "server.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

    def stop(self, number=signal.SIGKILL):
        """End it with this signal, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(60)

    def account(self):
        return {}


class Redis(Server):
    """Redis with an append-only file, as the containers run it."""

    def command(self):
        program = shutil.which("redis-server")
        assert program, "redis-server is not installed"
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        return [program, *options, "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self):
        return redis.Redis(port=self.port, socket_timeout=5, decode_responses=False)

    def answers(self):
        with suppress(redis.RedisError):
            return self.client().ping()
        return False


class Postgres(Server):
    """PostgreSQL; SIGQUIT is what `pg_ctl stop -m immediate` sends.

    Args:
        durable: what is committed survives a loss of power; without, only the death of the server.
    """

    polite = signal.SIGINT

    def __init__(self, folder, *, durable=True):
        super().__init__(folder)
        self._options = [] if durable else ["-c", "fsync=off", "-c", "full_page_writes=off"]
        if self.account():
            shutil.chown(folder, **self.account())
        self._data = folder / "data"
        options = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-sync"]
        with (folder / "initdb.log").open("wb") as log:
            subprocess.run(
                [_program("initdb"), *options, str(self._data)], check=True, stdout=log, stderr=log, **self.account()
            )

    def command(self):
        options = ["-p", str(self.port), "-h", "127.0.0.1", "-k", "", "-c", "max_connections=200"]
        return [_program("postgres"), "-D", str(self._data), *options, *self._options]

    def account(self):
        """PostgreSQL refuses to run as root."""
        if os.getuid() != 0:
            return {}
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = "postgres" if "postgres" in names else "nobody"
        return {"user": name, "group": pwd.getpwnam(name).pw_gid}

    def url(self, database="postgres"):
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def new_database(self, *, template="template1"):
        """URL of a database of its own: empty, or a copy of the template, which nobody may be connected to."""
        name = f"embedreel_{secrets.token_hex(6)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url):
        """Remove a database, whoever is connected to it."""
        self._do(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _do(self, statement):
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def answers(self):
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=5):
            return True
        return False


def can_run():
    """Whether the programs of both are here."""
    return bool(_found("initdb") and shutil.which("redis-server"))


def _program(name):
    found = _found(name)
    assert found, f"{name} of PostgreSQL is not installed"
    return found


def _found(name):
    places = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return shutil.which(name) or max(map(str, places), key=lambda path: float(path.split("/")[4]), default=None)
