"""Submit runs to a supervisor and read their results."""

import os
import time

from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.store.queries import runs


def submit(database, *, name="run", mode="inline", frames=3):
    spec = RunSpec(
        name=name,
        dataset="digits",
        train=TrainSpec(steps=600),
        capture=CaptureSpec(frames=frames, mode=mode),
        pinned=PinnedSources(dataset_digest="d"),
    )
    with database.writing() as session:
        run, _ = runs.accept(session, new_id("run"), spec, build(spec))
    return run.id


def status(database, run_id):
    with database.reading() as session:
        return runs.get(session, run_id).status


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
