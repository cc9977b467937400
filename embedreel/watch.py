"""Follow a run until it ends. Watching never changes a run: whoever stops watching leaves it going.

The service is asked to hold its answer back until there is something new (`Prefer: wait`), so that a run that takes
hours costs it a request every ten seconds; a service that does not know the preference is polled. Either way, two looks
are POLL_SECONDS apart at least: a run that changes all the time is not looked at all the time.
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
WAIT_SECONDS = 10


def watch(client: Client, run_id: str, *, console: Console, sleep: Callable[[float], None] = time.sleep) -> Json:
    """Show a run until it has succeeded, failed or been cancelled.

    Returns:
        The run as it ended.

    Raises:
        ApiError: there is no such run.
        UnreachableError: the service has not answered for as long as the client is patient.
    """
    follower = _Follower(client, run_id)
    with display.on(console) as shown:
        while True:
            began = time.monotonic()
            run = follower.look()
            if run is None:
                shown.tick()
            else:
                for line in follower.restarts.told(run):
                    shown.say(line)
                shown.show(run, follower.checkpoint)
                if run["status"] in ENDED:
                    return run
            sleep(max(0.0, POLL_SECONDS - (time.monotonic() - began)))


class _Follower:
    """Looks at a run again and again."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.checkpoint: Json | None = None
        self.restarts = RestartNotices(lambda after: client.events(run_id, after=after))
        self._client = client
        self._run_id = run_id
        self._etag: str | None = None
        self._n_embedded = 0

    def look(self) -> Json | None:
        """The run, if it has changed since the last look."""
        run, self._etag = self._client.poll(self._run_id, self._etag, wait_seconds=WAIT_SECONDS)
        if run:
            self._look_at_checkpoints(run)
        return run

    def _look_at_checkpoints(self, run: Json) -> None:
        n_embedded = sum(stage.done for stage in stages(run) if stage.name == "embed")
        if n_embedded != self._n_embedded:
            rows = self._client.checkpoints(self._run_id)
            self.checkpoint, self._n_embedded = rows[-1] if rows else None, n_embedded
