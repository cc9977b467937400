"""A training that ends before its last step, run by a supervisor and its child. The film ends at the same step."""

import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.domain.arrays import Embedded, OutlierScores, Projection, TrainingLog
from core.domain.comparison import compare
from core.domain.evaluation import Evaluation
from core.domain.phases import Phase
from core.domain.plan import SKIPPED, build
from core.domain.spec import CaptureSpec, ComparedRun, EarlyStopping, PinnedSources, RenderSpec, RunSpec, TrainSpec
from core.domain.stages import EMBED
from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.engine import artifact_references, lifecycle, publishing
from core.store.objects import codecs
from core.store.objects.artifacts import open_store
from core.store.queries import artifacts, progress, runs
from testing.claims import claim_of
from tests.worker.conftest import Works
from worker.context import StageContext, StoppedError
from worker.job import Job
from worker.stages import STAGES

PHASES = (Phase(name="head", trainable="head", steps=4), Phase(name="all", steps=8))
AT_ONCE = EarlyStopping(patience=1, min_delta=100)
"""No loss falls by so much: the second checkpoint of the last phase is its last."""
LAST = 8


def spec(*, rule=AT_ONCE, fps=12):
    """Return a spec with a checkpoint at every second step of 12."""
    return RunSpec(
        name="digits",
        dataset="digits",
        train=TrainSpec(
            phases=PHASES, steps=12, batch_size=16, train_size=64, keep_weights="last", early_stopping=rule
        ),
        capture=CaptureSpec(frames=7, probe_size=40),
        render=RenderSpec(width=320, height=320, fps=fps),
        pinned=PinnedSources(dataset_digest="digits-v1"),
    )


def made(works, spec, name):
    """Return the row and the folder of the artifact of a task."""
    return works.artifact(build(spec).task(name).key)


def frames(works, spec):
    """Return the existing frames."""
    folders = [works.artifact(stage.key)[1] for stage in build(spec).tasks_of(EMBED)]
    return [codecs.load(folder / "frame", Embedded) for folder in folders if not (folder / SKIPPED).exists()]


def told(works, run_id, kind):
    with works.database.reading() as session:
        return [event.data for event in runs.events(session, run_id, after=0, limit=1000) if event.type == kind]


def n_frames(folder):
    with Image.open(folder / "film.gif") as film:
        return film.n_frames


@pytest.fixture(scope="module")
def ended(works):
    """Return the id of a run whose training has ended early."""
    run_id = works.work_off(spec())
    assert works.run(run_id).status == "succeeded", works.run(run_id).error
    return run_id


def test_film__ends_at_the_last_step_of_the_training(works, ended):
    assert [frame.step for frame in frames(works, spec())] == [0, 2, 4, 6, LAST]
    _, folder = made(works, spec(), "project")
    assert codecs.load(folder / "projection", Projection).points.shape == (5, 40, 2)
    _, folder = made(works, spec(), "score")
    assert codecs.load(folder / "scores", OutlierScores).distance.shape == (5, 40)
    _, folder = made(works, spec(), "fine_tune")
    np.testing.assert_array_equal(codecs.load(folder / "log", TrainingLog).step, range(LAST + 1))
    _, folder = made(works, spec(), "render")
    assert n_frames(folder) == len(list((folder / "frames").iterdir())) == 5


def test_run__reports_the_early_end(works, ended):
    _, folder = made(works, spec(), "measure")
    phases = Evaluation.model_validate_json((folder / "evaluation.json").read_text()).phases
    assert [(phase.phase, phase.step) for phase in phases] == [("head", 4), ("all", LAST)]
    assert [frame.probabilities is not None for frame in frames(works, spec())] == [False] * 4 + [True]
    assert made(works, spec(), "fine_tune")[0].facts["step"] == LAST
    assert [event["step"] for event in told(works, ended, "checkpoint")] == [0, 2, 4, 6, LAST]
    with works.database.reading() as session:
        assert [frame.facts["step"] for frame in artifacts.frames(session, works.run(ended))] == [0, 2, 4, 6, LAST]
        assert progress.skipped_frames(session, [ended]) == {ended: 2}
        assert artifact_references.last_weights(session, ended).facts["step"] == LAST
        training = lifecycle.tasks_of(session, ended)["fine_tune"]
    assert (training.done, training.total) == (LAST, LAST)


def test_a_skipped_frame_is_an_empty_artifact(works, ended):
    for index in (5, 6):
        row, folder = made(works, spec(), f"embed/{index:05d}")
        assert row.facts == {"frame": index, SKIPPED: True}
        assert [path.name for path in folder.iterdir()] == [SKIPPED]


def test_run__can_be_rendered_again_and_compared(works, ended):
    again = works.run(works.work_off(spec(fps=20)))
    assert again.status == "succeeded", again.error
    assert n_frames(made(works, spec(fps=20), "render")[1]) == 5
    pair = [ComparedRun(run=ended, spec=spec()), ComparedRun(run=again.id, spec=spec(fps=20))]
    asked = compare(pair, name="twice", render=RenderSpec(width=640, height=400))
    compared = works.run(works.work_off(asked))
    assert compared.status == "succeeded", compared.error
    assert n_frames(works.artifact(build(asked).tasks[0].key)[1]) == 5


def test_early_stopping__a_rule_that_never_applies_changes_nothing(works, ended):
    plain, patient = spec(rule=None), spec(rule=EarlyStopping(patience=99))
    for one in (plain, patient):
        run = works.run(works.work_off(one))
        assert run.status == "succeeded", run.error
    first, second = (made(works, one, "fine_tune")[0].facts["weights_sha256"] for one in (plain, patient))
    assert first == second != made(works, spec(), "fine_tune")[0].facts["weights_sha256"]
    for one, other in zip(frames(works, plain), frames(works, patient), strict=True):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)
        assert (one.step, one.loss) == (other.step, other.loss)
        assert (one.probabilities is None) == (other.probabilities is None)
    for one, other in zip(frames(works, plain), frames(works, spec()), strict=False):
        np.testing.assert_array_equal(one.embeddings, other.embeddings)


@pytest.fixture
def elsewhere(tmp_path):
    """A worker with another store, which stores the state of a training as often as possible."""
    settings = Settings(home=tmp_path, state_seconds=0.0)
    store, database = open_store(settings.artifacts, home=settings.root), Database(settings.database)
    migrate.upgrade(database)
    store.prepare()
    yield Works(settings, database, store)
    database.close()


def test_early_stopping__a_training_lost_while_it_skips_frames_ends_at_the_same_step(
    works, ended, elsewhere, monkeypatch
):
    publish, lost = publishing.publish_part, []

    def lose_once(session, held, part, *rest):
        if part.id == "embed/00005" and not lost:  # the weights and the last frame are published
            lost.append(part)
            raise OSError("lost")
        return publish(session, held, part, *rest)

    monkeypatch.setattr(publishing, "publish_part", lose_once)
    run_id = elsewhere.work_off(spec())
    assert elsewhere.run(run_id).status == "succeeded", elsewhere.run(run_id).error
    first, second = (event.get("resumed_step") for event in told(elsewhere, run_id, "stage.started")[:2])
    assert (first, second is not None) == (None, True)
    mine, other = (made(one, spec(), "fine_tune")[0].facts for one in (elsewhere, works))
    assert (mine["weights_sha256"], mine["step"]) == (other["weights_sha256"], LAST)
    for one, same in zip(frames(elsewhere, spec()), frames(works, spec()), strict=True):
        np.testing.assert_array_equal(one.embeddings, same.embeddings)
        assert (one.probabilities is None) == (same.probabilities is None)
    with elsewhere.database.reading() as session:
        assert artifact_references.last_weights(session, run_id).facts["step"] == LAST


def train(works, folder, *, stop_at=None, state=None):
    """Train in this process and return what the training reports: its parts, states and facts. The facts are None if it
    was stopped.

    Args:
        stop_at: the part after which the training is asked to stop.
        state: the state that the training resumes from.
    """
    (folder / "output").mkdir(parents=True)
    parts, states, facts = [], [], {}

    def report(kind, **message):
        if kind == "part":
            parts.append((message["part_id"], message["facts"]))
        if kind == "state":
            states.append(Path(message["folder"]))
        if stop_at and message.get("part_id") == stop_at:
            ctx.stop_requests.append(time.monotonic())

    job = Job(
        claim=claim_of(spec(), "fine_tune", state=state),
        output=folder / "output",
        settings=works.settings.model_copy(update={"state_seconds": 3600.0}),
    )
    ctx = StageContext(job, works.store, report)
    with suppress(StoppedError):
        facts = STAGES["fine_tune"](ctx)
    return parts, states, {name: facts.get(name) for name in ("weights_sha256", "step")}


@pytest.fixture(scope="module")
def undisturbed(works, tmp_path_factory):
    return train(works, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("at", [1, 3, 4], ids=["in the first phase", "in the last phase", "where it ends"])
def test_early_stopping__a_stopped_training_ends_at_the_same_step(works, undisturbed, tmp_path, at):
    whole, no_states, facts = undisturbed
    assert [part for part, _ in whole] == [
        *(f"embed/{index:05d}" for index in range(5)),
        "weights/0000012",
        "embed/00006",
        "embed/00005",
    ]
    assert (no_states, facts["step"]) == ([], LAST)
    begun, [state], unfinished = train(works, tmp_path / "first", stop_at=f"embed/{at:05d}")
    assert unfinished == {"weights_sha256": None, "step": None}
    stored = works.store.put(state, "0" * 64, run_id="run_stopped", token=at)
    rest, _, again = train(works, tmp_path / "second", state=stored)
    assert [*begun, *rest] == whole
    assert again == facts
