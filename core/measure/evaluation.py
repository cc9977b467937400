"""Accuracy per class, confusion matrix and calibration of a checkpoint.

Calibration is measured by the expected calibration error (ECE) over bins of equal width.

References:
    Guo, Pleiss, Sun, Weinberger: On calibration of modern neural networks. arXiv:1706.04599.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from core.domain.arrays import Embedded, FloatArray, IntArray
from core.domain.evaluation import CalibrationBin, ClassResult, PhaseEvaluation
from core.domain.quality import json_number

N_BINS = 15
"""Number of bins, as in Guo et al."""


def evaluate(phase: str, frame: Embedded, labels: IntArray, *, class_names: Sequence[str]) -> PhaseEvaluation:
    """Evaluate one checkpoint on the probe images.

    ECE = sum_b n_b |confidence_b - accuracy_b| / N over the bins b.

    Args:
        phase: name of the phase that ends with this checkpoint.
        frame: predictions and confidences of N probe images.
        labels: (N,) int64, true classes.
        class_names: C names.

    Returns:
        The evaluation. Rows of the confusion matrix (C, C) are true classes; columns are predicted classes.
    """
    confusion = confusion_matrix(labels, frame.predictions, labels=np.arange(len(class_names)))
    bins = calibration(frame.confidences, frame.predictions == labels)
    error = sum(one.images * abs(one.confidence - one.accuracy) for one in bins) / len(labels)
    return PhaseEvaluation(
        phase=phase,
        step=frame.step,
        loss=json_number(frame.loss),
        accuracy=json_number(frame.accuracy),
        classes=tuple(
            ClassResult(
                name=name, images=int(row.sum()), accuracy=json_number(row[place] / row.sum()) if row.any() else None
            )
            for place, (name, row) in enumerate(zip(class_names, confusion, strict=True))
        ),
        confusion=tuple(map(tuple, confusion.tolist())),
        calibration_error=json_number(error),
        calibration=tuple(bins),
    )


def calibration(confidences: FloatArray, right: NDArray[np.bool_]) -> list[CalibrationBin]:
    """Group predictions into N_BINS bins of equal width by confidence. Each bin includes its upper edge.

    Args:
        confidences: (N,) float32, probability of each prediction, 0..1.
        right: (N,) bool, True if the prediction is correct.

    Returns:
        The bins that are not empty, by rising confidence.
    """
    place = np.clip(np.ceil(confidences.astype(np.float64) * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    return [
        CalibrationBin(
            images=int(inside.sum()),
            confidence=json_number(confidences[inside].mean(dtype=np.float64)),
            accuracy=json_number(right[inside].mean()),
        )
        for inside in (place == number for number in range(N_BINS))
        if inside.any()
    ]
