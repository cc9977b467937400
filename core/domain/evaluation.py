"""The evaluation of the model on the probe set at the end of each phase."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen
from core.domain.quality import Number


class ClassResult(Frozen):
    """Result for the probe images of one class."""

    name: str
    images: int
    accuracy: Annotated[
        Number, Field(description="Fraction of correct predictions; null if the class has no probe images.")
    ]


class CalibrationBin(Frozen):
    """Probe images with a similar confidence of the prediction."""

    images: int
    confidence: Annotated[float, Field(description="Mean predicted probability of the predicted class.")]
    accuracy: Annotated[float, Field(description="Fraction of correct predictions.")]


class PhaseReached(Frozen):
    """Loss and accuracy on the probe set at the last checkpoint of a phase."""

    phase: str
    step: int
    loss: Annotated[Number, Field(description="Mean cross-entropy over the probe set.")]
    accuracy: Annotated[Number, Field(description="Fraction of correct predictions on the probe set.")]


class PhaseEvaluation(PhaseReached):
    """Loss, accuracy, confusion matrix and calibration at the last checkpoint of a phase."""

    classes: tuple[ClassResult, ...]
    confusion: Annotated[
        tuple[tuple[int, ...], ...],
        Field(description="Number of images by true class (rows) and predicted class (columns)."),
    ]
    calibration_error: Annotated[
        Number,
        Field(
            description="Expected calibration error: mean difference of confidence and accuracy over the bins, "
            "weighted by their numbers of images; 0 is best."
        ),
    ]
    calibration: Annotated[tuple[CalibrationBin, ...], Field(description="Bins with images, lowest confidence first.")]


class Evaluation(Frozen):
    """The evaluations of all phases, in order."""

    phases: tuple[PhaseEvaluation, ...]
