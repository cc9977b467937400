"""The API under load: 50 clients, polling without pauses compared with a bare FastAPI application, 100 event streams.

Stages are stubs (tests/stub_stages.py), so that the worker uses little processor time. The database is SQLite, unless
EMBEDREEL_* variables name another one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.service import service
from embedreel import serve
from embedreel.api import Client
from testing.clients import body

FRAMES = 60
STREAM_FRAMES = 20
RATE_LIMIT = "1000000000"
"""Requests per minute of a client. No client reaches this limit: requests are counted, but no request is refused."""


def main(options: argparse.Namespace) -> None:
    os.environ |= {"EMBEDREEL_TEST_STAGES": "tests.stub_stages", "EMBEDREEL_STUB_SECONDS": "0.05"}
    os.environ |= {"EMBEDREEL_MAX_RUNS_IN_FLIGHT": "0", "EMBEDREEL_RATE_LIMIT": RATE_LIMIT}
    with service() as (client, _):
        ratios = compare(client, seconds=options.seconds / 12, repeats=options.repeats)
        streamed = follow(port_of(client), streams=100, runs=10)
        polled = poll(port_of(client), clients=50, seconds=options.seconds)
    print(f"50 clients, {options.seconds:.0f} s: {polled['statuses']}, {len(polled['errors'])} errors\n")
    print("| API under load | measured | target |\n|---|---|---|")
    print(f"| errors of 50 clients | {len(polled['errors'])} | 0 |")
    for method, limit in (("GET", 50), ("POST", 150)):
        times = polled["milliseconds"][method]
        print(
            f"| {method}, median, p95, p99 | {times['p50']}, {times['p95']}, {times['p99']} ms | p95 under {limit} ms |"
        )
    for name, (ours, bare) in ratios.items():
        print(f"| {name}, against a constant | {ours:.0f} and {bare:.0f} a second: {ours / bare:.2f} | 0.33 |")
    print(
        f"| of 100 event streams complete and in order | {streamed['complete']} ({streamed['events']} events) | 100 |"
    )


def port_of(client: Client) -> int:
    return int(client.url.rsplit(":", 1)[1])


def poll(port: int, *, clients: int, seconds: float, frames: int = FRAMES) -> dict[str, Any]:
    """Run clients that post runs and poll them as often as our own client.

    Args:
        port: port of the API.
        clients: number of clients.
        seconds: duration.
        frames: frames of each run.

    Returns:
        `errors`, `statuses` (number of responses by method and status), `milliseconds` (percentiles by method).
    """
    return generate("polling", port=port, clients=clients, seconds=seconds, frames=frames)


def follow(port: int, *, streams: int, runs: int, frames: int = STREAM_FRAMES) -> dict[str, Any]:
    """Follow the event streams of running runs. Every third stream is interrupted once and resumed.

    Args:
        port: port of the API.
        streams: number of streams.
        runs: number of runs.
        frames: frames of each run.

    Returns:
        `complete` (number of streams that received each event once and in order), `events` (number of all events
        received), `wrong` (descriptions of the other streams).
    """
    return generate("streams", port=port, streams=streams, runs=runs, frames=frames)


def compare(client: Client, *, seconds: float, repeats: int, clients: int = 50) -> dict[str, tuple[float, float]]:
    """Compare polling without pauses with requests to a bare application. Measurements alternate.

    Args:
        client: client of the service. Each polling client gets a queued run of its own.
        seconds: duration of each measurement.
        repeats: number of measurements of each kind.
        clients: number of polling clients.

    Returns:
        Median requests per second of the service and of the bare application, by kind of response: 304 Not Modified, or
        the whole run.
    """
    port = port_of(client)
    runs = [client.submit(body(frames=FRAMES) | {"name": name}) for name in ("hang", *["wait"] * clients)]
    while client.run(runs[0]["id"])["status"] != "running":
        time.sleep(0.1)
    polls = [(run["links"]["self"], client.poll(run["id"], None)[1]) for run in runs[1:]]
    counts: dict[str, list[float]] = {"bare": [], "polls answered 304": [], "polls answered in full": []}
    with bare_application(client.run(runs[1]["id"])) as bare:
        for _ in range(repeats):
            for name, asked in (
                ("bare", {"port": bare, "polls": [("/", "")] * clients}),
                ("polls answered 304", {"port": port, "polls": polls, "status": 304}),
                ("polls answered in full", {"port": port, "polls": [(path, "") for path, _ in polls]}),
            ):
                seen = generate("unpaced", seconds=seconds, **asked)
                if seen["unexpected"]:
                    raise SystemExit(f"{name}: {seen}")
                counts[name].append(seen["a_second"])
    for run in runs:
        client.cancel(run["id"])
    medians = {name: statistics.median(values) for name, values in counts.items()}
    return {name: (value, medians["bare"]) for name, value in medians.items() if name != "bare"}


def generate(scenario: str, **options: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON values
    """Run a scenario of `testing.clients` in a separate process. Return its report."""
    command = [sys.executable, "-m", "testing.clients", scenario, json.dumps(options)]
    root = Path(__file__).resolve().parents[1]
    seen: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=root).stdout)
    return seen


@contextmanager
def bare_application(constant: Any) -> Iterator[int]:  # noqa: ANN401 - JSON
    """Start a bare application that responds with the given JSON. Yield its port."""
    port = serve.free_port(serve.HOST)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_text(json.dumps(constant))
        process = subprocess.Popen([sys.executable, "-m", "bench.bare", str(port), file.name])
        try:
            while True:
                try:
                    urllib.request.urlopen(f"http://{serve.HOST}:{port}/").read()
                    break
                except OSError:
                    time.sleep(0.05)
            yield port
        finally:
            process.terminate()
            process.wait()
