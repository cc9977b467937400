"""`python -m api` serves the API on EMBEDREEL_HOST and EMBEDREEL_PORT. `python -m api keys` manages its keys.

If the API listens beyond loopback, every request needs a key, and the API does not start without one. On loopback, no
key is needed until the first key exists: the operator's key (EMBEDREEL_API_KEY, EMBEDREEL_API_KEY_FILE) or a stored
key. From then on every request needs a key, even after the last key is revoked. `keys add` makes a new key.
"""

import gc
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import uvicorn
from sqlalchemy import inspect

from api.access import command as key_command
from api.access.hosts import is_loopback
from api.access.keys import operators_key
from api.main import create_app
from core import logs, tracing
from core.errors import EmbedreelError, StorageUnavailableError
from core.settings import Settings, read_settings
from core.store.database.session import Database
from core.store.database.tables import ApiKeyRow
from core.store.queries import keys

SHUTDOWN_SECONDS = 5
"""Time limit for the requests under way at shutdown, seconds. Chosen by hand; not measured."""

GARBAGE_THRESHOLD = 10_000
"""Number of new objects that starts a garbage collection. Above Python's default, because collections pause requests.

Chosen by hand; not measured.
"""

SWITCH_SECONDS = 0.0005
"""Interval at which a thread gives up the interpreter lock, seconds. With Python's default of 5 ms, each POST delays
each poll by up to 5 ms. The value is chosen by hand; not measured.
"""


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until SIGTERM or Ctrl-C, or run the command `keys …`. Return the exit status."""
    try:
        settings = read_settings()
        if arguments:
            print(command(settings, arguments))
            return 0
        check(settings)
    except ValueError as error:
        return _refuse(str(error))
    except EmbedreelError as error:
        return _refuse(error.detail)
    return serve(settings)


def command(settings: Settings, arguments: Sequence[str]) -> str:
    """Run a command and return the text to print.

    Raises:
        ValueError: the command does not exist, or its arguments are invalid.
        EmbedreelError: the key does not exist, or the database does not answer.
    """
    if arguments[0] in {"-h", "--help"}:
        return f"{__doc__}"
    if arguments[0] != "keys":
        raise ValueError(
            f"there is no command {arguments[0]!r}: `python -m api` serves, `python -m api keys` makes keys"
        )
    return key_command.run(settings, arguments[1:])


def serve(settings: Settings) -> int:
    """Serve the API until SIGTERM or Ctrl-C. Return the exit status."""
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure("embedreel-api")
    app = create_app(settings)
    try:
        app.state.process.database.check_server()
    except StorageUnavailableError as error:
        return _refuse(error.detail)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        log_config=None,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        access_log=False,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    server = Server(config, app.state.process.stopping)
    server.run()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """A uvicorn server that sets `stopping` before it waits for the requests under way."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then exclude all existing objects from garbage collection, which would pause every request."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Set `stopping` on SIGTERM or SIGINT, then shut down."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def check(settings: Settings) -> None:
    """Check that a service that other machines can reach has an API key.

    Raises:
        ValueError: other machines can reach the service and it has no API key, or the operator's key is unusable.
        StorageUnavailableError: the database is needed for the check and does not answer.
    """
    if operators_key(settings) is None and not is_loopback(settings.host) and not has_keys(settings):
        raise ValueError(
            f"refusing to listen on {settings.host} without an API key: anybody who reaches it could start runs. Set "
            "EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE, make a key with `python -m api keys add NAME`, or leave "
            "EMBEDREEL_HOST at 127.0.0.1."
        )


def has_keys(settings: Settings) -> bool:
    """Return True if the table has a valid key. The check neither creates nor migrates the database."""
    database = Database(settings.database)
    try:
        if database.sqlite and not Path(str(database.url.database)).exists():
            return False
        with database.reading() as session:
            there = inspect(session.connection()).has_table(ApiKeyRow.__tablename__)
            return there and keys.any_valid(session)
    finally:
        database.close()


def _refuse(reason: str) -> int:
    print("embedreel api:", " ".join(reason.split()), file=sys.stderr)  # libpq's messages have several lines
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
