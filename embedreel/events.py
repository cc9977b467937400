"""The events of a run, from the service's list and from its event stream."""

from collections.abc import Iterator
from contextlib import suppress

import httpx

from embedreel.connection import Connection, Json

EVENTS_PAGE_SIZE = 1000
"""Largest number of events in one response, as the service allows."""

RECONNECT_SECONDS = 1.0
"""Pause before an event stream without new events is opened again. Chosen by hand; not measured."""


def listed(connection: Connection, run_id: str, *, after: int) -> list[Json]:
    """Return a run's events after number `after`, from as many pages as needed."""
    found: list[Json] = []
    while True:
        params = {"after": found[-1]["seq"] if found else after, "limit": EVENTS_PAGE_SIZE}
        page = connection.json("GET", f"/v1/runs/{run_id}/events", repeatable=True, params=params)["events"]
        found += page
        if len(page) < EVENTS_PAGE_SIZE:
            return found


def followed(connection: Connection, run_id: str, *, after: int) -> Iterator[Json]:
    """Yield a run's events after number `after` as they happen, until the run has ended.

    A broken stream is resumed after the last received event.
    """
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
        began_after = after
        with connection.opened(f"/v1/runs/{run_id}/stream", headers=headers) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                return
            with suppress(httpx.TransportError):
                for event in connection.events(response):
                    after = event["seq"]
                    yield event
        if after == began_after:
            connection.retry.sleep(RECONNECT_SECONDS)
