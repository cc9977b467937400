"""Axes that all frames of a film share, or that turn slowly: what moves on the screen has moved in the representation.

Let C_t be the covariance of frame t. The axes of frame t are the two widest directions of the covariance smoothed
over time, S_t = sum_s w(t - s) C_s with a Gaussian w; turned within their plane onto those of the next frame, so that
nothing spins; and every frame is centred at the same point, so that a cloud that moves as a whole is seen to move.
Without smoothing that is each frame's own plane, with endless smoothing one plane for all.

The more smoothing, the better motion on the screen follows motion in the representation (the smooth turning of the
plane is the only motion that is added), and the less of each frame's own variance is shown. `choose` finds the least
that has nearly all of the first to be had.

Nothing here grows with the number of features times the number of points: of each frame its RANK widest directions are
kept, and what they span together is reduced to the WIDTH directions that matter over the film.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, Projection
from core.errors import DegenerateEmbeddingsError
from core.layout.axes import Axes, centre, check, principal_axes, upright
from core.layout.frames import Frames, ProgressCallback, naming_frame, of_each
from core.measure.motion import pearson, step_lengths
from core.measure.neighborhoods import distance_ranks, layout_neighbors, size, trustworthiness

Double: TypeAlias = NDArray[np.float64]

RANK = 24
WIDTH = 64
CHOICES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Widths of smoothing that are tried, in frames, beside one plane for all."""
SAMPLE_ROWS = 500
"""Points by which a width is chosen."""
NEARLY = 0.02
"""So much correlation is given up for a narrower width, which shows more of each frame."""
TRUST_LOSS = 0.01
TRUST_FRAMES = 6


@dataclass(frozen=True, slots=True)
class FrameAxes:
    """What is kept of one frame: its mean (D,) and its RANK widest axes."""

    mean: Double
    axes: Axes


def frame_axes(embeddings: FloatArray, *, start: Double | None = None) -> FrameAxes:
    """Of a frame (N, D); `start`: axes (D, r) of one that is much like it."""
    centred, mean = centre(embeddings)
    return FrameAxes(mean, principal_axes(centred, count=RANK, start=start))


@dataclass(frozen=True, slots=True)
class ScatterMatrices:
    """All frames' scatter in the directions that matter over the film.

    Attributes:
        basis: (D, w) orthonormal.
        scatter: (T, w, w), of each frame around its own mean.
        totals: (T,), each frame's scatter in all directions.
        best: (T,), share of it that the frame's own two widest directions hold, 0..1; 1 where there is none.
        middle: (D,), mean of the frames' means: the one centre.
    """

    basis: Double
    scatter: Double
    totals: Double
    best: Double
    middle: Double

    def planes(self, smoothing: float | None) -> Double:
        """Two axes a frame, in the basis, each pair turned onto that of the next frame.

        Args:
            smoothing: sigma of the Gaussian in frames; None: one plane for all.

        Returns:
            (T, w, 2), orthonormal columns.
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
        """(T,) share of each frame's variance that its plane shows, 0..1; 1 where there is none."""
        seen = np.einsum("twa,twv,tva->t", planes, self.scatter, planes)
        return _share(seen, self.totals)


def survey(frames: Frames, on_frame: ProgressCallback) -> ScatterMatrices:
    """The scatter of all frames; the first of two passes.

    Raises:
        DegenerateEmbeddingsError: a frame holds NaN or infinite values, or in no frame do the embeddings differ.
    """
    axes: list[FrameAxes] = []

    def look(index: int, embeddings: FloatArray) -> FrameAxes:
        with naming_frame(index):
            check(embeddings)
            return frame_axes(embeddings, start=axes[-1].axes.directions if axes else None)

    for seen in of_each(frames, look):
        axes.append(seen)
        on_frame(len(axes), 2 * len(frames))
    film = gather(axes)
    if not film.totals.any():
        raise DegenerateEmbeddingsError(
            "In no frame do the embeddings differ: the model has collapsed, or the probe images are all alike. "
            "Try a lower train.learning_rate, or other images."
        )
    return film


def lay_out(frames: Frames, film: ScatterMatrices, planes: Double, on_frame: ProgressCallback) -> Projection:
    """Every frame by its plane, all centred at the same point; the second of two passes.

    Args:
        frames: T arrays (N, D).
        film: of these frames.
        planes: (T, w, 2), in the film's basis.
        on_frame: see `ProgressCallback`.
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
    """What can be said of all frames together, in order, one at least."""
    n_dims = len(axes[0].mean)
    width = min(WIDTH, n_dims)
    spanned = np.zeros((n_dims, n_dims))
    for look in axes:
        weighted = _weighted(look.axes)
        spanned += weighted @ weighted.T
    _, basis = scipy.linalg.eigh(spanned, subset_by_index=(n_dims - width, n_dims - 1))
    scatter = np.empty((len(axes), width, width))
    for index, look in enumerate(axes):
        inner = basis.T @ look.axes.directions * np.sqrt(look.axes.variance)
        scatter[index] = inner @ inner.T
    totals = np.array([look.axes.total for look in axes])
    best = _share(np.array([look.axes.variance[:2].sum() for look in axes]), totals)
    return ScatterMatrices(basis, scatter, totals, best, middle=np.mean([look.mean for look in axes], axis=0))


def _weighted(axes: Axes) -> Double:
    """(D, r): each direction as long as its share of the frame's variance says."""
    weighted: Double = axes.directions * np.sqrt(axes.variance / max(axes.total, np.finfo(np.float64).tiny))
    return weighted


def _share(part: Double, whole: Double) -> Double:
    share: Double = np.divide(part, whole, out=np.ones_like(part), where=whole > 0)
    return share.clip(0, 1)


def _weights(n_frames: int, smoothing: float | None) -> Double:
    """(T, T), rows of sum 1; (1, T) where one plane serves all."""
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
    """The least smoothing with nearly the best correlation of motion on the screen with motion in the representation.

    Of those that cost no visible neighbourhoods: trustworthiness within TRUST_LOSS of the best.

    Args:
        film: of these frames.
        witnesses: (T, M, w), coordinates of some points in the film's basis.
        moved: (T - 1, M), how far each of them moved in the representation.
        choices: sigmas to try, rising; one plane for all is tried too.

    Returns:
        A sigma, or None for one plane.
    """
    tried = [*(sigma for sigma in choices if sigma < len(samples)), None]
    seen = [np.einsum("tmw,twa->tma", samples, film.planes(sigma)) for sigma in tried]
    trust = np.array(_trust(samples, seen))
    follows = np.array([pearson(step_lengths(points), moved) for points in seen])
    follows[trust < trust.max() - TRUST_LOSS] = -np.inf
    return tried[int(np.flatnonzero(follows >= follows.max() - NEARLY)[0])]


def _trust(samples: Double, layouts: Sequence[Double]) -> list[float]:
    """Mean trustworthiness of some frames, for each of several layouts (T, M, 2)."""
    n_frames, n_points, _ = samples.shape
    k = size(n_points)
    rows = np.arange(n_points)
    frames = np.unique(np.linspace(0, n_frames - 1, TRUST_FRAMES).round().astype(int))
    ranks = {t: distance_ranks(samples[t]) for t in frames}
    return [
        float(np.mean([trustworthiness(ranks[t], layout_neighbors(points[t], k=k, rows=rows)) for t in frames]))
        for points in layouts
    ]
