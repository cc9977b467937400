"""`python -m worker.health`: whether a worker of this host is alive, as the exit status. For health checks."""

import socket
import sys

from core.errors import StorageUnavailableError
from core.settings import read_settings
from core.store.database.session import Database
from core.store.queries import workers


def main() -> int:
    """0 while the database has a fresh heartbeat of this host, 1 otherwise."""
    try:
        with Database(read_settings().database).reading() as session:
            alive = [worker.id for worker in workers.alive(session) if _of_this_host(worker.id)]
    except (ValueError, StorageUnavailableError) as error:
        print(f"embedreel worker: {error}", file=sys.stderr)  # noqa: T201 - an entry point talks to the terminal
        return 1
    return 0 if alive else 1


def _of_this_host(worker_id: str) -> bool:
    """Ids are made as host, process id, random part; the host's name may have hyphens too."""
    return worker_id.rsplit("-", 2)[0] == socket.gethostname()


if __name__ == "__main__":
    sys.exit(main())
