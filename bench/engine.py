"""The engine with stub stages: start time of a run and of a child process, and throughput of several workers.

The measurements use SQLite. If PostgreSQL and Redis are installed, the measurements are repeated with them.
"""

import argparse
import datetime as dt
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.settings import Settings
from embedreel.api import Client, Json
from testing.claims import claim_of
from testing.servers import Postgres, Redis, can_run
from testing.service import Service, free_port
from worker.child import Child, warm_up
from worker.job import Job

ENDED = {"succeeded", "failed", "cancelled"}
STUBS = {
    "EMBEDREEL_TEST_STAGES": "tests.stub_stages",
    "EMBEDREEL_STUB_SECONDS": "0.2",
    "EMBEDREEL_LOG_LEVEL": "WARNING",
}
SUBMITS = 20
RUNS = 20
WORKERS = (1, 2, 4)
CHILDREN = 20


def main(options: argparse.Namespace) -> None:  # noqa: ARG001
    pairs = ["SQLite", *(["PostgreSQL and Redis"] if can_run() else [])]
    print("| engine | measured | target |\n|---|---|---|")
    print(
        f"| child: fork server to first message, median of {CHILDREN} | {child_start() * 1000:.0f} ms | under 300 ms |"
    )
    limits = {"SQLite": "under 1.2 s", "PostgreSQL and Redis": "under 150 ms"}
    for pair in pairs:
        seconds = start_latency(pair)
        print(
            f"| submit to first stage running, {pair}, median of {SUBMITS} | {seconds * 1000:.0f} ms | {limits[pair]} |"
        )
    for pair in pairs:
        for count in WORKERS:
            seconds = throughput(pair, count)
            print(
                f"| {RUNS} runs of 6 stages of 0.2 to 0.6 s, {pair}, {count} workers | {seconds:.1f} s | |", flush=True
            )


@contextmanager
def service(pair: str, workers: int) -> Iterator[Client]:
    """Start an API and workers with this database and broker. Yield a client when the workers are idle."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedreel-bench-")))
        variables = dict(STUBS)
        if pair != "SQLite":
            variables["EMBEDREEL_DATABASE_URL"] = stack.enter_context(Postgres.running()).url()
            variables["EMBEDREEL_BROKER_URL"] = stack.enter_context(Redis.running()).url
        running = Service(home, free_port(), variables, impatient=False)
        stack.callback(running.stop)
        running.start_api()
        for _ in range(workers):
            running.start_worker()
        while running.json("/readyz")["workers"] < workers:
            time.sleep(0.1)
        time.sleep(1)
        yield stack.enter_context(Client(running.url))


def body(index: int, *, frames: int = 2) -> Json:
    """Return the body of a run that shares no artifact with other runs."""
    return {"dataset": "digits", "name": f"run {index}", "train": {"seed": index}, "capture": {"frames": frames}}


def start_latency(pair: str) -> float:
    """Return the median seconds from POST to the start of the run's first stage on an idle worker."""
    measured = []
    with service(pair, 1) as client:
        for index in range(SUBMITS):
            sent = time.time()
            run_id = client.submit(body(index))["id"]
            finish(client, [run_id])
            started = next(event for event in client.events(run_id) if event["type"] == "stage.started")
            measured.append(_seconds(started["at"]) - sent)
    return statistics.median(measured)


def throughput(pair: str, workers: int) -> float:
    """Return the seconds from the first POST until RUNS runs have ended."""
    with service(pair, workers) as client:
        started = time.perf_counter()
        finish(client, [client.submit(body(index))["id"] for index in range(RUNS)])
        return time.perf_counter() - started


def child_start() -> float:
    """Return the median seconds from the request to the fork server until the child's first message."""
    os.environ.update(STUBS | {"EMBEDREEL_STUB_SECONDS": "0"})
    warm_up("worker.preload", STUBS["EMBEDREEL_TEST_STAGES"])
    spec = RunSpec(
        name="bench",
        dataset="digits",
        train=TrainSpec(steps=1),
        capture=CaptureSpec(frames=2),
        pinned=PinnedSources(dataset_digest=""),
    )
    measured = []
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home))
        for index in range(CHILDREN):
            output = Path(home) / str(index)
            output.mkdir()
            job = Job(
                claim=claim_of(spec, "fine_tune"),
                output=output,
                settings=settings,
                stages=STUBS["EMBEDREEL_TEST_STAGES"],
            )
            started = time.perf_counter()
            child = Child.start(job)
            while child.receive(timeout_seconds=1) is None:
                pass
            measured.append(time.perf_counter() - started)
            child.kill()
    return statistics.median(measured)


def finish(client: Client, run_ids: list[str]) -> None:
    """Wait until all runs have ended. Exit if a run did not succeed."""
    for run_id in run_ids:
        while (run := client.run(run_id))["status"] not in ENDED:
            time.sleep(0.05)
        if run["status"] != "succeeded":
            raise SystemExit(json.dumps(run["error"]))


def _seconds(time: str) -> float:
    return dt.datetime.fromisoformat(time).timestamp()
