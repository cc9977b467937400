"""`make demo`: start the service, make one run on the built-in digits, download its film, and stop the service."""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from embedreel import serve
from embedreel.access import api_key
from embedreel.api import Client
from embedreel.connection import Json
from embedreel.errors import ClientError, describe
from embedreel.retry import RetryPolicy
from embedreel.watch import watch

BODY = {
    "name": "digits, ViT from scratch",
    "dataset": "digits",
    "model": "vit-tiny",
    "train": {"steps": 300},
    "capture": {"frames": 60, "probe_size": 1000},
}


def main(arguments: list[str] | None = None) -> int:
    """Make the film. Return the exit status."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep-serving", action="store_true", help="serve the film until Ctrl-C")
    options = parser.parse_args(arguments)
    home = Path(os.environ.get("EMBEDREEL_HOME") or ".embedreel").expanduser().resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that SIGTERM stops the service too
    try:
        return run(home, keep_serving=options.keep_serving)
    except (serve.ServeError, ClientError, OSError, ValueError) as error:
        print(f"embedreel: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The run is cancelled. Repeat the command to start a new run.", file=sys.stderr)
        return 130


def run(home: Path, *, keep_serving: bool = False, processes: serve.Commands | None = None) -> int:
    """Start the service, make and download the film, and stop the service. Return the exit status.

    Args:
        home: folder of the service's data; the film and the log go to its subfolder "demo".
        keep_serving: serve the film until Ctrl-C.
        processes: the service's processes; None starts the API and a worker.

    Raises:
        ServeError: the service did not start, or a process of the service has ended.
        ClientError: the service refused a request, or does not answer.
        KeyboardInterrupt: the user pressed Ctrl-C; the run is cancelled.
    """
    folder = home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    port = serve.free_port(serve.HOST)
    url = serve.url_of(serve.HOST, port)
    environment = {"EMBEDREEL_HOME": str(home), "EMBEDREEL_HOST": serve.HOST, "EMBEDREEL_PORT": str(port)}
    service = serve.LocalService(
        processes or serve.commands(), url=url, environment=environment, log=folder / "service.log"
    )
    print(f"Starting the service (its log: {folder / 'service.log'})", flush=True)

    def look_and_sleep(seconds: float) -> None:
        service.check()
        time.sleep(seconds)

    with service, Client(url, api_key(), retry=RetryPolicy(sleep=look_and_sleep)) as client:
        service.wait_until_ready()
        ended = _film(client, look_and_sleep)
        if ended["status"] != "succeeded":
            why = describe(ended["error"]) if ended["error"] else ""
            print(f"The run {ended['status']}. {why}\nLog: {folder / 'service.log'}")
            return 1
        path = client.download(ended["id"], "film.gif", folder / "film.gif")
        print(f"\nQuality of the film: {client.quality(ended['id'])['verdict']}")
        print(_closing_words(path, ended["id"], url if keep_serving else None), flush=True)
        if keep_serving:
            _keep(service)
    return 0


def _film(client: Client, sleep: Callable[[float], None]) -> Json:
    posted = client.submit(BODY)
    print(f"POST /v1/runs: {posted['id']}, {posted['name']}", flush=True)
    try:
        return watch(client, posted["id"], console=Console(), sleep=sleep)
    except KeyboardInterrupt:
        with suppress(ClientError):
            client.cancel(posted["id"])
        raise


def _keep(service: serve.LocalService) -> None:
    with serve.Interrupt() as interrupt:
        while not interrupt.asked.wait(serve.CHECK_INTERVAL_SECONDS):
            service.check()


def _closing_words(path: Path, run_id: str, live_url: str | None) -> str:
    film = f"/v1/runs/{run_id}/film.gif"
    if live_url:
        return f"\nThe film:  {path}\nIts URL:   {live_url}{film}  (until Ctrl-C)"
    port = os.environ.get("EMBEDREEL_PORT") or serve.PORT
    home = os.environ.get("EMBEDREEL_HOME")
    command = f"EMBEDREEL_HOME={home} make serve" if home else "make serve"
    return f"\nThe film:  {path}\nIts URL, once `{command}` runs:  http://{serve.HOST}:{port}{film}"


if __name__ == "__main__":
    sys.exit(main())
