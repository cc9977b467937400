"""From D features to two axes, a frame at a time, and the layout of a whole film."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, Projection
from core.domain.spec import AlignSpec, ProjectSpec
from core.errors import DegenerateEmbeddingsError
from core.layout.align import align as align_frames

Double: TypeAlias = NDArray[np.float64]
Projector: TypeAlias = Callable[[FloatArray], tuple[FloatArray, float]]


def pca(embeddings: FloatArray) -> tuple[FloatArray, float]:
    """The two axes of greatest variance of one frame: Y = (X - mean) V, V the top eigenvectors of X'X.

    Computed in double precision. The sign of an axis is free; here the feature that weighs most on it (the
    first, if several weigh the same) points up. Axes of equal variance may be turned within their plane:
    any turn is as good, and the same library on the same machine always takes the same one. Where all
    points lie on a line, the second axis is zero.

    Args:
        embeddings: (N, D), finite, N and D at least 2.

    Returns:
        (N, 2) float32, centred, wider axis first; and the share of the variance that both axes show, 0..1.

    Raises:
        DegenerateEmbeddingsError: fewer than 2 points or features, a value that is NaN or infinite, or no
            variance.

    References:
        Pearson: On lines and planes of closest fit to systems of points in space.
            doi:10.1080/14786440109462720.

    >>> points, share = pca(np.array([[0, 0, 0], [2, 0, 0], [4, 0, 0]], dtype=np.float32))
    >>> points[:, 0].tolist(), share
    ([-2.0, 0.0, 2.0], 1.0)
    """
    _check(embeddings)
    centred = embeddings - embeddings.mean(axis=0, dtype=np.float64)  # (N, D)
    variance = float(np.einsum("nd,nd->", centred, centred))
    axes, shown = _axes_by_svd(centred) if len(centred) < centred.shape[1] else _axes_by_covariance(centred)
    strongest = axes[np.abs(axes).argmax(axis=0), [0, 1]]
    points = centred @ (axes * np.where(strongest < 0, -1, 1))
    return points.astype(np.float32), min(1.0, float(shown.clip(min=0).sum()) / variance)


PROJECTORS: Mapping[str, Projector] = {"pca": pca}
"""By `project.method`."""


def project_frames(
    frames: Iterable[FloatArray],
    *,
    project: ProjectSpec,
    align: AlignSpec,
    on_frame: Callable[[int], None] | None = None,
) -> Projection:
    """Project each frame, then keep the frames still against each other.

    Args:
        frames: T arrays (N, D), taken one at a time.
        project: how D features become two.
        align: how the frames are aligned.
        on_frame: called after each projected frame with the number of frames done.

    Returns:
        Points (T, N, 2) and explained variance (T,).

    Raises:
        DegenerateEmbeddingsError: a frame cannot be projected or aligned; the message tells which frame.
    """
    projector = PROJECTORS[project.method]
    points, shares = [], []
    for index, embeddings in enumerate(frames):
        try:
            frame, share = projector(embeddings)
        except DegenerateEmbeddingsError as error:
            raise DegenerateEmbeddingsError(f"Frame {index}: {error.detail}") from error
        points.append(frame)
        shares.append(share)
        if on_frame:
            on_frame(index + 1)
    aligned = align_frames(np.stack(points), method=align.method, reference=align.reference)
    return Projection(points=aligned, explained_variance=np.array(shares, dtype=np.float32))


def _check(embeddings: NDArray[Any]) -> None:
    n_points, n_dims = embeddings.shape
    if n_points < 2 or n_dims < 2:  # noqa: PLR2004 - a plane needs two
        raise DegenerateEmbeddingsError(
            f"{n_points} embeddings of {n_dims} features cannot be laid out in a plane: it takes 2 of both. "
            "Raise capture.probe_size, or take a wider model."
        )
    if not np.isfinite(embeddings).all():
        raise DegenerateEmbeddingsError(
            "Embeddings are NaN or infinite: the training diverged. Try a lower train.learning_rate, or "
            "train.precision fp32."
        )
    if not np.ptp(embeddings, axis=0).any():
        raise DegenerateEmbeddingsError(
            "All embeddings are the same: the model has collapsed, or the probe images are all alike. "
            "Try a lower train.learning_rate, or other images."
        )


def _axes_by_covariance(centred: Double) -> tuple[Double, Double]:
    """Top two eigenvectors (D, 2) of the scatter matrix X'X and their eigenvalues (2,), greatest first."""
    n_dims = centred.shape[1]
    values, vectors = scipy.linalg.eigh(centred.T @ centred, subset_by_index=(n_dims - 2, n_dims - 1))
    return vectors[:, ::-1], values[::-1]


def _axes_by_svd(centred: Double) -> tuple[Double, Double]:
    """The same by the thin SVD, which is less work where there are fewer points than features."""
    _, singular, axes = scipy.linalg.svd(centred, full_matrices=False)
    return axes[:2].T, singular[:2] ** 2
