"""Follow a run until it ends. Watching never changes a run: whoever stops watching leaves it going."""

import time
from collections.abc import Callable

from rich.console import Console

from client import display
from client.api import Client, Json, UnreachableError
from client.progress import ENDED, stages

POLL_SECONDS = 0.3
PATIENCE_SECONDS = 15.0


def watch(client: Client, run_id: str, *, console: Console, sleep: Callable[[float], None] = time.sleep) -> Json:
    """Show a run until it has succeeded, failed or been cancelled.

    Returns:
        The run as it ended.

    Raises:
        ApiError: there is no such run.
        UnreachableError: the service has not answered for 15 seconds.
    """
    follower = _Follower(client, run_id)
    with display.on(console) as shown:
        while True:
            run = follower.look()
            if run is None:
                shown.tick()
            else:
                shown.show(run, follower.checkpoint)
                if run["status"] in ENDED:
                    return run
            sleep(POLL_SECONDS)


class _Follower:
    """Looks at a run again and again, and bears with a service that is away for a while."""

    def __init__(self, client: Client, run_id: str) -> None:
        self.checkpoint: Json | None = None
        self._client = client
        self._run_id = run_id
        self._etag: str | None = None
        self._n_embedded = 0
        self._away_seconds = 0.0

    def look(self) -> Json | None:
        """The run, if it has changed since the last look."""
        try:
            run, self._etag = self._client.poll(self._run_id, self._etag)
            self._look_at_checkpoints(run)
        except UnreachableError:
            self._away_seconds += POLL_SECONDS
            if self._away_seconds >= PATIENCE_SECONDS:
                raise
            self._etag = None
            return None
        self._away_seconds = 0.0
        return run

    def _look_at_checkpoints(self, run: Json | None) -> None:
        n_embedded = sum(stage.done for stage in stages(run) if stage.name == "embed") if run else 0
        if n_embedded > self._n_embedded:
            rows = self._client.checkpoints(self._run_id)
            self.checkpoint, self._n_embedded = rows[-1] if rows else None, n_embedded
