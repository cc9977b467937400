"""Accuracy by class, confusion and calibration of a checkpoint.

Calibration: expected calibration error over 15 bins of equal width, as Guo, Pleiss, Sun and Weinberger measure it in
"On Calibration of Modern Neural Networks" (2017).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix

from core.domain.arrays import Embedded, FloatArray, IntArray
from core.domain.evaluation import CalibrationBin, ClassResult, PhaseEvaluation
from core.domain.quality import json_number

N_BINS = 15


def evaluate(phase: str, frame: Embedded, labels: IntArray, *, class_names: Sequence[str]) -> PhaseEvaluation:
    """How one checkpoint does.

    Args:
        phase: the phase that ends there.
        frame: N predictions.
        labels: (N,) the true classes.
        class_names: C names.
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
    """The bins that are not empty, of N_BINS of equal width; one holds its upper edge.

    Args:
        confidences: (N,) probability of each prediction, 0..1.
        right: (N,) whether it was right.
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
