"""From unusual embeddings to the GIF: the film is correct, or a clear error says why there is none.

The stages are called in order, as a worker does, on arrays of a few rows.
"""

from functools import partial

import numpy as np
import pytest
from PIL import Image

from core.domain.arrays import FrameFacts, ProbeSet, TrainingLog
from core.domain.spec import AlignSpec, ProjectSpec, RenderSpec
from core.errors import DegenerateEmbeddingsError, InvalidSpecError
from core.layout.project import project_frames
from core.measure.outliers import score_frames
from core.render.film import render_film
from core.render.run_scene import FrameRenderer, Scene
from core.review.review import ReviewInputs, review

LAYOUTS = [("smooth_pca", "none"), ("global_pca", "none"), ("pca", "rigid"), ("pca", "procrustes")]
SCRIPTS = (
    "手書き数字の五",
    "猫のしゃしん" * 10,
    "قطة صغيرة جداً " * 4,
    "狗" * 60,
    "кошка " * 10,
    "🐱" * 30,
    "a" * 60,
    "ñandú é ",
)


def clouds(n_points, n_frames, n_dims, n_classes):
    """Return classes that separate."""
    rng = np.random.default_rng(0)
    labels = np.arange(n_points) % n_classes
    homes, own = rng.normal(size=(n_classes, n_dims)), rng.normal(size=(n_points, n_dims))
    return [(t * homes[labels] + own).astype(np.float32) for t in range(n_frames)], labels


def make_film(folder, frames, labels, names, *, layout=LAYOUTS[0], k=3):
    """Return the decoded frames of the GIF, the quality card, and the points (T, N, 2)."""
    project, align = ProjectSpec(method=layout[0]), AlignSpec(method=layout[1])
    scores, graph = score_frames(frames, k=k)
    projection = project_frames(frames, project=project, align=align)
    facts = [FrameFacts(10 * t, float(t), 1.0, 0.5, labels) for t in range(len(frames))]
    card, _ = review(
        ReviewInputs(frames, facts, projection, scores, graph, labels, names), project=project, align=align
    )
    step = np.arange(10 * len(frames) - 9)
    unknown = np.full(len(step), np.nan, np.float32)
    log = TrainingLog(step, step / 10, np.exp(-step / 20).astype(np.float32), unknown, unknown)
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 8, 8, 3)).astype(np.uint8)
    scene = Scene("odd", projection, scores, log, ProbeSet(images, labels, np.arange(len(labels)), names), facts)
    folder.mkdir(exist_ok=True)
    render_film(
        folder,
        RenderSpec(width=480, height=400),
        partial(FrameRenderer, scene=scene),
        on_frame=lambda _done, _total: None,
    )
    assert np.isfinite(projection.points).all()
    with Image.open(folder / "film.gif") as film:
        shown = []
        for index in range(film.n_frames):
            film.seek(index)
            shown.append(np.asarray(film.convert("RGB")))
    assert len(shown) == len(frames)
    return shown, card, projection.points


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frames_that_do_not_move(tmp_path, layout):
    frames, labels = clouds(30, 1, 8, 3)
    _, card, points = make_film(tmp_path, frames * 4, labels, ("a", "b", "c"), layout=layout)
    assert card.verdict.startswith("nothing moves")
    assert np.abs(points - points[0]).max() < 1e-4 * np.abs(points).max()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_embeddings_all_equal(tmp_path, layout):
    with pytest.raises(DegenerateEmbeddingsError, match=r"collapsed.*learning_rate"):
        make_film(tmp_path, [np.ones((30, 8), np.float32)] * 3, np.arange(30) % 3, ("a", "b", "c"), layout=layout)


def test_one_frame_of_equal_embeddings_among_others(tmp_path):
    frames, labels = clouds(30, 4, 8, 3)
    make_film(tmp_path, [frames[1], np.ones((30, 8), np.float32), *frames[2:]], labels, ("a", "b", "c"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_features_that_are_no_numbers(tmp_path, layout, value):
    frames, labels = clouds(30, 4, 8, 3)
    frames[2][5, 1] = value
    with pytest.raises(DegenerateEmbeddingsError, match=r"NaN or infinite"):
        make_film(tmp_path, frames, labels, ("a", "b", "c"), layout=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n_points", [2, 3, 4])
def test_a_handful_of_points(tmp_path, n_points, layout):
    frames, labels = clouds(n_points, 4, 8, 2)
    make_film(tmp_path, frames, labels, ("a", "b"), layout=layout, k=1)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_feature(tmp_path, layout):
    frames, labels = clouds(30, 3, 1, 3)
    with pytest.raises(DegenerateEmbeddingsError, match="at least 2 of both"):
        make_film(tmp_path, frames, labels, ("a", "b", "c"), layout=layout)


def test_one_point(tmp_path):
    with pytest.raises(InvalidSpecError, match="has 0 others"):
        make_film(tmp_path, clouds(1, 3, 8, 1)[0], np.zeros(1, np.int64), ("a",), k=1)


@pytest.mark.parametrize(("n_classes", "knn_accuracy"), [(1, 1.0), (200, 0.0)])
def test_one_class_and_two_hundred(tmp_path, n_classes, knn_accuracy):
    frames, labels = clouds(400, 3, 16, n_classes)
    names = tuple(f"class {label}" for label in range(n_classes))
    _, card, _ = make_film(tmp_path, [*frames, 9 * frames[1] + frames[2]], labels, names)
    last = card.frames[-1]
    # With 200 classes, an image has one other image of its class: usually near it, and always in the minority.
    assert last.knn_accuracy == pytest.approx(knn_accuracy, abs=0.02)
    most = 1.0 if n_classes == 1 else 1 / card.k
    assert 0.5 * most < last.neighborhood_hit <= most


def test_names_of_sixty_letters_in_any_script(tmp_path):
    frames, labels = clouds(40, 3, 8, len(SCRIPTS))
    shown, _, _ = make_film(tmp_path / "any", frames, labels, SCRIPTS)
    short, _, _ = make_film(tmp_path / "short", frames, labels, tuple("abcdefgh"))
    assert shown[0].shape == short[0].shape
    assert (shown[0] != short[0]).any()
