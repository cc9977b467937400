"""`python -m api`: the API on EMBEDREEL_HOST and EMBEDREEL_PORT."""

import logging
import sys
import threading
from types import FrameType

import uvicorn

from api.main import create_app
from api.security import api_key, is_loopback
from core.errors import StorageUnavailableError
from core.settings import Settings

SHUTDOWN_SECONDS = 5


def main() -> int:
    """Serve until SIGTERM or Ctrl-C."""
    settings = Settings()
    try:
        check(settings)
    except ValueError as error:
        print(f"embedreel api: {error}", file=sys.stderr)
        return 1
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)
    app = create_app(settings)
    try:
        app.state.parts.database.check_server()
    except StorageUnavailableError as error:
        print(f"embedreel api: {error.detail}", file=sys.stderr)
        return 1
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_level=settings.log_level.lower(),
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        access_log=False,
    )
    server = Server(config, app.state.parts.stopping)
    server.run()
    return 0 if server.started else 1


class Server(uvicorn.Server):
    """Says that it is asked to end before it waits for the answers under way."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called with SIGTERM and SIGINT."""
        self._stopping.set()
        super().handle_exit(sig, frame)


def check(settings: Settings) -> None:
    """Refuse to let strangers in.

    Raises:
        ValueError: the service would be reached from other machines, and has no API key; or the key is unusable.
    """
    if api_key(settings) is None and not is_loopback(settings.host):
        raise ValueError(
            f"refusing to listen on {settings.host} without an API key: anybody who reaches it could start runs. Set "
            "EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE, or leave EMBEDREEL_HOST at 127.0.0.1."
        )


if __name__ == "__main__":
    sys.exit(main())
