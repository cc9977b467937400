"""Stages that cost nothing: small files with a hash that depends on the inputs only. For tests of the engine.

EMBEDREEL_STUB_SECONDS is how long each step takes, EMBEDREEL_STUB_AUDIT a file that gets a line for each start.
"""

import hashlib
import os
import time
from pathlib import Path

from core.domain.plan import StageName
from core.errors import TrainingDivergedError

STEP_SECONDS = float(os.environ.get("EMBEDREEL_STUB_SECONDS", "0.01"))


def _write(folder, *parts):
    (folder / "result.txt").write_text(hashlib.sha256("|".join(parts).encode()).hexdigest())


def _audit(ctx):
    if path := os.environ.get("EMBEDREEL_STUB_AUDIT"):
        with Path(path).open("a") as file:
            file.write(f"{ctx.stage.id} {ctx.spec.name}\n")


def fine_tune(ctx):
    _audit(ctx)
    if ctx.spec.name == "diverge":
        raise TrainingDivergedError("The loss became NaN at step 3. Lower train.learning_rate.")
    if ctx.spec.name == "crash":
        raise ZeroDivisionError("nobody foresaw this")
    if ctx.spec.name == "hang":
        time.sleep(60)
    if ctx.spec.name == "exit":
        os._exit(7)
    frames = ctx.plan.named(StageName.EMBED)
    for index in range(len(frames)):
        time.sleep(STEP_SECONDS)
        part, folder = ctx.part(index)
        _write(folder, part.key)
        ctx.publish(part, folder, {"frame": index, "step": ctx.plan.steps[index]})
        ctx.progress(index + 1, len(frames))
    _write(ctx.output, ctx.stage.key)
    return {}


def embed(ctx):
    _audit(ctx)
    time.sleep(STEP_SECONDS)
    _write(ctx.output, (ctx.checkpoint(ctx.stage.index) / "result.txt").read_text())
    return {"frame": ctx.stage.index, "step": ctx.plan.steps[ctx.stage.index]}


def _gather(ctx):
    _audit(ctx)
    for index, folder in enumerate(ctx.frames()):
        assert (folder / "result.txt").read_text()
        time.sleep(STEP_SECONDS / 4)
        ctx.progress(index + 1, len(ctx.frames()))
    _write(ctx.output, ctx.stage.key)
    return {}


STAGES = {
    StageName.FINE_TUNE: fine_tune,
    StageName.EMBED: embed,
    StageName.SCORE: _gather,
    StageName.PROJECT: _gather,
    StageName.RENDER: _gather,
}
