"""How far a film can be trusted: each frame is looked at once, and what all frames say together is told at the end.

Motion and neighbourhoods are looked at from `neighborhoods.anchors`; ranks, spectra and classes are of all points.
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
    """What was seen of T frames, C classes and the B points that were looked at.

    Attributes:
        frames: one a frame.
        motion: over time.
        steps: (T - 1, B), how far each point moves in the representation.
        moved: (T - 1,), how far the representation moves, by `motion.movement`.
        mixing: (T, C, C), share of the neighbours of points of a class (row) that are of another (column); NaN where no
            point of the class was looked at.
    """

    frames: tuple[FrameQuality, ...]
    motion: MotionQuality
    steps: Double
    moved: Double
    mixing: FloatArray


@dataclass(frozen=True, slots=True)
class FrameMeasurements:
    """One frame by itself.

    Attributes:
        quality: all but what it has in common with the frame before.
        mixing: (C, C), as `Measured` has it.
        neighbors: (B, k), of the points that are looked at.
        some: (B, D), those points.
        kernel: what they are compared by.
    """

    quality: FrameQuality
    mixing: FloatArray
    neighbors: IntArray
    some: Double
    kernel: Kernel


class FilmMeasurer:
    """Looks at frames, and takes in one after another.

    Args:
        projection: the film's layout.
        graph: neighbours in the representation.
        labels: (N,).
        n_classes: C.
        facts: one a frame.
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
        """What can be said of a frame, (N, D), by itself; frames may be looked at side by side."""
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
            neighbors_kept=json_number(kept.preservation),
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
        """Take in the next frame."""
        quality = measured.quality
        if self._kernel is not None:
            quality = quality.model_copy(update={"cka": json_number(cka(self._kernel, measured.kernel))})
        self._kernel = measured.kernel
        self._frames.append(quality)
        self._mixing.append(measured.mixing)
        self._follow(measured.some, measured.neighbors)

    def _shares(self, index: int) -> tuple[float, float]:
        """Of the variance: what is shown, and what could be."""
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
            if len(self._seen) == 2:  # noqa: PLR2004 - a turn takes three frames
                self._turns.append(np.linalg.norm(some - 2 * before + self._seen[0], axis=1))
        self._seen = [*self._seen[-1:], some]

    def finish(self) -> FilmMeasurements:
        """What all frames say together."""
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
    """(C, C): which classes the neighbours (B, k) of points of each class (B,) are of."""
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (labels[:, None], of_neighbors), 1)
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full_like(counts, np.nan), where=total > 0)
    mixing: FloatArray = shares.astype(np.float32)  # 600 frames of 200 classes have 24 million of them
    return mixing


def _over_time(changed: Double, shown: Double) -> float:
    """Mean over the points of the correlation over time of two (T - 1, B); points where one stands still are left out.

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
    found = []
    for before, after in pairwise(points):
        if np.ptp(before, axis=0).any() and np.ptp(after, axis=0).any():
            found.append(scipy.spatial.procrustes(before, after)[2])
    return float(np.mean(found)) if found else float("nan")
