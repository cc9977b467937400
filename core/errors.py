"""Every error that a user can meet, and nothing about how it reaches them.

    EmbedreelError
    ├── InvalidSpecError            a field of the run is wrong
    │   ├── UnknownDatasetError
    │   └── UnknownModelError
    ├── InvalidDatasetError         an uploaded dataset cannot be used
    ├── UploadTooLargeError
    ├── NotFoundError               no such run, dataset, frame
    ├── NotReadyError               it will exist, but does not yet
    ├── ConflictError               the run's state does not allow this
    ├── SourceUnavailableError      a model or dataset cannot be loaded now
    ├── TrainingDivergedError       the loss is no longer a number
    ├── DegenerateEmbeddingsError   the embeddings cannot be measured or drawn
    ├── StageLostError              the worker died under a stage too often
    ├── StageCrashedError           a stage raised something nobody foresaw
    └── StorageUnavailableError     the database or the artifact store does not answer

`type` is a stable slug that clients may match on; the message says what happened and what to do next.
"""

from typing import Any, ClassVar


class EmbedreelError(Exception):
    """Something a user can understand and act on."""

    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    def describe(self) -> dict[str, Any]:
        """The error as plain data: type, title, detail and, where one field is at fault, field."""
        described = {"type": self.type, "title": self.title, "detail": self.detail}
        return described | ({"field": self.field} if self.field else {})


class InvalidSpecError(EmbedreelError):
    """A field of the run is missing, unknown, of the wrong kind or out of its range.

    `field` names it by its path in the body, for example `capture.frames`.
    """

    type = "invalid-spec"
    title = "The run cannot be made as asked"


class UnknownDatasetError(InvalidSpecError):
    """`dataset` is neither built in, nor uploaded, nor a hub id that the operator allows."""

    type = "unknown-dataset"
    title = "There is no such dataset"


class UnknownModelError(InvalidSpecError):
    """`model` is neither a preset nor a hub id that the operator allows."""

    type = "unknown-model"
    title = "There is no such model"


class InvalidDatasetError(EmbedreelError):
    """The uploaded files hold no usable images and labels; the message names the file, column or row."""

    type = "invalid-dataset"
    title = "The dataset cannot be used"


class UploadTooLargeError(EmbedreelError):
    """The upload is larger than this service takes."""

    type = "upload-too-large"
    title = "The upload is too large"


class NotFoundError(EmbedreelError):
    """There is no run, dataset, frame or other thing under this address."""

    type = "not-found"
    title = "There is nothing here"


class NotReadyError(EmbedreelError):
    """The run has not made this yet, or ended before it could."""

    type = "not-ready"
    title = "Not there yet"


class ConflictError(EmbedreelError):
    """What was asked does not fit the state that the run or dataset is in."""

    type = "conflict"
    title = "The state does not allow this"


class SourceUnavailableError(EmbedreelError):
    """A model or dataset could not be loaded from where it is kept."""

    type = "source-unavailable"
    title = "A model or dataset could not be loaded"


class TrainingDivergedError(EmbedreelError):
    """The training loss became NaN or infinite."""

    type = "training-diverged"
    title = "The training diverged"


class DegenerateEmbeddingsError(EmbedreelError):
    """The embeddings are not finite, or all the same, so that nothing can be measured or drawn from them."""

    type = "degenerate-embeddings"
    title = "The embeddings cannot be drawn"


class StageLostError(EmbedreelError):
    """The process that ran a stage died more often than the service tries again."""

    type = "stage-lost"
    title = "A stage was lost too often"


class StageCrashedError(EmbedreelError):
    """A stage ended with an error that this service did not foresee: a defect worth reporting."""

    type = "stage-crashed"
    title = "A stage crashed"


class StorageUnavailableError(EmbedreelError):
    """The database or the artifact store does not answer, or is full."""

    type = "storage-unavailable"
    title = "Storage does not answer"
