"""Hostile uploads: broken and mutated Parquet and ZIP files, image bombs, paths, and HTTP bodies with wrong headers.

Each upload must be refused with a problem, or may be accepted if it is harmless. No file outside the data folder may be
read or written, no connection may be opened, nothing may remain in the data folder, and the service must continue to
work.
"""

import json
import socket
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path

from tests.faults import client, hostile_bodies, hostile_images, hostile_parquet, hostile_zips
from tests.faults.canary import Canary
from tests.faults.checker import LEFT, LOST, Finding
from tests.faults.hostile_bodies import upload
from tests.faults.result import Fault, Result

REFUSED_SECONDS = 2.0
BUSY = 5
"""Factor by which a busy machine may be slower."""
MEMORY_BYTES = 200 << 20
"""Allowed growth of the memory of the API."""
OWN_FILES = ("embedreel.db", "broker.db", "api.log", "worker.log")
VARIABLES = {"EMBEDREEL_MAX_DATASETS": "0", "EMBEDREEL_RATE_LIMIT": "0"}


def send(lab, count):
    reports = lab.new_folder("watched") / "reports.jsonl"
    with (
        Canary(lab.new_folder("canary")) as canary,
        lab.world(
            workers=0, main=("-m", "tests.faults.watched", "api"), FAULTS_WATCHED=str(reports), **VARIABLES
        ) as world,
    ):
        trial = _Trial(world, canary)
        trial.send(
            upload("a good file", hostile_parquet.good(), harmless=True)
        )  # libraries that are loaded once are loaded now
        assert not trial.result.findings, trial.result.findings
        before, memory = _paths(world.home), _resident(world.service.api.pid)
        trial.seconds.clear()
        trial.statuses.clear()
        for body in islice(_all(canary, lab.rng), count):
            trial.send(body)
        result = trial.result
        result.findings += _changed(before, _paths(world.home))
        result.findings += _grown(memory, _resident(world.service.api.pid))
        result.findings += _still_answers(world)
        result.findings += [Finding(LEFT, what) for what in canary.touched()]
        peak = _watched(reports, result)
    result.recovery = trial.seconds
    result.injected = sum(trial.statuses.values())
    late = sum(seconds > REFUSED_SECONDS for seconds in trial.seconds)
    statuses = ", ".join(f"{status}: {times:,}" for status, times in sorted(trial.statuses.items(), key=str))
    result.note = (
        f"answers by status: {statuses}; the slowest took {max(trial.seconds):.1f} s, {late} over "
        f"{REFUSED_SECONDS:.0f} s; the intake's memory was {peak:.0f} MiB at most"
    )
    return result


def _all(canary, rng):
    """Return all bodies, the hand-written ones first."""
    for name, content in hostile_parquet.hostile(canary):
        yield upload(name, content)
    yield from hostile_bodies.hostile()
    for name, content in hostile_zips.hostile():
        yield upload(name, content, filename="a.zip")
    for name, image in hostile_images.hostile():
        yield upload(name, _with_image(image))
        yield upload(f"{name} in a ZIP", hostile_zips.good({"cat/x.png": image}), filename="a.zip")
    yield from hostile_bodies.harmless()
    for name, content in hostile_parquet.harmless():
        yield upload(name, content, harmless=True)
    for name, content in hostile_zips.harmless():
        yield upload(name, content, harmless=True, filename="a.zip")
    for name, image in hostile_images.harmless():
        yield upload(name, _with_image(image), harmless=True)
    number = 0
    while True:
        made_by = (hostile_parquet, hostile_zips)[number % 2]
        yield upload(f"mutation {number}", made_by.mutated(rng), harmless=True)
        number += 1


def _with_image(image):
    """Return a file with this image; its other images are valid."""
    return hostile_parquet.good([image, *(hostile_parquet.picture(index) for index in range(19))])


class _Trial:
    """Sends bodies and checks the answers."""

    def __init__(self, world, canary):
        self.result = Result(bound_seconds=REFUSED_SECONDS * BUSY)
        self.statuses = Counter()
        self.seconds = []
        self._world, self._canary = world, canary

    def send(self, body):
        """Send an upload. An accepted dataset is deleted."""
        began = time.monotonic()
        status, kind, content = _post(self._world.port, body)
        took = time.monotonic() - began
        self.statuses["hung up" if body.hangs_up and status is None else status] += 1
        self.seconds.append(took)
        if took > REFUSED_SECONDS * BUSY:
            self._find(body, f"took {took:.1f} s")
        if status == 201:
            self._remove(body, content)
        elif status is None and not body.hangs_up:
            self._find(body, "was not answered")
        elif status is not None:
            self._judge(body, status, kind, content)
        for what in self._canary.touched():
            self._find(body, what)

    def _judge(self, body, status, kind, content):
        if not 400 <= status < 500:
            self._find(body, f"was answered {status}: {content[:500]!r}")
        elif kind != "application/problem+json" and not content.startswith(b"Invalid HTTP request"):
            self._find(
                body, f"was answered {status} with {kind}: {content[:200]!r}"
            )  # the second is the answer of the HTTP parser

    def _remove(self, body, content):
        if not body.harmless:
            self._find(body, "was accepted")
        answer = client.ask(self._world.port, "DELETE", f"/v1/datasets/{json.loads(content)['id']}")
        if answer.status != 204:
            self._find(body, f"could not be deleted: {answer.status} {answer.body}")

    def _find(self, body, what):
        self.result.findings.append(Finding(LEFT, f"{body.name}: {what}"))


def _post(port, body):
    """Return status, content type and body of the answer, or None if there is no answer."""
    headers = {"Host": f"127.0.0.1:{port}", "Connection": "close", **body.headers}
    if not {"Content-Length", "Transfer-Encoding"} & set(headers):
        headers["Content-Length"] = str(len(body.content))
    head = "POST /v1/datasets HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(OSError):  # the service may answer early and not read the rest
            connection.sendall(head.encode("latin-1") + b"\r\n" + body.content)
        if body.hangs_up:
            connection.shutdown(socket.SHUT_WR)
        return _read(connection)


def _read(connection):
    received = b""
    with suppress(OSError):
        while piece := connection.recv(1 << 16):
            received += piece
    head, _, content = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return None, None, b""
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    return int(head.split()[1]), fields.get(b"content-type", b"").decode(), content


def _paths(home):
    """Return the paths in the data folder, without the files that the service may write at any time."""
    return {path.relative_to(home) for path in home.rglob("*") if not path.name.startswith(OWN_FILES)}


def _changed(before, after):
    for path in before ^ after:
        yield Finding(LEFT, f"{path} is in the data folder only {'before' if path in before else 'after'}")


def _resident(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _grown(before, after):
    if after - before > MEMORY_BYTES:
        yield Finding(LEFT, f"the API's memory grew from {before >> 20} to {after >> 20} MiB")


def _still_answers(world):
    """Check that the service is ready, accepts a valid file, and has logged no failure."""
    if client.ask(world.port, "GET", "/readyz").status != 200:
        yield Finding(LOST, "the service is not ready any more")
    status, _, content = _post(world.port, upload("a good file", hostile_parquet.good()))
    if status != 201:
        yield Finding(LOST, f"a good file was answered {status}: {content[:300]!r}")
    else:
        client.ask(world.port, "DELETE", f"/v1/datasets/{json.loads(content)['id']}")
    log = world.service.log("api")
    if (at := log.find("Traceback")) >= 0:
        yield Finding(LEFT, f"the API's log: {log[max(0, at - 300) :][:3000]}")


def _watched(reports, result):
    """Read the reports of the watched processes. Returns the maximum memory of an intake process in MiB."""
    lines = [json.loads(line) for line in reports.read_text().splitlines()]
    begun = Counter(line["role"] for line in lines if line["what"] == "begin")
    assert begun["api"] == 1, begun
    assert begun["intake"] >= 2, begun
    for line in lines:
        if line["what"] not in {"begin", "end"}:
            result.findings.append(Finding(LEFT, f"beyond the data folder: {line}"))
    return max(line["kilobytes"] for line in lines if line["what"] == "end" and line["role"] == "intake") / 1024


FAULTS = (
    Fault(
        name="hostile-files",
        title="hostile uploads, mutated ones too",
        promise="refused within 2 s, nothing read or written outside",
        in_ci=60,
        in_full=5300,
        run=send,
    ),
)
