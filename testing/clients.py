"""The load generator: many clients on the event loop of one process.

    python -m testing.clients SCENARIO '{"port": 8000, …}'

SCENARIO is `polling`, `unpaced` or `streams`. The second argument contains the arguments of the function of this name.
The command prints the result of the function as JSON. `bench.load` starts this command.
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

POLL_SECONDS = 0.3  # pause between two polls, as in the client `embedreel`
POST_SECONDS = (2.0, 6.0)  # minimum and maximum pause between two runs of a client; clients start within the minimum
TERMINAL = {"run.succeeded", "run.failed", "run.cancelled"}
_seeds = itertools.count(random.SystemRandom().randrange(2**24) * 2**7)


def body(*, frames: int) -> dict[str, Any]:
    """Return the body of a run with a new training seed, so that the run reuses no artifact."""
    train = {"steps": 600, "seed": next(_seeds)}
    return {"name": "load", "dataset": "digits", "train": train, "capture": {"frames": frames}}


@dataclass
class Seen:
    """The results of all requests.

    Attributes:
        milliseconds: time of each request in milliseconds, by HTTP method.
        statuses: number of answers by `METHOD STATUS`.
        errors: description of each answer with a status of at least 400, and of each exception.
    """

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: {"GET": [], "POST": []})
    statuses: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    async def ask(self, connection: Connection, method: str, path: str, **options: Any) -> Answer:
        """Send a request, and record its time and its status.

        Args:
            connection: an open connection.
            method: `GET` or `POST`.
            path: path and query.
            options: further arguments of `Connection.ask`.
        """
        started = time.perf_counter()
        answer = await connection.ask(method, path, **options)
        self.milliseconds[method].append((time.perf_counter() - started) * 1000)
        self.statuses[f"{method} {answer.status}"] += 1
        if answer.status >= 400:
            self.errors.append(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer

    def report(self) -> dict[str, Any]:
        """Return the counts, the errors and the percentiles as plain data."""
        percentiles = {method: _percentiles(values) for method, values in self.milliseconds.items()}
        return {"statuses": dict(self.statuses), "errors": self.errors, "milliseconds": percentiles}


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(q * len(ordered)))], 2) for name, q in at.items()}


async def polling(*, port: int, clients: int, seconds: float, frames: int) -> dict[str, Any]:
    """Run clients that post runs at intervals of POST_SECONDS and poll their newest run every POLL_SECONDS.

    Each client has its own connection.

    Args:
        port: port of the service on this machine.
        clients: number of clients.
        seconds: duration.
        frames: number of frames of each run.

    Returns:
        The report of `Seen`.
    """
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
    """Run clients that send GET requests without a pause.

    Args:
        port: port of the service on this machine.
        polls: for each client, a path and an ETag. An empty ETag is not sent.
        seconds: duration.
        status: expected status of each answer.

    Returns:
        `a_second`: answers per second of all clients. `unexpected`: number of answers by any other status.
    """
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
    """Post runs and read their event streams. Every third stream disconnects once, and resumes with Last-Event-ID.

    Args:
        port: port of the service on this machine.
        streams: number of streams, distributed evenly over the runs.
        runs: number of runs.
        frames: number of frames of each run.

    Returns:
        `complete`: number of streams with all events of their run in order. `events`: number of events of all streams.
        `wrong`: description of each other stream.
    """
    connection = await Connection.open(port)
    posted = [await connection.ask("POST", "/v1/runs", body=body(frames=frames)) for _ in range(runs)]
    links = [answer.json()["links"] for answer in posted]
    streamed = await asyncio.gather(
        *(_follow(port, links[index % runs]["stream"], breaks=index % 3 == 0) for index in range(streams))
    )
    await connection.close()
    connection = await Connection.open(port)  # the service closes a connection that was idle for 5 s
    wrong, listed_events = [], {}
    for link in links:
        listed = (await connection.ask("GET", f"{link['events']}?limit=1000")).json()["events"]
        listed_events[link["stream"]] = [(event["seq"], event["type"]) for event in listed]
    for index, events in enumerate(streamed):
        expected = listed_events[links[index % runs]["stream"]]
        in_order = [seq for seq, _ in events] == list(range(1, len(events) + 1))
        if events != expected or not in_order or events[-1][1] != "run.succeeded":
            wrong.append(f"stream {index}: {len(events)} events of {len(expected)}, the last {events[-1:]}")
    await connection.close()
    return {"complete": streams - len(wrong), "events": sum(map(len, streamed)), "wrong": wrong}


async def _follow(port: int, path: str, *, breaks: bool) -> list[tuple[int, str]]:
    """Read an event stream until the run has ended.

    Args:
        port: port of the service on this machine.
        path: path of the stream.
        breaks: True: disconnect once, after five events, and resume.

    Returns:
        The number and the type of each event.
    """
    events: list[tuple[int, str]] = []
    while True:
        connection = await Connection.open(port)
        head = await connection.begin("GET", path, headers={"Last-Event-ID": str(len(events))})
        if head.status != 200:
            return events
        async for event in connection.events():
            events.append((int(event["id"]), event["event"]))
            if breaks and len(events) == 5:
                breaks = False
                break
        await connection.close()
        if events and events[-1][1] in TERMINAL:
            return events


if __name__ == "__main__":
    scenario = {"polling": polling, "unpaced": unpaced, "streams": streams}[sys.argv[1]]
    print(json.dumps(uvloop.run(scenario(**json.loads(sys.argv[2])))))
