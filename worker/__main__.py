"""`python -m worker`: run one worker with the broker, database and artifact store of the EMBEDREEL_* variables."""

import argparse
import os
import secrets
import socket
import sys
import threading
import warnings

from celery import signals
from celery.platforms import SecurityWarning

from core import logs, tracing
from core.errors import EmbedreelError
from core.queue.notifier import Notifier
from core.queue.sender import make_celery as make_sender
from core.settings import read_settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.objects import ownership
from core.store.objects.artifacts import open_store
from worker.app import declare_queues, ignore_signals, listen, make_celery, stop_on_signals
from worker.child import warm_up
from worker.job import STAGES_MODULE
from worker.supervisor import Supervisor
from worker.tasks import BackgroundDuties, register


def main(stages: str = STAGES_MODULE) -> int:
    """Run a worker until SIGTERM or Ctrl-C, then give unfinished tasks back.

    Args:
        stages: module with the functions of the stages.

    Returns:
        Exit status: 0, or 1 if the worker could not start.
    """
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--migrate", action="store_true", help="only bring the database to this version's schema")
    only_migrate = parser.parse_args().migrate
    stopping = threading.Event()
    stop_on_signals(stopping)
    worker_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    try:
        settings = read_settings()
        logs.configure(settings.log_level, settings.log_format, worker=worker_id)
        tracing.configure("embedreel-worker")
        database = Database(settings.database)
        migrate.upgrade(database)
        if only_migrate:
            return 0
        store = open_store(settings.artifacts, home=settings.root)
        store.prepare()
        ownership.claim(database, store)
    except (ValueError, EmbedreelError) as error:
        print(f"embedreel worker: {error}", file=sys.stderr)
        return 1
    warnings.filterwarnings(
        "ignore", category=SecurityWarning
    )  # the warning is about pickle as root; the worker accepts only JSON
    app = make_celery(settings)
    notifier = Notifier(make_sender(settings.broker))
    supervisor = Supervisor(settings, database, store, worker_id, notifier.notify, stages, stopping)
    duties = BackgroundDuties(settings, database, supervisor)
    register(app, supervisor)

    signals.setup_logging.connect(lambda **_: None, weak=False)  # Celery then keeps the loggers of this process
    warm_up("worker.preload" if stages == STAGES_MODULE else "worker.runner", stages)  # stubs need no torch
    declare_queues(app)
    notifier.start()
    duties.start()
    listen(app, stopping, hostname=worker_id, loglevel=settings.log_level)
    duties.stop()
    notifier.stop()
    ignore_signals()
    return 0


if __name__ == "__main__":
    sys.exit(main())
