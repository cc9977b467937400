"""PostgreSQL and Redis servers that only the tests use, so that a test can kill them."""

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
    """A server process on its own port. The data stays when the process stops.

    Args:
        folder: folder of the server's data and logs.
    """

    polite = signal.SIGTERM
    """Signal that ends the server cleanly without waiting for its clients."""

    @classmethod
    @contextmanager
    def running(cls, **options):
        """Run a server in a temporary folder, and stop it at the end.

        Args:
            options: further arguments of the class.
        """
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
        """Start the server and wait until it answers."""
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
        """Send a signal to the server, and wait until its process has ended.

        Args:
            number: the signal.
        """
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(60)

    def account(self):
        return {}


class Redis(Server):
    """Redis with an append-only file, as in docker-compose.yml."""

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
    """PostgreSQL. `stop(signal.SIGQUIT)` is the same as `pg_ctl stop -m immediate`.

    Args:
        folder: folder of the server's data and logs.
        durable: True: committed data survives a loss of power. False: committed data survives only a killed server.
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
        """Create a database and return its URL.

        Args:
            template: name of the database to copy. No client may be connected to it. The default is an empty database.
        """
        name = f"embedreel_{secrets.token_hex(6)}"
        self._do(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop(self, url):
        """Remove a database, even if clients are connected.

        Args:
            url: URL of the database.
        """
        self._do(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def _do(self, statement):
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(statement)

    def answers(self):
        with suppress(psycopg.OperationalError), psycopg.connect(self.url(), connect_timeout=5):
            return True
        return False


def can_run():
    """Return True if the programs of PostgreSQL and Redis are installed."""
    return bool(_found("initdb") and shutil.which("redis-server"))


def _program(name):
    found = _found(name)
    assert found, f"{name} of PostgreSQL is not installed"
    return found


def _found(name):
    places = Path("/usr/lib/postgresql").glob(f"*/bin/{name}")
    return shutil.which(name) or max(map(str, places), key=lambda path: float(path.split("/")[4]), default=None)
