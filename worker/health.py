"""`python -m worker.health`: health check of the workers of this host. The exit status is 0 if a worker is alive."""

import socket
import sys

from core.errors import StorageUnavailableError
from core.settings import read_settings
from core.store.database.session import Database
from core.store.queries import workers


def main() -> int:
    """Return 0 if the database has a recent heartbeat of this host, 1 otherwise."""
    try:
        with Database(read_settings().database).reading() as session:
            alive = [worker.id for worker in workers.alive(session) if _of_this_host(worker.id)]
    except (ValueError, StorageUnavailableError) as error:
        print(f"embedreel worker: {error}", file=sys.stderr)  # noqa: T201 - an entry point prints to the terminal
        return 1
    return 0 if alive else 1


def _of_this_host(worker_id: str) -> bool:
    """Return True if the worker runs on this host.

    The id consists of host name, process id and a random part, joined by hyphens. The host name may contain hyphens.
    """
    return worker_id.rsplit("-", 2)[0] == socket.gethostname()


if __name__ == "__main__":
    sys.exit(main())
