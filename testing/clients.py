"""The load generator, a process of its own: many clients on one event loop.

    python -m testing.clients SCENARIO '{"port": 8000, …}'

It prints what it saw as JSON; `bench.load` starts it.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import uvloop

from testing.connection import Answer, Connection

POLL_SECONDS = 0.3  # as our own client does
POST_SECONDS = (2.0, 6.0)  # between two runs of a client; they start one by one over the shorter of both
TERMINAL = {"run.succeeded", "run.failed", "run.cancelled"}
_seeds = itertools.count(random.SystemRandom().randrange(2**24) * 2**7)


def body(*, frames: int) -> dict[str, Any]:
    """A run that shares nothing with any other."""
    train = {"steps": 600, "seed": next(_seeds)}
    return {"name": "load", "dataset": "digits", "train": train, "capture": {"frames": frames}}


@dataclass
class Seen:
    """What the clients saw: milliseconds of each request by its method, answers by method and status, and errors."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "POST": []})
    statuses: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    async def ask(self, connection: Connection, method: str, path: str, **options: Any) -> Answer:
        """Ask, and take down how long it took and what came."""
        started = time.perf_counter()
        answer = await connection.ask(method, path, **options)
        self.milliseconds[method].append((time.perf_counter() - started) * 1000)
        self.statuses[f"{method} {answer.status}"] += 1
        if answer.status >= 400:
            self.errors.append(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer

    def report(self) -> dict[str, Any]:
        """Counts and percentiles, as plain data."""
        percentiles = {method: _percentiles(values) for method, values in self.milliseconds.items()}
        return {"statuses": dict(self.statuses), "errors": self.errors, "milliseconds": percentiles}


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) for name, share in at.items()}


async def polling(*, port: int, clients: int, seconds: float, frames: int) -> dict[str, Any]:
    """Clients that post a run every few seconds and poll the newest one, each on a connection of its own."""
    seen, end = Seen(), time.monotonic() + seconds

    async def client() -> None:
        connection = await Connection.open(port)
        path, etag, post_at = "", "", 0.0
        while (at := time.monotonic()) < end:
            if at >= post_at:
                posted = await seen.ask(connection, "POST", "/v1/runs", body=body(frames=frames))
                path, etag = posted.headers["location"], posted.headers["etag"]
                post_at = at + random.uniform(*POST_SECONDS)
            answer = await seen.ask(connection, "GET", path, headers={"If-None-Match": etag})
            etag = answer.headers["etag"]
            await asyncio.sleep(POLL_SECONDS)
        await connection.close()

    async def guarded() -> None:
        await asyncio.sleep(random.uniform(0, min(POST_SECONDS[0], seconds / 2)))
        try:
            await client()
        except (OSError, EOFError, KeyError) as error:
            seen.errors.append(repr(error))

    await asyncio.gather(*(guarded() for _ in range(clients)))
    return seen.report()


async def unpaced(*, port: int, polls: list[list[str]], seconds: float, status: int = 200) -> dict[str, Any]:
    """Clients that ask without a pause, each for its own path and with its own ETag, if that is not empty."""
    answered, unexpected = 0, Counter[int]()

    async def client(path: str, etag: str) -> None:
        nonlocal answered
        connection = await Connection.open(port)
        headers = {"If-None-Match": etag} if etag else {}
        while time.monotonic() < started + seconds:
            answer = await connection.ask("GET", path, headers=headers)
            answered += 1
            if answer.status != status:
                unexpected[answer.status] += 1
        await connection.close()

    started = time.monotonic()
    await asyncio.gather(*(client(path, etag) for path, etag in polls))
    return {"a_second": round(answered / (time.monotonic() - started), 1), "unexpected": dict(unexpected)}


async def streams(*, port: int, streams: int, runs: int, frames: int) -> dict[str, Any]:
    """Event streams on runs under way; every third one breaks off once and comes back where it was.

    Returns:
        How many streams were complete and in order, how many events they got, and what was wrong with the others.
    """
    connection = await Connection.open(port)
    posted = [await connection.ask("POST", "/v1/runs", body=body(frames=frames)) for _ in range(runs)]
    links = [answer.json()["links"] for answer in posted]
    heard = await asyncio.gather(
        *(_follow(port, links[index % runs]["stream"], breaks=index % 3 == 0) for index in range(streams))
    )
    await connection.close()
    connection = await Connection.open(port)  # the service closes one that was idle for 5 s
    wrong, told = [], {}
    for link in links:
        listed = (await connection.ask("GET", f"{link['events']}?limit=1000")).json()["events"]
        told[link["stream"]] = [(event["seq"], event["type"]) for event in listed]
    for index, events in enumerate(heard):
        expected = told[links[index % runs]["stream"]]
        in_order = [seq for seq, _ in events] == list(range(1, len(events) + 1))
        if events != expected or not in_order or events[-1][1] != "run.succeeded":
            wrong.append(f"stream {index}: {len(events)} events of {len(expected)}, the last {events[-1:]}")
    await connection.close()
    return {"complete": streams - len(wrong), "events": sum(map(len, heard)), "wrong": wrong}


async def _follow(port: int, path: str, *, breaks: bool) -> list[tuple[int, str]]:
    """What a stream says until the run has ended."""
    heard: list[tuple[int, str]] = []
    while True:
        connection = await Connection.open(port)
        head = await connection.begin("GET", path, headers={"Last-Event-ID": str(len(heard))})
        if head.status != 200:
            return heard
        async for event in connection.events():
            heard.append((int(event["id"]), event["event"]))
            if breaks and len(heard) == 5:
                breaks = False
                break
        await connection.close()
        if heard and heard[-1][1] in TERMINAL:
            return heard


if __name__ == "__main__":
    scenario = {"polling": polling, "unpaced": unpaced, "streams": streams}[sys.argv[1]]
    print(json.dumps(uvloop.run(scenario(**json.loads(sys.argv[2])))))
