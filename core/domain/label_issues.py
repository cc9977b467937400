"""What looks wrong with the data: labels of probe images, and probe images that the model may have trained on."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import Frozen

MOST_LISTED = 200
"""Label issues, and leaks, that are told one by one."""

Image = Annotated[int, Field(description="Row of the probe set.")]
Row = Annotated[int, Field(description="Row of the evaluation split.")]


class LabelIssue(Frozen):
    """A probe image whose label looks wrong."""

    image: Image
    row: Row
    label: int
    class_name: str
    suggested_label: int
    suggested_class: str
    confidence: Annotated[float, Field(description="Probability that the model gives to the label.")]
    suggested_confidence: Annotated[float, Field(description="Probability that it gives to the suggested class.")]
    thumbnail: Annotated[str, Field(description="The image, at most 64 pixels a side: a PNG as a data URI.")]


class LabelIssues(Frozen):
    """Those that the last checkpoint tells."""

    count: Annotated[int, Field(description="How many there are; at most 200 are listed.")]
    issues: Annotated[tuple[LabelIssue, ...], Field(description="The least likely label first.")]


class TrainTestDuplicate(Frozen):
    """A probe image that is nearly one of the training images."""

    image: Image
    row: Row
    training_row: Annotated[int, Field(description="Row of the training split.")]
    difference: Annotated[float, Field(description="Of the two at the model's size, mean over all values of 0 to 255.")]


class TrainTestDuplicates(Frozen):
    """Evaluation images among those trained on: accuracy is better than it should be by them."""

    count: Annotated[int, Field(description="How many there are; at most 200 are listed.")]
    leaks: Annotated[tuple[TrainTestDuplicate, ...], Field(description="The most alike first.")]


class DataIssues(Frozen):
    """Both."""

    label_issues: LabelIssues
    leaks: TrainTestDuplicates
