"""Comparisons of real trainings, drawn by the child of a supervisor."""

import numpy as np
import pytest
from PIL import Image

from core.domain.comparison import SIMILARITY_FILE, RepresentationSimilarity, compare
from core.domain.figures import DRAWN_FILE, DrawnFigures, declared
from core.domain.plan import build
from core.domain.spec import CaptureSpec, ComparedRun, PinnedSources, RenderSpec, RunSpec, TrainSpec


def spec(model="vit-tiny", *, frames=3, **train):
    return RunSpec(
        name=f"digits, {model}",
        dataset="digits",
        model=model,
        train=TrainSpec(**({"steps": 4, "batch_size": 16, "train_size": 64} | train)),
        capture=CaptureSpec(frames=frames, probe_size=40),
        pinned=PinnedSources(dataset_digest="digits-v1"),
    )


@pytest.fixture(scope="module")
def pair(works):
    """Two trainings of different length."""
    specs = [spec(), spec("vit-small", steps=6, frames=5)]
    return [ComparedRun(run=works.work_off(one), spec=one) for one in specs]


def comparison(runs, **render):
    return compare(runs, name="two models", render=RenderSpec(**({"width": 640, "height": 400} | render)))


def test_compare__the_film_is_as_long_as_the_longest_and_similarity_is_measured(works, pair):
    asked = comparison(pair, formats=("gif", "webp"))
    run = works.run(works.work_off(asked))
    assert run.status == "succeeded", run.error
    row, folder = works.artifact(build(asked).tasks[0].key)
    assert row.facts == {"width": 640, "height": 400, "tween": 0}
    with Image.open(folder / "film.gif") as film:
        assert (film.size, film.n_frames) == ((640, 400), 5)
        first = np.asarray(film.convert("RGB"))
        film.seek(4)
        assert (first != np.asarray(film.convert("RGB"))).any()
    assert {path.name for path in (folder / "frames").iterdir()} == {f"{index:05d}.png" for index in range(5)}
    assert (folder / "film.webp").exists()
    figures = DrawnFigures.model_validate_json((folder / DRAWN_FILE).read_text())
    assert figures.drawn == ("contact-sheet",)
    assert figures.why_missing("curves") == "The run has no log and no checkpoints."
    with Image.open(folder / "contact_sheet.png") as sheet:
        assert sheet.size == (1280, 800)
    ((own, other), (back, _)) = RepresentationSimilarity.model_validate_json((folder / SIMILARITY_FILE).read_text()).cka
    assert own == pytest.approx(1)
    assert other == pytest.approx(back)
    assert -0.2 < other < 0.999


def test_compare__runs_of_different_images_fail_with_a_clear_error(works, pair):
    _, other = pair
    elsewhere = spec(seed=1)
    made = works.work_off(elsewhere)
    lying = ComparedRun(run=made, spec=elsewhere)
    asked = comparison(pair).model_copy(update={"compared": (other, lying)})
    run = works.run(works.work_off(asked))
    assert (run.status, run.error["field"]) == ("failed", "runs")
    assert f"{made} and {other.run} do not show the same images" in run.error["detail"]


def test_compare__missing_artifacts_of_a_run(works, pair):
    lost = spec(learning_rate=0.002)
    run_id = works.work_off(lost)
    row, _ = works.artifact(build(lost).task("project").key)
    works.store.delete([row.location])
    run = works.run(works.work_off(comparison([*pair, ComparedRun(run=run_id, spec=lost)])))
    assert run.status == "failed"
    assert run.error["type"] == "not-ready"


def test_render__draws_every_figure(works, pair):
    for one in pair:
        row, folder = works.artifact(build(one.spec).task("render").key)
        figures = DrawnFigures.model_validate_json((folder / DRAWN_FILE).read_text())
        assert (figures.drawn, figures.missing) == (tuple(declared()), ())
        formats = one.spec.render.formats
        files = {spec.file(suffix) for spec in declared().values() for suffix in spec.formats_for(formats)}
        assert files <= set(row.files)


def test_fine_tune__reports_its_speed(works, pair):
    for one in pair:
        row, _ = works.artifact(build(one.spec).task("fine_tune").key)
        images = one.spec.train.steps * one.spec.train.batch_size
        assert row.facts["seconds"] * row.facts["images_per_second"] == pytest.approx(images, rel=0.01)
        assert row.facts["parameters"] > 100_000
