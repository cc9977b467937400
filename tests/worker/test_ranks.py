"""One training on two processes, run by a supervisor and its child."""

import os
import socket
from dataclasses import dataclass

import numpy as np
import pytest

from core.domain.arrays import Embedded
from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, EarlyStopping, PinnedSources, RunSpec, TrainSpec
from core.domain.stages import EMBED
from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.engine import artifact_rows
from core.store.objects import codecs
from core.store.objects.artifacts import open_store
from core.store.queries import artifacts, runs
from worker import ranks
from worker.supervisor import Supervisor

SPEC = RunSpec(
    name="two",
    dataset="digits",
    train=TrainSpec(steps=4, batch_size=16, train_size=64),
    capture=CaptureSpec(frames=3, probe_size=40),
    pinned=PinnedSources(dataset_digest="digits-v1"),
)
KEYS = [stage.key for stage in build(SPEC).tasks_of(EMBED)]


def film(home, spec, *, processes):
    settings = Settings(home=home, training_processes=processes)
    store, database = open_store(settings.artifacts, home=home), Database(settings.database)
    migrate.upgrade(database)
    store.prepare()
    with database.writing() as session:
        run, _ = runs.accept(session, new_id("run"), spec, build(spec))
    Supervisor(settings, database, store, "w1", list).wake()
    with database.reading() as session:
        run = runs.get(session, run.id)
        artifacts = {key: store.folder(stored) for key, stored in artifact_rows.recorded(session, KEYS).items()}
    database.close()
    return run, artifacts


def embeddings(home, *, processes):
    run, artifacts = film(home, SPEC, processes=processes)
    assert run.status == "succeeded", run.error
    frames = [codecs.load(artifacts[key] / "frame", Embedded) for key in KEYS]
    return np.stack([frame.embeddings for frame in frames])


def test_two_processes__film_equals_that_of_one_process(tmp_path):
    exclusive = embeddings(tmp_path / "one", processes=1)
    together = embeddings(tmp_path / "two", processes=2)
    np.testing.assert_allclose(together, exclusive, atol=2e-3)
    assert np.abs(exclusive[-1] - exclusive[0]).max() > 0.05


@dataclass(frozen=True)
class Part:
    """The part of a stage context that `together` uses."""

    settings: Settings

    def without_report(self):
        return self


def nothing(_ctx):
    """The part of a process that has nothing to do."""


MEETING = ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_USE_AGENT_STORE", "TORCHELASTIC_RESTART_COUNT")
PLACE = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "ACCELERATE_USE_CPU")


def test_two_processes__their_port_is_bound_before_they_connect(monkeypatch):
    for name in (*MEETING, *PLACE):
        monkeypatch.setenv(name, "")  # so that its value is restored after the test
    exclusive = ranks.together(Part(Settings(training_processes=2)), nothing)
    with exclusive, socket.socket() as thief, pytest.raises(OSError, match="in use"):
        thief.bind((os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])))


def test_two_processes__a_diverged_training_has_a_clear_error(tmp_path):
    doomed = TrainSpec(
        steps=60, batch_size=16, train_size=64, learning_rate=10, weight_decay=1, warmup=0, clip_norm=1e30
    )
    run, _ = film(tmp_path, SPEC.model_copy(update={"train": doomed}), processes=2)
    assert (run.status, run.error["type"]) == ("failed", "training-diverged")


def test_two_processes__end_early_at_the_same_step(tmp_path):
    train = SPEC.train.model_copy(update={"steps": 6, "early_stopping": EarlyStopping(patience=1, min_delta=100)})
    spec = SPEC.model_copy(update={"train": train, "capture": SPEC.capture.model_copy(update={"frames": 4})})
    run, _ = film(tmp_path, spec, processes=2)
    assert run.status == "succeeded", run.error
    database = Database(Settings(home=tmp_path).database)
    with database.reading() as session:
        assert [frame.facts["step"] for frame in artifacts.frames(session, run)] == [0, 2, 4]
    database.close()
