"""Follow a run until it ends. Watching never changes a run, and the run continues when watching stops.

The client uses long polling (`Prefer: wait`): the service delays its response until the run changes. While nothing
changes, the client sends about one request every WAIT_SECONDS. Two polls start at least POLL_SECONDS apart, even if the
run changes all the time or the service ignores the preference.
"""

import time
from collections.abc import Callable

from rich.console import Console

from embedreel import display
from embedreel.api import Client
from embedreel.connection import Json
from embedreel.progress import ENDED, stages
from embedreel.restart_notices import RestartNotices

POLL_SECONDS = 0.3
"""Shortest time between the starts of two polls. Chosen by hand; not measured."""

WAIT_SECONDS = 10
"""Longest delay that the client asks for with `Prefer: wait`. The service allows 60 s. Chosen by hand; not measured."""


def watch(client: Client, run_id: str, *, console: Console, sleep: Callable[[float], None] = time.sleep) -> Json:
    """Show a run until it has succeeded, failed or been cancelled.

    Args:
        client: connection to the service.
        run_id: the run.
        console: where to show the run.
        sleep: waits for a number of seconds.

    Returns:
        The run in its final state.

    Raises:
        ApiError: the run does not exist.
        UnreachableError: the service did not answer within the client's retry time.
    """
    follower = _Follower(client, run_id)
    with display.on(console) as shown:
        while True:
            began = time.monotonic()
            run = follower.poll()
            if run is None:
                shown.tick()
            else:
                for line in follower.restarts.new_lines(run):
                    shown.say(line)
                shown.show(run, follower.checkpoint)
                if run["status"] in ENDED:
                    return run
            sleep(max(0.0, POLL_SECONDS - (time.monotonic() - began)))


class _Follower:
    """Polls a run, its newest checkpoint and its restarts."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.checkpoint: Json | None = None
        self.restarts = RestartNotices(lambda after: client.events(run_id, after=after))
        self._client = client
        self._run_id = run_id
        self._etag: str | None = None
        self._n_embedded = 0

    def poll(self) -> Json | None:
        """Return the run if it has changed since the last poll, else None."""
        run, self._etag = self._client.poll(self._run_id, self._etag, wait_seconds=WAIT_SECONDS)
        if run:
            self._read_checkpoints(run)
        return run

    def _read_checkpoints(self, run: Json) -> None:
        n_embedded = sum(stage.done for stage in stages(run) if stage.name == "embed")
        if n_embedded != self._n_embedded:
            rows = self._client.checkpoints(self._run_id)
            self.checkpoint, self._n_embedded = rows[-1] if rows else None, n_embedded
