"""`python -m api`: the API on EMBEDREEL_HOST and EMBEDREEL_PORT. `python -m api keys`: its keys.

Beyond loopback the API wants a key of everybody, and does not start where there is none. On loopback it wants none
until there is one: the operator's (EMBEDREEL_API_KEY, EMBEDREEL_API_KEY_FILE), or the first in the table. From then on
it is closed there too, also when the last key in the table is revoked; `keys add` makes another.
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
GARBAGE_THRESHOLD = 10_000
SWITCH_SECONDS = 0.0005
"""A thread gives way to the others so often: at Python's own 5 ms, every poll waits so long for every POST."""


def main(arguments: Sequence[str] = ()) -> int:
    """Serve until SIGTERM or Ctrl-C; with `keys …`, do that instead."""
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
    """What a command has to say.

    Raises:
        ValueError: there is no such command.
    """
    if arguments[0] in {"-h", "--help"}:
        return f"{__doc__}"
    if arguments[0] != "keys":
        raise ValueError(
            f"there is no command {arguments[0]!r}: `python -m api` serves, `python -m api keys` makes keys"
        )
    return key_command.run(settings, arguments[1:])


def serve(settings: Settings) -> int:
    """The API, until SIGTERM or Ctrl-C."""
    logs.configure(settings.log_level, settings.log_format)
    tracing.configure("embedreel-api")
    app = create_app(settings)
    try:
        app.state.parts.database.check_server()
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
    server = Server(config, app.state.parts.stopping)
    server.run()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """Says that it is asked to end before it waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and spare the garbage collector what lives as long as the process: it stops every answer meanwhile."""
        await super().startup(sockets)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 20)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with SIGTERM and SIGINT."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def check(settings: Settings) -> None:
    """Refuse to let strangers in.

    Raises:
        ValueError: the service would be reached from other machines, and has no API key; or the key is unusable.
        StorageUnavailableError: whether it has a key is known to the database only, and that does not answer.
    """
    if operators_key(settings) is None and not is_loopback(settings.host) and not has_keys(settings):
        raise ValueError(
            f"refusing to listen on {settings.host} without an API key: anybody who reaches it could start runs. Set "
            "EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE, make a key with `python -m api keys add NAME`, or leave "
            "EMBEDREEL_HOST at 127.0.0.1."
        )


def has_keys(settings: Settings) -> bool:
    """Whether some key in the table can be used; nothing is made or migrated for the question."""
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
    print("embedreel api:", " ".join(reason.split()), file=sys.stderr)  # libpq tells in several lines
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
