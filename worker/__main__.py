"""`python -m worker`: one worker on the broker, database and artifact store of the EMBEDREEL_* variables."""

import argparse
import logging
import os
import secrets
import socket
import sys
import warnings

from celery import signals
from celery.platforms import SecurityWarning

from core.errors import EmbedreelError
from core.settings import Settings
from core.store import migrate
from core.store.artifacts import ArtifactStore
from core.store.session import Database
from worker.app import make_celery, make_sender
from worker.child import warm_up
from worker.supervisor import Supervisor
from worker.tasks import Keeper, register, ringer


def main() -> int:
    """Wire a worker, run it until SIGTERM or Ctrl-C, and give unfinished stages back."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--migrate", action="store_true", help="only bring the database to this version's schema")
    only_migrate = parser.parse_args().migrate
    settings = Settings()
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic.runtime").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=SecurityWarning)  # it is about pickle as root; we take JSON only
    database = Database(settings.database)
    store = ArtifactStore(settings.artifacts)
    try:
        migrate.upgrade(database)
        store.prepare()
    except EmbedreelError as error:
        print(f"embedreel worker: {error.detail}", file=sys.stderr)
        return 1
    if only_migrate:
        return 0
    app = make_celery(settings)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    supervisor = Supervisor(settings, database, store, worker_id, ringer(make_sender(settings)))
    keeper = Keeper(settings, database, supervisor)
    register(app, supervisor)

    def start(**_: object) -> None:
        keeper.start()

    def stop(**_: object) -> None:
        supervisor.stopping.set()

    signals.worker_ready.connect(start, weak=False)
    signals.worker_shutting_down.connect(stop, weak=False)
    warm_up(*dict.fromkeys(["worker.preload", settings.stages_module]))
    app.worker_main(
        ["--quiet", "worker", "--loglevel", settings.log_level, "--without-gossip", "--without-mingle", "-n", worker_id]
    )
    keeper.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
