"""Commands for the service itself: workers, serve."""

import argparse
import os

from embedreel import serve
from embedreel.access import connect
from embedreel.command import OK, Command
from embedreel.connection import Json
from embedreel.output import add_json_flag, format_time, show

WORKER_COLUMNS = ["id", "alive", "device", "queues", "concurrency", "version", "heartbeat", "doing"]


def workers(options: argparse.Namespace) -> int:
    """Show the workers and the stages that each is running."""
    with connect(options) as client:
        found = client.workers()
    show(found if options.json else [_row(worker) for worker in found], WORKER_COLUMNS, as_json=options.json)
    return OK


def serve_here(options: argparse.Namespace) -> int:
    """Run the API and a worker on this machine until Ctrl-C.

    A process that ends by itself is restarted after a pause. The pause grows with each restart.
    """
    serve.serve(options.host, options.port)
    return OK


def _row(worker: Json) -> Json:
    """Return a worker's table row."""
    doing = [f"{work.get('stage')} of {work.get('run')}" for work in worker.get("doing") or []]
    alive = {True: "yes", False: "no"}.get(worker.get("alive", ""), "")
    return worker | {"alive": alive, "heartbeat": format_time(worker.get("heartbeat_at")), "doing": doing or "nothing"}


def _serve_flags(parser: argparse.ArgumentParser) -> None:
    host, port = os.environ.get("EMBEDREEL_HOST") or serve.HOST, os.environ.get("EMBEDREEL_PORT") or serve.PORT
    parser.add_argument("--host", default=host, help=f"address to listen on (default {host})")
    parser.add_argument(
        "--port", default=port, type=int, metavar="N", help=f"port to listen on; 0: any free port (default {port})"
    )


COMMANDS = (Command("workers", workers, add_json_flag), Command("serve", serve_here, _serve_flags))
