"""How well the model tells the classes apart at the end of each phase of its training."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen
from core.domain.quality import Number


class ClassResult(Frozen):
    """The probe images of one class."""

    name: str
    images: int
    accuracy: Annotated[Number, Field(description="Share predicted right; null where there are no images.")]


class CalibrationBin(Frozen):
    """Probe images of whose prediction the model was about equally sure."""

    images: int
    confidence: Annotated[float, Field(description="Mean probability that the model gave its prediction.")]
    accuracy: Annotated[float, Field(description="Share predicted right.")]


class PhaseReached(Frozen):
    """What the probe set says at the last checkpoint of a phase."""

    phase: str
    step: int
    loss: Annotated[Number, Field(description="Mean cross-entropy over the probe set.")]
    accuracy: Annotated[Number, Field(description="Share of the probe images predicted right.")]


class PhaseEvaluation(PhaseReached):
    """The same in detail."""

    classes: tuple[ClassResult, ...]
    confusion: Annotated[
        tuple[tuple[int, ...], ...], Field(description="Images by class (rows) and predicted class (columns).")
    ]
    calibration_error: Annotated[
        Number,
        Field(description="Mean distance of confidence and accuracy over the bins, by their images; 0 is best."),
    ]
    calibration: Annotated[tuple[CalibrationBin, ...], Field(description="From unsure to sure; empty bins left out.")]


class Evaluation(Frozen):
    """All phases, in order."""

    phases: tuple[PhaseEvaluation, ...]
