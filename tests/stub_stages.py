"""Stages without computation, for tests of the engine: small files whose hash depends only on the inputs.

An artifact has two files. `result.txt` is the SHA-256 of its key, so that a test can compute the expected content.
`maker.txt` identifies the attempt, so that two attempts never write equal artifacts and a second publication is
detected. A stage whose input has unexpected content fails its run.

EMBEDREEL_STUB_SECONDS is the duration of each step. EMBEDREEL_STUB_AUDIT is a file that receives a line of JSON when a
task begins and when it ends. The first word of the name of the run, up to a hyphen, selects a failure.
"""

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import time

from core.domain.families import require_family
from core.domain.stages import EMBED, FINE_TUNE, MEASURE, PROJECT, RENDER, SCORE
from core.errors import TrainingDivergedError
from worker.context import StoppedError

STEP_SECONDS = float(os.environ.get("EMBEDREEL_STUB_SECONDS", "0.01"))


def _begin(ctx):
    """Write a line to the audit file. Returns the identification of this attempt."""
    maker = f"{os.getpid()}-{time.monotonic_ns()}"
    _audit(ctx, "begin", maker)
    return maker


def _audit(ctx, what, maker):
    path = os.environ.get("EMBEDREEL_STUB_AUDIT")
    if not path:
        return
    line = {"what": what, "run": ctx.spec.name, "stage": ctx.task.id, "maker": maker, "at": time.monotonic()}
    line |= {"pid": os.getpid(), "supervisor": multiprocessing.parent_process().pid}
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(
            descriptor, json.dumps(line).encode() + b"\n"
        )  # one write, so that lines of several processes do not mix
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _hash(key):
    return hashlib.sha256(key.encode()).hexdigest()


def _write(folder, key, maker):
    (folder / "result.txt").write_text(_hash(key))
    (folder / "maker.txt").write_text(maker)


def _read(folder, key):
    found = (folder / "result.txt").read_text()
    assert found == _hash(key), f"{folder} holds {found}, not what {key} makes"


def _misbehave(name):
    match name.split("-")[0]:
        case "diverge":
            raise TrainingDivergedError("The loss became NaN at step 3. Lower train.learning_rate.")
        case "crash":
            raise ZeroDivisionError("nobody foresaw this")
        case "beit":
            require_family(name)
        case "hang":
            time.sleep(60)
        case "busy":
            _work(seconds=3)
        case "circle":
            _work(seconds=60)
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(60)
        case "EIO" | "ENOSPC" as name:
            raise OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
        case "exit":
            os._exit(7)


def _work(*, seconds):
    """Use the CPU without a report, like a download or one slow frame."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        hashlib.sha256(b"work" * 10_000).digest()


def _wait_once(ctx):
    """The first training of a service waits here until it is ended."""
    waited = ctx.settings.root / "waited"
    if ctx.spec.name.split("-")[0] == "wait" and not waited.exists():
        waited.touch()
        while not ctx.stop_requested:
            time.sleep(0.02)


def _keep_state(ctx, index):
    if ctx.stop_requested or ctx.settings.state_seconds == 0:
        folder = ctx.beside(f"state-{index}")
        (folder / "next.txt").write_text(str(index + 1))
        ctx.keep_state(folder, step=ctx.plan.steps[index])
    if ctx.stop_requested:
        raise StoppedError


def fine_tune(ctx):
    maker = _begin(ctx)
    _misbehave(ctx.spec.name)
    frames = ctx.plan.tasks_of(EMBED)
    begin = int((ctx.store.folder(ctx.state) / "next.txt").read_text()) if ctx.state else 0
    with ctx.stoppable():
        for index in range(begin, len(frames)):
            time.sleep(STEP_SECONDS)
            part = ctx.frame_part(index)
            folder = ctx.beside(part.id)
            _write(folder, part.key, maker)
            ctx.publish(part, folder, {"frame": index, "step": ctx.plan.steps[index]})
            ctx.progress(index + 1, len(frames))
            if index == len(frames) // 2:
                _wait_once(ctx)
            _keep_state(ctx, index)
    _write(ctx.output, ctx.task.key, maker)
    _audit(ctx, "end", maker)
    return {}


def embed(ctx):
    maker = _begin(ctx)
    time.sleep(STEP_SECONDS)
    (checkpoint,) = ctx.plan.released_to(ctx.task.id)
    _read(ctx.checkpoint(), checkpoint)
    _write(ctx.output, ctx.task.key, maker)
    _audit(ctx, "end", maker)
    return {"frame": ctx.task.index, "step": ctx.plan.steps[ctx.task.index]}


def _gather(ctx):
    maker = _begin(ctx)
    embeds = ctx.plan.tasks_of(EMBED)
    for index, (stage, folder) in enumerate(zip(embeds, ctx.frames(), strict=True)):
        _read(folder, stage.key)
        time.sleep(STEP_SECONDS / 4)
        ctx.progress(index + 1, len(embeds))
    if ctx.task.name == RENDER.name and ctx.spec.name == "redraw":
        ctx.emit("stage.redrawn", reason="it was too large", width=408)
    _write(ctx.output, ctx.task.key, maker)
    _audit(ctx, "end", maker)
    return {}


STAGES = {
    FINE_TUNE.name: fine_tune,
    EMBED.name: embed,
    SCORE.name: _gather,
    PROJECT.name: _gather,
    MEASURE.name: _gather,
    RENDER.name: _gather,
}
