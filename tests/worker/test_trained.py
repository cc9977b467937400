"""A run that begins with the weights of another run, by a supervisor and its child."""

import numpy as np
import pytest

from core.domain.arrays import Embedded
from core.domain.plan import build
from core.domain.spec import CaptureSpec, LoraSpec, PinnedSources, RunSpec, TrainSpec
from core.domain.stages import EMBED
from core.domain.trained import CONFIG, PREPROCESSOR, WEIGHTS
from core.store.engine import artifact_references
from core.store.objects import codecs


def spec(*, model="vit-tiny", revision=None, mode="inline", lora=None):
    return RunSpec(
        name="trained",
        dataset="digits",
        model=model,
        train=TrainSpec(steps=4, batch_size=16, train_size=64, keep_weights="last", lora=lora),
        capture=CaptureSpec(frames=3, probe_size=40, mode=mode),
        pinned=PinnedSources(dataset_digest="digits-v1", model_revision=revision),
    )


def film(works, spec):
    """Run all tasks. Returns the run and the artifact of its weights."""
    run_id = works.work_off(spec)
    with works.database.reading() as session:
        return works.run(run_id), artifact_references.last_weights(session, run_id)


def frame(works, spec, index):
    _, folder = works.artifact(build(spec).tasks_of(EMBED)[index].key)
    return codecs.load(folder / "frame", Embedded)


@pytest.fixture(scope="module")
def source(works):
    """Return a run that has stored its last weights, and the artifact of these weights."""
    run, kept = film(works, spec())
    assert run.status == "succeeded", run.error
    return run, kept


def test_the_weights_are_a_whole_model(source):
    _run, kept = source
    assert sorted(kept.files) == [CONFIG, WEIGHTS, PREPROCESSOR]
    assert (kept.facts["step"], kept.facts["images"], kept.facts["image_size"]) == (4, 64, 8)
    assert kept.facts["classes"] == [str(digit) for digit in range(10)]
    assert kept.facts["learning"] == kept.facts["parameters"]


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_run__begins_with_the_weights_of_another(works, source, mode):
    run, kept = source
    later, kept_later = film(works, second := spec(model=f"run:{run.id}", revision=kept.key, mode=mode))
    assert later.status == "succeeded", later.error
    assert kept_later.key != kept.key
    ended, began = frame(works, spec(), -1), frame(works, second, 0)
    np.testing.assert_array_equal(began.embeddings, ended.embeddings)
    assert (began.loss, began.accuracy) == (ended.loss, ended.accuracy)
    assert not np.array_equal(frame(works, second, -1).embeddings, ended.embeddings)


def test_run__missing_weights_have_a_clear_error(works):
    run, _ = film(works, spec(model="run:run_gone", revision="0" * 64))
    assert run.status == "failed"
    assert (run.error["type"], run.error["field"]) == ("source-unavailable", "model")
    assert "Retry that run" in run.error["detail"]


def test_adapters__are_merged_into_the_filmed_and_stored_weights(works, source):
    """The stored weights are those of the last embedding, and another run begins with exactly these weights."""
    lora = LoraSpec(rank=4, dropout=0.1)
    run, kept = film(works, spec(lora=lora))
    assert run.status == "succeeded", run.error
    assert sorted(kept.files) == [CONFIG, WEIGHTS, PREPROCESSOR]
    assert kept.facts["parameters"] == source[1].facts["parameters"]
    assert kept.facts["learning"] < kept.facts["parameters"] / 3
    later, _ = film(works, second := spec(model=f"run:{run.id}", revision=kept.key))
    assert later.status == "succeeded", later.error
    ended, began = frame(works, spec(lora=lora), -1), frame(works, second, 0)
    np.testing.assert_array_equal(began.embeddings, ended.embeddings)
    assert (began.loss, began.accuracy) == (ended.loss, ended.accuracy)
    assert not np.array_equal(frame(works, spec(lora=lora), 0).embeddings, ended.embeddings)
