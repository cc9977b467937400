import pytest

from core.domain.comparison import compare
from core.domain.plan import build
from core.domain.spec import CaptureSpec, ComparedRun, PinnedSources, RenderSpec, RunSpec, TrainSpec
from core.domain.stages import RENDER, SCORE
from core.errors import InvalidSpecError


def compared(run, **fields):
    plain = {"name": run, "dataset": "digits", "pinned": PinnedSources(dataset_digest="d")}
    return ComparedRun(run=run, spec=RunSpec(**(plain | fields)))


def comparison(*runs, **render):
    return compare(runs, name="two", render=RenderSpec(**render))


def test_compare__the_spec_shows_all_and_has_the_sections_of_the_first():
    one = compared("one", capture=CaptureSpec(frames=5))
    other = compared("other", model="vit-small", train=TrainSpec(steps=100), capture=CaptureSpec(frames=9))
    spec = comparison(one, other, width=640)
    assert spec.compared == (one, other)
    assert (spec.name, spec.render.width, spec.train, spec.capture.frames) == ("two", 640, one.spec.train, 9)
    assert RunSpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"dataset": "ds_1"}, "dataset is 'ds_1' and 'digits'"),
        ({"pinned": PinnedSources(dataset_digest="e")}, "digest"),
        ({"capture": CaptureSpec(probe_size=10)}, "capture.probe_size is 10 and 1000"),
        ({"train": TrainSpec(seed=1)}, "train.seed is 1 and 0"),
    ],
)
def test_compare__runs_of_other_images(other, said):
    with pytest.raises(InvalidSpecError, match=said) as caught:
        comparison(compared("one"), compared("two"), compared("three", **other))
    assert caught.value.field == "runs.2"


def test_compare__a_hub_dataset_before_and_after_its_first_download():
    unknown, loaded, other = (
        compared(name, dataset="hub:a/b", pinned=PinnedSources(dataset_digest=digest))
        for name, digest in (("one", "hub:a/b@unresolved"), ("two", "hub:a/b@c0ffee"), ("three", "hub:a/b@decade"))
    )
    assert comparison(unknown, loaded).compared == (unknown, loaded)
    assert comparison(loaded, unknown).compared == (loaded, unknown)
    with pytest.raises(InvalidSpecError, match="digest is 'hub:a/b@decade'"):
        comparison(loaded, other)


def test_compare__a_run_twice():
    with pytest.raises(InvalidSpecError, match="twice") as caught:
        comparison(compared("one"), compared("one"))
    assert caught.value.field == "runs.1"


def test_compare__a_comparison():
    spec = comparison(compared("one"), compared("other"))
    with pytest.raises(InvalidSpecError, match="is a comparison"):
        comparison(compared("one"), ComparedRun(run="both", spec=spec))


def test_compare__the_way_of_an_image_that_is_not_shown():
    small = CaptureSpec(probe_size=10)
    with pytest.raises(InvalidSpecError) as caught:
        comparison(compared("one", capture=small), compared("other", capture=small), trails=(10,))
    assert caught.value.field == "render.trails"


def test_build__a_comparison_reads_artifacts_of_its_runs_and_makes_a_film():
    one, other = compared("one", capture=CaptureSpec(frames=3)), compared("other", model="vit-small")
    plan = build(comparison(one, other))
    (stage,) = plan.tasks
    assert stage.name == RENDER.name
    assert (plan.steps, plan.keys) == ((), (stage.key,))
    of_runs = [build(run.spec) for run in (one, other)]
    unread = {SCORE.name, RENDER.name}
    read = [{part.key for part in plan.tasks if part.name not in unread} for plan in of_runs]
    assert [set(shown.keys) for shown in stage.shows] == read
    assert set(plan.inputs(stage)) == read[0] | read[1]


def test_build__the_key_of_a_comparison_depends_on_its_inputs():
    one, other = compared("one"), compared("other", model="vit-small")
    key = build(comparison(one, other)).tasks[0].key
    renamed = compared("other", model="vit-small", name="another name")
    again = compared("a later run of the same", model="vit-small", name="other")
    assert build(comparison(one, again)).tasks[0].key == key
    assert (
        len(
            {
                build(spec).tasks[0].key
                for spec in (
                    comparison(one, other),
                    comparison(other, one),
                    comparison(one, renamed),
                    comparison(one, other, fps=24),
                )
            }
        )
        == 4
    )
