"""PCA with axes that are smoothed over time, or that are the same in all frames.

C_t is the covariance of frame t. The axes of frame t are the first two principal components of the smoothed covariance
S_t = sum_s w(t - s) C_s, where w is a Gaussian. The two axes are rotated within their plane onto the axes of the next
frame, so that the layout does not spin. All frames have one centre, so that a shift of all points is visible. Without
smoothing, each frame has its own plane. With infinite smoothing, all frames have one plane.

More smoothing has two effects. Motion in the layout follows motion in the representation better, because the rotation
of the plane adds less motion. And the layout has less of each frame's own variance. `choose` selects the least
smoothing whose correlation of motion is close to the best. docs/layouts.md compares values of sigma on three data sets.

The embeddings of all frames are never in memory at once. The RANK first
principal components of each frame are kept, then reduced to the WIDTH most important directions of the film.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.cores import available, side_by_side
from core.domain.arrays import FloatArray, IntArray, Projection
from core.errors import DegenerateEmbeddingsError
from core.layout.axes import Axes, centre, check, principal_axes, upright
from core.layout.frames import Frames, ProgressCallback, naming_frame, of_each
from core.measure.motion import pearson, step_lengths
from core.measure.neighborhoods import distance_ranks, layout_neighbors, size, trustworthiness

Double: TypeAlias = NDArray[np.float64]

RANK = 24
"""Number of principal components that are kept of each frame. Chosen by hand; not measured."""
WIDTH = 64
"""Number of directions that are kept of the film. Chosen by hand; not measured."""
CHOICES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Values of sigma that `choose` tries, in frames. It also tries one plane for all frames. Chosen by hand; not
measured."""
SAMPLE_ROWS = 500
"""Number of points at which `choose` evaluates each sigma. Chosen by hand; not measured."""
NEARLY = 0.02
"""Loss of correlation of motion that `choose` accepts for a smaller sigma, which keeps more of each frame's variance.
Chosen by hand; not measured. docs/layouts.md has results for the selected sigma."""
TRUST_LOSS = 0.01
"""Largest accepted difference from the trustworthiness of the best sigma. Chosen by hand; not measured."""
TRUST_FRAMES = 6
"""Number of frames, evenly spaced, whose trustworthiness `choose` averages. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class FrameAxes:
    """Summary of one frame.

    Attributes:
        mean: (D,) float64, mean of the embeddings.
        axes: the RANK first principal components, (D, RANK), or fewer.
    """

    mean: Double
    axes: Axes


def frame_axes(embeddings: FloatArray, *, start: Double | None = None) -> FrameAxes:
    """Compute the mean and the first principal components of a frame.

    Args:
        embeddings: (N, D) float32, finite.
        start: (D, r) float64, axes of a similar frame, from which the iteration starts; None: random axes.
    """
    centred, mean = centre(embeddings)
    return FrameAxes(mean, principal_axes(centred, count=RANK, start=start))


@dataclass(frozen=True, slots=True)
class ScatterMatrices:
    """Scatter matrices of all frames, in the w most important directions of the film; w is min(WIDTH, D).

    Attributes:
        basis: (D, w) float64, orthonormal columns.
        scatter: (T, w, w) float64, scatter matrix of each frame around its own mean, in the basis.
        totals: (T,) float64, sum of squares of each frame around its own mean, in all D directions.
        best: (T,) float64, explained_variance_ratio of each frame's own best plane, 0..1; 1 for a frame without
            variance.
        middle: (D,) float64, mean of the frames' means: the common centre.
    """

    basis: Double
    scatter: Double
    totals: Double
    best: Double
    middle: Double

    def planes(self, smoothing: float | None) -> Double:
        """Compute the two axes of each frame, and rotate each pair onto the axes of the next frame.

        Args:
            smoothing: sigma of the Gaussian in frames; 0: no smoothing; None: one plane for all frames.

        Returns:
            (T, w, 2) float64, orthonormal columns, in the basis.
        """
        n_frames, width, _ = self.scatter.shape
        weights = _weights(n_frames, smoothing)
        smooth = (weights @ self.scatter.reshape(n_frames, -1)).reshape(len(weights), width, width)
        _, vectors = np.linalg.eigh(smooth)
        planes: Double = np.broadcast_to(vectors[:, :, :-3:-1], (n_frames, width, 2)).copy()
        planes[-1] = self.basis.T @ upright(self.basis @ planes[-1])
        for index in range(n_frames - 2, -1, -1):
            left, _, right = np.linalg.svd(planes[index].T @ planes[index + 1])
            planes[index] = planes[index] @ (left @ right)
        return planes

    def shown(self, planes: Double) -> Double:
        """Compute the explained_variance_ratio of each frame's plane.

        Args:
            planes: (T, w, 2), two axes of each frame, in the basis.

        Returns:
            (T,) float64, 0..1; 1 for a frame without variance.
        """
        seen = np.einsum("twa,twv,tva->t", planes, self.scatter, planes)
        return _share(seen, self.totals)


def survey(frames: Frames, on_frame: ProgressCallback) -> ScatterMatrices:
    """Compute the scatter matrices of all frames: the first of two passes over the frames.

    Args:
        frames: T arrays (N, D) float32.
        on_frame: see `ProgressCallback`.

    Raises:
        DegenerateEmbeddingsError: a frame has fewer than 2 points or features, or a value that is NaN or infinite.
        DegenerateEmbeddingsError: all embeddings are equal within each frame.
    """
    axes: list[FrameAxes] = []

    def summarise(index: int, embeddings: FloatArray) -> FrameAxes:
        with naming_frame(index):
            check(embeddings)
            return frame_axes(embeddings, start=axes[-1].axes.directions if axes else None)

    for seen in of_each(frames, summarise):
        axes.append(seen)
        on_frame(len(axes), 2 * len(frames))
    film = gather(axes)
    if not film.totals.any():
        raise DegenerateEmbeddingsError(
            "In every frame, all embeddings are equal: the model has collapsed, or all probe images are equal. "
            "Try a lower train.learning_rate, or other images."
        )
    return film


def lay_out(frames: Frames, film: ScatterMatrices, planes: Double, on_frame: ProgressCallback) -> Projection:
    """Project each frame onto its plane, around the common centre: the second of two passes over the frames.

    Args:
        frames: T arrays (N, D) float32.
        film: scatter matrices of these frames.
        planes: (T, w, 2), two axes of each frame, in the film's basis.
        on_frame: see `ProgressCallback`.

    Returns:
        Points (T, N, 2) float32. explained_variance and best_variance, (T,) float32 each, are the
        explained_variance_ratio of each frame's plane and of its own best plane.
    """
    axes = (film.basis @ planes).astype(np.float32)
    points: list[FloatArray] = []

    def laid(index: int, embeddings: FloatArray) -> FloatArray:
        projected: FloatArray = embeddings @ axes[index] - (film.middle @ axes[index]).astype(np.float32)
        return projected

    for frame in of_each(frames, laid):
        points.append(frame)
        on_frame(len(axes) + len(points), 2 * len(axes))
    return Projection(np.stack(points), film.shown(planes).astype(np.float32), film.best.astype(np.float32))


def gather(axes: Sequence[FrameAxes]) -> ScatterMatrices:
    """Combine the summaries of frames into the scatter matrices of the film.

    The basis consists of the first principal directions of the sum of all frames' scatter matrices. Each scatter matrix
    is first divided by the frame's total variance, so that all frames have equal weight.

    Args:
        axes: summaries of T frames, in order, T at least 1.
    """
    n_dims = len(axes[0].mean)
    width = min(WIDTH, n_dims)
    spanned = np.zeros((n_dims, n_dims))
    for frame in axes:
        weighted = _weighted(frame.axes)
        spanned += weighted @ weighted.T
    _, basis = scipy.linalg.eigh(spanned, subset_by_index=(n_dims - width, n_dims - 1))
    scatter = np.empty((len(axes), width, width))
    for index, frame in enumerate(axes):
        inner = basis.T @ frame.axes.directions * np.sqrt(frame.axes.variance)
        scatter[index] = inner @ inner.T
    totals = np.array([frame.axes.total for frame in axes])
    best = _share(np.array([frame.axes.variance[:2].sum() for frame in axes]), totals)
    return ScatterMatrices(basis, scatter, totals, best, middle=np.mean([frame.mean for frame in axes], axis=0))


def _weighted(axes: Axes) -> Double:
    """Scale each direction by the square root of its explained_variance_ratio, (D, r)."""
    weighted: Double = axes.directions * np.sqrt(axes.variance / max(axes.total, np.finfo(np.float64).tiny))
    return weighted


def _share(part: Double, whole: Double) -> Double:
    share: Double = np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
    return share.clip(0, 1)


def _weights(n_frames: int, smoothing: float | None) -> Double:
    """Gaussian weights w(t - s), (T, T), rows of sum 1. With `smoothing` None: equal weights, (1, T)."""
    if smoothing is None:
        return np.full((1, n_frames), 1 / n_frames)
    if smoothing == 0:
        return np.eye(n_frames)
    apart = np.subtract.outer(np.arange(n_frames), np.arange(n_frames))
    weights: Double = np.exp(-0.5 * (apart / smoothing) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def choose(
    film: ScatterMatrices, samples: Double, moved: FloatArray, choices: Sequence[float] = CHOICES
) -> float | None:
    """Select the least smoothing that preserves motion and neighbourhoods well.

    A sigma is admissible if its mean trustworthiness is within TRUST_LOSS of the best sigma. The result is the smallest
    admissible sigma whose Pearson correlation of motion is within NEARLY of the best admissible sigma.

    Args:
        film: scatter matrices of T frames.
        samples: (T, M, w) float64, coordinates of M points in the film's basis.
        moved: (T - 1, M) float32, distance that each of these points moved in the representation.
        choices: values of sigma to try, in frames, ascending. Values of T or more are skipped. One plane for all frames
            is always tried.

    Returns:
        Sigma in frames; None: one plane for all frames.
    """
    tried = [*(sigma for sigma in choices if sigma < len(samples)), None]
    ranks = _ranks(samples)

    def evaluate(sigma: float | None) -> tuple[float, float]:
        points = samples @ film.planes(sigma)
        return _trust(ranks, points), pearson(step_lengths(points), moved)

    with side_by_side(available()) as each:
        trust, follows = np.array(each(evaluate, tried)).T
    follows[trust < trust.max() - TRUST_LOSS] = -np.inf
    return tried[int(np.flatnonzero(follows >= follows.max() - NEARLY)[0])]


def _ranks(samples: Double) -> dict[int, IntArray]:
    """Compute `distance_ranks` of (M, w) points at TRUST_FRAMES frames of (T, M, w), evenly spaced."""
    frames = np.unique(np.linspace(0, len(samples) - 1, TRUST_FRAMES).round().astype(int))
    return {index: distance_ranks(samples[index]) for index in frames.tolist()}


def _trust(ranks: Mapping[int, IntArray], points: Double) -> float:
    """Mean trustworthiness of a layout over some frames, in 0..1. Higher = more trustworthy.

    Args:
        ranks: (M, M) ranks in the representation for each of these frames, from `distance_ranks`.
        points: (T, M, 2), the layout.
    """
    n_points = points.shape[1]
    k, rows = size(n_points), np.arange(n_points)
    return float(np.mean([trustworthiness(of, layout_neighbors(points[t], k=k, rows=rows)) for t, of in ranks.items()]))
