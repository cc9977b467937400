"""Issues of the data: probe images with suspicious labels, and probe images that resemble training images."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen

MOST_LISTED = 200
"""Largest number of label issues, and of duplicates, that are listed. Chosen by hand; not measured."""

Image = Annotated[int, Field(description="Row of the probe set.")]
Row = Annotated[int, Field(description="Row of the evaluation split.")]


class LabelIssue(Frozen):
    """A probe image whose label is probably wrong."""

    image: Image
    row: Row
    label: int
    class_name: str
    suggested_label: int
    suggested_class: str
    confidence: Annotated[float, Field(description="Predicted probability of the label.")]
    suggested_confidence: Annotated[float, Field(description="Predicted probability of the suggested class.")]
    thumbnail: Annotated[str, Field(description="The image as a data URI of a PNG with sides of at most 64 pixels.")]


class LabelIssues(Frozen):
    """Label issues that are found from the predictions of the last checkpoint."""

    count: Annotated[int, Field(description="Number of all issues; at most 200 are listed.")]
    issues: Annotated[tuple[LabelIssue, ...], Field(description="The least likely label first.")]


class TrainTestDuplicate(Frozen):
    """A probe image that is nearly equal to a training image."""

    image: Image
    row: Row
    training_row: Annotated[int, Field(description="Row of the training split.")]
    difference: Annotated[
        float,
        Field(
            description="Mean absolute difference of the two images at the model's input size, in pixel values of 0 "
            "to 255."
        ),
    ]


class TrainTestDuplicates(Frozen):
    """Probe images that are nearly equal to training images. They make the accuracy too high."""

    count: Annotated[int, Field(description="Number of all duplicates; at most 200 are listed.")]
    leaks: Annotated[tuple[TrainTestDuplicate, ...], Field(description="The smallest difference first.")]


class DataIssues(Frozen):
    """Label issues and train-test duplicates of a run."""

    label_issues: LabelIssues
    leaks: TrainTestDuplicates
