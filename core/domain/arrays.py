"""What stages hand to each other, with shapes. T checkpoints, N probe images, D features, C classes."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]
IntArray: TypeAlias = NDArray[np.int64]
ImageArray: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ProbeSet:
    """The fixed images that are embedded at every checkpoint.

    Attributes:
        images: (N, S, S, 3) uint8 RGB, at the model's input size.
        labels: (N,) int64, index into class_names.
        rows: (N,) int64, row of each image in its split.
        class_names: C names.
    """

    images: ImageArray
    labels: IntArray
    rows: IntArray
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """A row a logged step; arrays are (L,), rising by step, NaN where nothing was measured.

    Attributes:
        step: int64, optimiser steps done.
        epoch: float32, passes over the training images done.
        loss: float32, mean training loss of the step's batches; at step 0 the loss of the first batch before any
            update.
        learning_rate: float32, rate used by the step.
        gradient_norm: float32, before clipping.
    """

    step: IntArray
    epoch: FloatArray
    loss: FloatArray
    learning_rate: FloatArray
    gradient_norm: FloatArray


@dataclass(frozen=True, slots=True)
class Embedded:
    """One frame: the probe set seen by one checkpoint.

    Attributes:
        embeddings: (N, D) float32, finite.
        predictions: (N,) int64, the class with the largest logit.
        step: optimiser steps done.
        epoch: passes over the training images done.
        loss: evaluation loss, mean cross-entropy over the probe set.
        accuracy: share predicted right, 0..1.
        confidences: (N,) float32, the probability that the model gives its prediction, 0..1.
        probabilities: (N, C) float32, of the last checkpoint only: what label issues are found by.
    """

    embeddings: FloatArray
    predictions: IntArray
    step: int
    epoch: float
    loss: float
    accuracy: float
    confidences: FloatArray
    probabilities: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class OutlierScores:
    """Scores of every probe image at every checkpoint.

    Attributes:
        distance: (T, N) float32, mean cosine distance to the k nearest neighbours. Higher = more outlying;
            comparable across frames.
        cleanlab: (T, N) float32 in 0..1, cleanlab's own score. Lower = more outlying; not comparable across frames.
    """

    distance: FloatArray
    cleanlab: FloatArray


@dataclass(frozen=True, slots=True)
class NeighborGraph:
    """The nearest neighbours of some probe images at every checkpoint, in the representation.

    Attributes:
        rows: (B,) int64, whose neighbours they are, rising.
        indices: (T, B, k) int32, among all N, nearest first, without the point itself.
    """

    rows: IntArray
    indices: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Projection:
    """The layout of the film.

    Attributes:
        points: (T, N, 2) float32, aligned over time.
        explained_variance: (T,) float32, share of each frame's variance that its two axes show, 0..1; NaN where the
            layout has no axes.
        best_variance: (T,) float32, share that each frame's own two widest axes would show; NaN likewise.
        smoothing: sigma in frames by which smooth_pca's axes turn; None for one plane, and for other methods.
    """

    points: FloatArray
    explained_variance: FloatArray
    best_variance: FloatArray
    smoothing: float | None = None


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What one frame says beside its points: `Embedded` without the embeddings.

    Attributes:
        step: optimiser steps done.
        epoch: passes over the training images done.
        loss: evaluation loss, mean cross-entropy over the probe set; NaN where it was not measured.
        accuracy: share predicted right, 0..1; NaN where it was not measured.
        predictions: (N,) int64, the class with the largest logit.
    """

    step: int
    epoch: float
    loss: float
    accuracy: float
    predictions: IntArray
