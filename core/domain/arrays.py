"""Arrays that stages pass to each other.

In shapes, T is the number of checkpoints, N of probe images, D of features and C of classes.
"""

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
        labels: (N,) int64, indices into class_names.
        rows: (N,) int64, row of each image in the evaluation split.
        class_names: C names.
    """

    images: ImageArray
    labels: IntArray
    rows: IntArray
    class_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrainingLog:
    """The training log: one row for each logged step.

    All arrays are (L,). The steps rise. A value that was not measured is NaN.

    Attributes:
        step: int64, number of finished optimiser steps.
        epoch: float32, number of finished passes over the training images.
        loss: float32, mean training loss of the step's batches; at step 0 the loss of the first batch before any
            update.
        learning_rate: float32, learning rate of the step.
        gradient_norm: float32, norm of the gradient before clipping.
    """

    step: IntArray
    epoch: FloatArray
    loss: FloatArray
    learning_rate: FloatArray
    gradient_norm: FloatArray


@dataclass(frozen=True, slots=True)
class Embedded:
    """One frame: the outputs of one checkpoint for the probe set.

    Attributes:
        embeddings: (N, D) float32, finite.
        predictions: (N,) int64, the class with the largest logit.
        step: number of finished optimiser steps.
        epoch: number of finished passes over the training images.
        loss: evaluation loss, mean cross-entropy over the probe set.
        accuracy: fraction of correct predictions, 0..1.
        confidences: (N,) float32, predicted probability of the predicted class, 0..1.
        probabilities: (N, C) float32, predicted probabilities; None except for the last checkpoint. Label issues are
            found from them.
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
        rows: (B,) int64, rising, the probe images whose neighbours are listed.
        indices: (T, B, k) int32, the neighbours among all N images, nearest first, without the image itself.
    """

    rows: IntArray
    indices: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Projection:
    """The layout of the film.

    Attributes:
        points: (T, N, 2) float32, aligned over time.
        explained_variance: (T,) float32, explained variance ratio of each frame's two axes, 0..1; NaN if the layout has
            no axes.
        best_variance: (T,) float32, explained variance ratio of each frame's first two principal components, 0..1; NaN
            if the layout has no axes.
        smoothing: for smooth_pca, the sigma of the Gaussian over time, in frames. None for one plane for all frames,
            and for other methods.
    """

    points: FloatArray
    explained_variance: FloatArray
    best_variance: FloatArray
    smoothing: float | None = None


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """`Embedded` without the embeddings.

    Attributes:
        step: number of finished optimiser steps.
        epoch: number of finished passes over the training images.
        loss: evaluation loss, mean cross-entropy over the probe set; NaN if it was not measured.
        accuracy: fraction of correct predictions, 0..1; NaN if it was not measured.
        predictions: (N,) int64, the class with the largest logit.
    """

    step: int
    epoch: float
    loss: float
    accuracy: float
    predictions: IntArray
