import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

from core.domain.arrays import Projection
from core.domain.layouts import ALIGNMENTS, LAYOUTS
from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import DegenerateEmbeddingsError
from core.layout import methods
from core.layout.align import align
from core.layout.axes import pca
from core.layout.project import project_frames, projector
from core.measure.neighborhoods import layout_neighbors
from tests.core.layout.methods.test_pca import embeddings_of

pytestmark = pytest.mark.filterwarnings("ignore::Warning:umap", "ignore::Warning:numba", "ignore::Warning:sklearn")
ROOT = Path(__file__).parents[3]
AXES = [name for name, method in LAYOUTS.items() if not method.is_neighbor_based]
SHARED_AXES = [name for name, method in LAYOUTS.items() if method.shared_axes]
every_method = pytest.mark.parametrize("method", LAYOUTS)


def laid_out(frames: list[np.ndarray], method: str, **options: float) -> Projection:
    return project_frames(frames, project=ProjectSpec(method=method, **options), align=AlignSpec(method="none"))


def planted(n_frames: int = 3, n_points: int = 90) -> tuple[list[np.ndarray], np.ndarray]:
    """Return three clusters in 12 dimensions that separate, and the labels of the points."""
    rng = np.random.default_rng(0)
    middles = 8 * np.linalg.qr(rng.normal(size=(12, 3)))[0].T
    labels, cloud = np.arange(n_points) % 3, rng.normal(size=(n_points, 12))
    return [(cloud + share * middles[labels]).astype(np.float32) for share in np.linspace(0.5, 1, n_frames)], labels


def test_layouts__a_module_each_and_no_module_without_an_entry() -> None:
    assert {module.name for module in pkgutil.iter_modules(methods.__path__)} == LAYOUTS.keys()
    assert all(list(inspect.signature(projector(name)).parameters)[:2] == ["frames", "spec"] for name in LAYOUTS)


def test_layouts__the_spec_takes_these_methods_and_their_options() -> None:
    fields = ProjectSpec.model_json_schema()["properties"]
    assert fields.pop("method")["enum"] == list(LAYOUTS)
    assert fields.keys() == set().union(*(method.options for method in LAYOUTS.values()))
    assert {method.usual_alignment for method in LAYOUTS.values()} <= ALIGNMENTS.keys()


def test_layouts__an_extra_of_the_same_name_installs_what_a_method_needs() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, method in LAYOUTS.items():
        assert (method.package is None) == (method.package_module is None)
        if method.package:
            pinned = [re.split("[=\\[]", requirement)[0].lower() for requirement in extras[name]]
            assert pinned == [method.package.lower()]


@every_method
def test_layouts__deterministic_under_one_seed(method: str) -> None:
    frames, _ = planted()
    first, second = laid_out(frames, method, seed=7), laid_out([frame.copy() for frame in frames], method, seed=7)
    np.testing.assert_array_equal(first.points, second.points)
    np.testing.assert_array_equal(first.explained_variance, second.explained_variance)


@every_method
def test_layouts__planted_clusters_stay_apart(method: str) -> None:
    frames, labels = planted()
    points = laid_out(frames, method).points[-1]
    neighbors = layout_neighbors(points, k=10, rows=np.arange(len(points)))
    assert (labels[neighbors] == labels[:, None]).mean() > 0.95


@every_method
def test_layouts__options_that_a_method_does_not_name_change_nothing(method: str) -> None:
    frames, _ = planted()
    others = {"smoothing": 3.0, "neighbors": 7, "seed": 5}
    unread = {option: value for option, value in others.items() if option not in LAYOUTS[method].options}
    assert unread
    np.testing.assert_array_equal(laid_out(frames, method, **unread).points, laid_out(frames, method).points)


def test_project_frames() -> None:
    frames = [embeddings_of(30, 7, seed=seed) for seed in range(4)]
    done = []
    projection = project_frames(
        frames,
        project=ProjectSpec(method="pca"),
        align=AlignSpec(trim=0),
        on_frame=lambda frame, total: done.append((frame, total)),
    )
    raw = np.stack([pca(frame)[0] for frame in frames])
    np.testing.assert_allclose(projection.points, align(raw, method="rigid", reference="last"), atol=1e-4)
    np.testing.assert_allclose(projection.explained_variance, [pca(frame)[1] for frame in frames], rtol=1e-5)
    assert projection.points.dtype == projection.explained_variance.dtype == np.float32
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_global_pca__is_the_pca_of_frames_that_share_their_axes() -> None:
    first = embeddings_of(60, 9)
    frames = [first * size for size in (1, 2, 3)]
    whole = PCA(2).fit(first.astype(np.float64))
    middle = np.mean([frame.mean(axis=0) for frame in frames], axis=0)
    points = laid_out(frames, "global_pca").points
    for frame, laid in zip(frames, points, strict=True):
        expected = (frame - middle) @ whole.components_.T
        signs = np.sign((laid * expected).sum(axis=0))
        np.testing.assert_allclose(laid * signs, expected, atol=1e-3)


@pytest.mark.parametrize("n_dims", [12, 400])
def test_smooth_pca__without_smoothing_shows_as_much_as_each_frames_own_axes(n_dims: int) -> None:
    frames = list(turning(n_dims=n_dims))
    projection = laid_out(frames, "smooth_pca", smoothing=0)
    np.testing.assert_allclose(projection.explained_variance, [pca(frame)[1] for frame in frames], rtol=0.03)


def test_smooth_pca__more_smoothing_shows_less_of_each_frame() -> None:
    frames = list(turning(n_dims=20))
    shown = []
    for smoothing in (0, 2, 600):
        projection = laid_out(frames, "smooth_pca", smoothing=smoothing)
        assert projection.smoothing == smoothing
        shown.append(projection.explained_variance.mean())
    assert shown[0] > shown[1] > shown[2]
    np.testing.assert_allclose(
        laid_out(frames, "smooth_pca", smoothing=600).points, laid_out(frames, "global_pca").points, atol=1e-2
    )


def test_smooth_pca__a_cloud_that_moves_as_a_whole_is_seen_to_move() -> None:
    first = embeddings_of(50, 6)
    direction = PCA(1).fit(first).components_[0].astype(np.float32)
    frames = [first + 5 * index * direction for index in range(3)]
    moved = np.diff(laid_out(frames, "smooth_pca").points.mean(axis=1), axis=0)
    np.testing.assert_allclose(np.linalg.norm(moved, axis=1), [5, 5], rtol=1e-3)


def test_smooth_pca__reports_its_choice() -> None:
    frames = list(turning(n_dims=20))
    chosen = laid_out(frames, "smooth_pca")
    asked = project_frames(
        frames, project=ProjectSpec(method="smooth_pca", smoothing=chosen.smoothing), align=AlignSpec(method="none")
    )
    np.testing.assert_array_equal(asked.points, chosen.points)
    assert laid_out([embeddings_of(30, 7)], "smooth_pca").smoothing == 0


@pytest.mark.parametrize("method", SHARED_AXES)
def test_shared_axes__frames_that_do_not_move_stay(method: str) -> None:
    frame = embeddings_of(40, 8)
    points = laid_out([frame] * 5, method).points
    np.testing.assert_allclose(points - points[0], 0, atol=1e-5)


@pytest.mark.parametrize("method", SHARED_AXES)
def test_shared_axes__one_frame_may_have_no_spread_but_not_all(method: str) -> None:
    nothing = np.ones((30, 7), dtype=np.float32)
    points = laid_out([nothing, embeddings_of(30, 7)], method).points
    assert np.isfinite(points).all()
    assert np.ptp(points[0], axis=0).max() < 1e-5
    with pytest.raises(DegenerateEmbeddingsError, match="In every frame, all embeddings are equal"):
        laid_out([nothing, nothing], method)


@pytest.mark.parametrize("method", AXES)
def test_project_frames__names_the_frame(method: str) -> None:
    frames = [embeddings_of(30, 7), np.full((30, 7), np.nan, dtype=np.float32)]
    with pytest.raises(DegenerateEmbeddingsError, match="Frame 1: Embeddings are NaN"):
        laid_out(frames, method)


def turning(*, n_dims: int, n_frames: int = 12, n_points: int = 300) -> Iterator[np.ndarray]:
    """Return points whose two widest directions change over time, with new noise in each frame."""
    rng = np.random.default_rng(1)
    cloud = rng.normal(size=(n_points, 4)) * [4, 3, 4, 3]
    axes = np.linalg.qr(rng.normal(size=(n_dims, 4)))[0]
    for share in np.linspace(0, 1, n_frames):
        weights = [1 - share, 1 - share, share, share]
        noise = 0.3 * rng.normal(size=(n_points, n_dims))
        yield ((cloud * weights) @ axes.T + noise).astype(np.float32)
