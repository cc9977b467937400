"""Measures of a film for the quality card: FilmMeasurer measures each frame once, then the film as a whole.

Motion, CKA and neighbourhoods are evaluated at the points of `neighborhoods.sample_rows`. The nearest neighbours of
these points, and their ranks, are among all points. Effective rank and NC1 are computed from all points.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.spatial
from numpy.typing import NDArray

from core.domain.arrays import FloatArray, FrameFacts, IntArray, NeighborGraph, Projection
from core.domain.quality import FrameQuality, MotionQuality, json_number
from core.measure import motion, neighborhoods
from core.measure.representation import Kernel, cka, linear_kernel, rank_me, within_class_variability

Double = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class FilmMeasurements:
    """Measurements of a film of T frames and C classes, at B evaluated points.

    Attributes:
        frames: measures of each frame, T of them.
        motion: measures over the film.
        steps: (T - 1, B) float64, distance that each point moves in the representation between successive frames.
        moved: (T - 1,) float64, movement of the representation between successive frames, by `motion.movement`.
        mixing: (T, C, C) float32, fraction of the nearest neighbours of the points of one class (row) that have another
            class (column). A row is NaN if no evaluated point has the class.
    """

    frames: tuple[FrameQuality, ...]
    motion: MotionQuality
    steps: Double
    moved: Double
    mixing: FloatArray


@dataclass(frozen=True, slots=True)
class FrameMeasurements:
    """Measurements of one frame that do not depend on other frames.

    Attributes:
        quality: measures of the frame. CKA with the previous frame is None.
        mixing: (C, C) float32, class mixing as in FilmMeasurements.
        neighbors: (B, k) int64, nearest neighbours of the evaluated points in the representation.
        some: (B, D) float64, embeddings of the evaluated points.
        kernel: the same embeddings, prepared for `cka`.
    """

    quality: FrameQuality
    mixing: FloatArray
    neighbors: IntArray
    some: Double
    kernel: Kernel


class FilmMeasurer:
    """Measures the frames of a film. `measure` measures one frame; `add` adds the result to the film, in order.

    Args:
        projection: the film's layout, T frames of N points.
        graph: nearest neighbours of the evaluated points in the representation.
        labels: (N,) int64, class of each point.
        n_classes: number of classes C.
        facts: facts of each frame, T of them.
    """

    def __init__(
        self,
        projection: Projection,
        graph: NeighborGraph,
        *,
        labels: IntArray,
        n_classes: int,
        facts: Sequence[FrameFacts],
    ) -> None:
        self._projection, self._graph, self._facts = projection, graph, facts
        self._labels, self._n_classes = labels, n_classes
        self._frames: list[FrameQuality] = []
        self._mixing: list[FloatArray] = []
        self._seen: list[Double] = []
        self._kernel: Kernel | None = None
        self._steps: list[Double] = []
        self._turns: list[Double] = []
        self._moved: list[float] = []
        self._changed: list[Double] = []

    def measure(self, index: int, embeddings: FloatArray) -> FrameMeasurements:
        """Measure one frame. Several threads may measure different frames at the same time.

        Args:
            index: index of the frame, 0 to T - 1.
            embeddings: (N, D) float32.
        """
        rows, labels, facts = self._graph.rows, self._labels, self._facts[index]
        neighbors = np.asarray(self._graph.indices[index], dtype=np.int64)
        kept = neighborhoods.faithfulness(embeddings, self._projection.points[index], neighbors=neighbors, rows=rows)
        shown, best = self._shares(index)
        some = embeddings[rows].astype(np.float64)
        quality = FrameQuality(
            frame=index,
            step=facts.step,
            trustworthiness=json_number(kept.trustworthiness),
            continuity=json_number(kept.continuity),
            neighbors_kept=json_number(kept.knn_recall),
            explained_variance=json_number(shown),
            relative_variance=json_number(min(1.0, shown / best) if best > 0 else np.nan),
            loss=json_number(facts.loss),
            accuracy=json_number(facts.accuracy),
            knn_accuracy=json_number(neighborhoods.knn_accuracy(neighbors, labels, rows)),
            neighborhood_hit=json_number(neighborhoods.neighborhood_hit(neighbors, labels, rows)),
            cka=None,
            rank_me=json_number(rank_me(embeddings)),
            nc1=json_number(within_class_variability(embeddings, labels)),
        )
        mixing = _mixing(labels[rows], labels[neighbors], self._n_classes)
        return FrameMeasurements(quality, mixing, neighbors, some, linear_kernel(some))

    def add(self, measured: FrameMeasurements) -> None:
        """Add the measurements of the next frame. Frames must be added in order.

        Args:
            measured: result of `measure` for the next frame.
        """
        quality = measured.quality
        if self._kernel is not None:
            quality = quality.model_copy(update={"cka": json_number(cka(self._kernel, measured.kernel))})
        self._kernel = measured.kernel
        self._frames.append(quality)
        self._mixing.append(measured.mixing)
        self._follow(measured.some, measured.neighbors)

    def _shares(self, index: int) -> tuple[float, float]:
        """explained_variance_ratio of the frame's layout, and of the frame's own best plane."""
        layout = self._projection
        best = layout.best_variance
        return float(layout.explained_variance[index]), float(best[index])

    def _follow(self, some: Double, neighbors: IntArray) -> None:
        if self._seen:
            before = self._seen[-1]
            steps = np.linalg.norm(some - before, axis=1)
            self._steps.append(steps)
            self._moved.append(motion.movement(before, some))
            earlier = self._graph.indices[len(self._frames) - 2]
            same = (neighbors[:, :, None] == earlier[:, None, :]).any(axis=2)
            self._changed.append(1 - same.mean(axis=1))
            if len(self._seen) == 2:  # noqa: PLR2004 - a second difference requires three frames
                self._turns.append(np.linalg.norm(some - 2 * before + self._seen[0], axis=1))
        self._seen = [*self._seen[-1:], some]

    def finish(self) -> FilmMeasurements:
        """Return the measurements of the film. All T frames must have been added."""
        points = self._projection.points[:, self._graph.rows].astype(np.float64)
        return FilmMeasurements(
            frames=tuple(self._frames),
            motion=self._motion(points),
            steps=np.array(self._steps),
            moved=np.array(self._moved),
            mixing=np.stack(self._mixing),
        )

    def _motion(self, points: Double) -> MotionQuality:
        steps, shown = np.array(self._steps), motion.step_lengths(points)
        still = not steps.any() or not shown.any()
        turns = np.array(self._turns)
        seen = np.linalg.norm(np.diff(points, n=2, axis=0), axis=2)
        trembles = motion.jitter(steps, turns)
        return MotionQuality(
            pearson=None if still else json_number(motion.pearson(steps, shown)),
            spearman=None if still else json_number(motion.spearman(steps, shown)),
            temporal_stress=json_number(motion.temporal_stress(steps, shown)),
            neighborhood_change=json_number(_over_time(np.array(self._changed), shown)),
            residual_rotation=json_number(motion.residual_rotation(points)),
            jitter=json_number(motion.jitter(shown, seen) / trembles) if trembles > 0 else None,
            disparity=json_number(_disparity(points)),
        )


def _mixing(labels: IntArray, of_neighbors: IntArray, n_classes: int) -> FloatArray:
    """Class mixing: fraction of the nearest neighbours of each class that have each class.

    Args:
        labels: (B,), class of each evaluated point.
        of_neighbors: (B, k), classes of their nearest neighbours.
        n_classes: number of classes C.

    Returns:
        (C, C) float32, rows of sum 1. A row is NaN if no point has the class.
    """
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (labels[:, None], of_neighbors), 1)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    mixing: FloatArray = shares.astype(np.float32)  # 600 frames of 200 classes have 24 million values
    return mixing


def _over_time(changed: Double, shown: Double) -> float:
    """Pearson correlation over time of two quantities at each point, averaged over the points.

    Args:
        changed: (T - 1, B), fraction of each point's nearest neighbours that changed between successive frames.
        shown: (T - 1, B), distance that each point moved in the layout.

    Returns:
        -1..1. Points where one quantity is constant are left out. NaN if no point is left.

    References:
        Yang et al.: DeepVisualInsight: time-travelling visualization for spatio-temporal causality of deep
            classification training. arXiv:2201.01155.
    """
    if not len(changed):
        return float("nan")
    first, second = changed - changed.mean(axis=0), shown - shown.mean(axis=0)
    scale = np.sqrt((first**2).sum(axis=0) * (second**2).sum(axis=0))
    varies = scale > 0
    return float(((first * second).sum(axis=0)[varies] / scale[varies]).mean()) if varies.any() else float("nan")


def _disparity(points: Double) -> float:
    """Mean Procrustes disparity of successive frames (T, B, 2). Pairs with a frame of coinciding points are left out.

    Returns:
        0..1; 0: equal up to shift, scale and rotation. NaN if no pair is left.
    """
    found = []
    for before, after in pairwise(points):
        if np.ptp(before, axis=0).any() and np.ptp(after, axis=0).any():
            found.append(scipy.spatial.procrustes(before, after)[2])
    return float(np.mean(found)) if found else float("nan")
