import inspect
import pkgutil

import numpy as np
import pytest
import scipy.linalg
import scipy.spatial
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from core.domain.layouts import ALIGNMENTS
from core.domain.spec import AlignSpec
from core.errors import DegenerateEmbeddingsError
from core.layout import alignments
from core.layout.align import align, fitter

every_alignment = pytest.mark.parametrize("method", ALIGNMENTS)


def film(n_frames: int = 5, n_points: int = 20, *, seed: int = 0) -> np.ndarray:
    """Return moving points. Each frame is rotated, scaled and shifted at random, and some frames are mirrored."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n_points, 2)) + 0.1 * rng.normal(size=(n_frames, n_points, 2)).cumsum(axis=0)
    turns = np.linalg.qr(rng.normal(size=(n_frames, 2, 2)))[0]
    grown = points @ turns * rng.uniform(0.5, 4, size=(n_frames, 1, 1))
    return (grown + rng.normal(size=(n_frames, 1, 2))).astype(np.float32)


def residual_rotation(frame: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return scipy.linalg.orthogonal_procrustes(frame.astype(np.float64), reference.astype(np.float64))[0]


def references(points: np.ndarray, reference: str) -> list[np.ndarray]:
    fixed = {"last": points[-1], "first": points[0]}
    return [fixed[reference]] * len(points) if reference in fixed else [points[0], *points[:-1]]


def test_align__rigid_by_hand() -> None:
    corner = np.array([[0, 0], [3, 0], [0, 6]], dtype=np.float32)
    quarter_turn = np.array([[0, 1], [-1, 0]], dtype=np.float32)
    aligned = align(np.stack([corner @ quarter_turn + 9, corner]), method="rigid", reference="last")
    np.testing.assert_allclose(aligned, np.stack([corner - [1, 2]] * 2), atol=1e-5)


def test_align__procrustes_by_hand() -> None:
    square = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]], dtype=np.float32)
    aligned = align(np.stack([5 * square[:, ::-1] + 3, square]), method="procrustes", reference="last")
    np.testing.assert_allclose(aligned, np.stack([square, square]), atol=1e-6)


def test_align__none_changes_nothing() -> None:
    points = film()
    assert (align(points, method="none", reference="last") == points).all()


@pytest.mark.parametrize("reference", ["last", "previous"])
def test_align__procrustes_as_scipy(reference: str) -> None:
    points = film()
    aligned = align(points, method="procrustes", reference=reference)
    target = points[-1] if reference == "last" else points[0]
    for frame, result in zip(points, aligned, strict=True):
        expected = scipy.spatial.procrustes(target, frame)[1]
        np.testing.assert_allclose(result, expected / np.abs(expected).max(), atol=1e-5)
        target = target if reference == "last" else result


@pytest.mark.parametrize("reference", ["last", "previous", "first"])
@given(st.integers(1, 6), st.integers(2, 25), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_align__rigid_keeps_every_distance_and_leaves_no_rotation(
    reference: str, n_frames: int, n_points: int, seed: int
) -> None:
    points = film(n_frames, n_points, seed=seed)
    aligned = align(points, method="rigid", reference=reference)
    np.testing.assert_allclose(aligned.mean(axis=1), 0, atol=1e-5)
    for frame, result, target in zip(points, aligned, references(aligned, reference), strict=True):
        np.testing.assert_allclose(pdist(result), pdist(frame), atol=1e-3)
        residual = result.astype(np.float64) @ residual_rotation(result, target)
        np.testing.assert_allclose(residual, result, atol=1e-3)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["last", "previous"]))
@settings(max_examples=30, deadline=None)
def test_align__undoes_rotation_and_mirroring(seed: int, reference: str) -> None:
    rng = np.random.default_rng(seed)
    frame = rng.normal(size=(12, 2))
    turn = np.linalg.qr(rng.normal(size=(2, 2)))[0]
    points = np.stack([frame @ turn + 3, frame]).astype(np.float32)
    aligned = align(points, method="rigid", reference=reference)
    np.testing.assert_allclose(aligned[0], aligned[1], atol=1e-5)


def test_align__rigid_keeps_the_growth_that_procrustes_loses() -> None:
    cloud = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    points = np.stack([cloud, 2 * cloud, 4 * cloud])
    rigid = align(points, method="rigid", reference="last")
    published = align(points, method="procrustes", reference="last")
    np.testing.assert_allclose(rigid.std(axis=(1, 2)) / rigid[0].std(), [1, 2, 4], rtol=1e-5)
    np.testing.assert_allclose(published.std(axis=(1, 2)) / published[0].std(), [1, 1, 1], rtol=1e-5)


def test_align__rigid_takes_a_frame_whose_points_coincide() -> None:
    points = np.stack([np.ones((4, 2)), film(1, 4)[0]]).astype(np.float32)
    assert (align(points, method="rigid", reference="last")[0] == 0).all()


def test_align__the_worst_fitting_points_are_trimmed() -> None:
    rng = np.random.default_rng(0)
    cloud = rng.normal(size=(40, 2))
    frame = cloud @ np.array([[0, 1], [-1, 0]]) + 7
    frame[:4] = 100 * rng.normal(size=(4, 2))
    points = np.stack([frame, cloud]).astype(np.float32)
    steered = align(points, method="rigid", reference="last")
    trimmed = align(points, method="rigid", reference="last", trim=0.2)
    np.testing.assert_allclose(trimmed[0, 4:], trimmed[1, 4:], atol=1e-4)
    assert np.abs(steered[0, 4:] - steered[1, 4:]).max() > 0.5
    np.testing.assert_allclose(pdist(trimmed[0]), pdist(frame), atol=1e-3)


@pytest.mark.parametrize("n_points", [2, 3])
def test_align__trimmed_to_two_points_at_least(n_points: int) -> None:
    points = film(3, n_points)
    assert np.isfinite(align(points, method="rigid", reference="first", trim=0.5)).all()


def test_alignments__a_module_each_and_no_module_without_an_entry() -> None:
    assert {module.name for module in pkgutil.iter_modules(alignments.__path__)} == ALIGNMENTS.keys()
    assert all(
        list(inspect.signature(fitter(name)).parameters) == ["frame", "reference", "trim"] for name in ALIGNMENTS
    )
    assert AlignSpec.model_json_schema()["properties"]["method"]["enum"] == list(ALIGNMENTS)


@every_alignment
@pytest.mark.parametrize("reference", ["last", "previous", "first"])
def test_alignments__deterministic_and_no_point_is_lost(method: str, reference: str) -> None:
    points = film(4, 12)
    aligned = align(points, method=method, reference=reference, trim=0.1)
    assert (aligned.shape, aligned.dtype) == (points.shape, np.float32)
    np.testing.assert_array_equal(aligned, align(points.copy(), method=method, reference=reference, trim=0.1))


@every_alignment
def test_alignments__frames_that_agree_are_kept_in_agreement(method: str) -> None:
    aligned = align(np.stack([film(1, 12)[0]] * 3), method=method, reference="last")
    np.testing.assert_allclose(aligned, np.stack([aligned[0]] * 3), atol=1e-5)


@every_alignment
def test_alignments__planted_clusters_stay_apart(method: str) -> None:
    rng = np.random.default_rng(0)
    labels, middles = np.arange(30) % 3, np.array([[10, 0], [0, 10], [-10, -10]])
    points = (middles[labels] + rng.normal(size=(4, 30, 2))).astype(np.float32)
    for frame in align(points, method=method, reference="last"):
        centres = np.stack([frame[labels == label].mean(axis=0) for label in range(3)])
        nearest = np.linalg.norm(frame[:, None] - centres, axis=2).argmin(axis=1)
        np.testing.assert_array_equal(nearest, labels)


@every_alignment
def test_align__not_finite(method: str) -> None:
    points = film()
    points[1, 2, 0] = np.nan
    with pytest.raises(DegenerateEmbeddingsError, match="NaN or infinite"):
        align(points, method=method, reference="last")


def test_align__procrustes_of_points_that_coincide() -> None:
    points = np.stack([film(1, 4)[0], np.ones((4, 2)), film(1, 4)[0]]).astype(np.float32)
    with pytest.raises(DegenerateEmbeddingsError, match=r"Frame 1: All points.*rigid"):
        align(points, method="procrustes", reference="last")


def test_align__procrustes_of_frames_that_have_nothing_in_common() -> None:
    plus = np.array([[1, 0], [-1, 0], [0, 0], [0, 0]], dtype=np.float32)
    other = np.array([[0, 0], [0, 0], [1, 0], [-1, 0]], dtype=np.float32)
    with pytest.raises(DegenerateEmbeddingsError, match="Frame 0: This frame has nothing in common"):
        align(np.stack([plus, other]), method="procrustes", reference="last")
