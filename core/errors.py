"""Every error that a user can get. This module knows nothing of HTTP.

    EmbedreelError
    ├── InvalidSpecError            a field of the request is wrong
    │   ├── UnknownDatasetError
    │   ├── UnknownModelError
    │   └── UnusableModelError      an allowed model cannot be trained as requested
    ├── InvalidDatasetError         an uploaded dataset cannot be used
    ├── UploadTooLargeError
    ├── NotFoundError               no such run, dataset, frame
    ├── NotReadyError               the thing does not exist yet
    ├── ConflictError               the run's state does not allow this
    ├── SourceUnavailableError      a model or dataset cannot be loaded now
    ├── TrainingDivergedError       the loss is no longer a number
    ├── DegenerateEmbeddingsError   the embeddings cannot be measured or drawn
    ├── RunTimedOutError            the run went on for longer than the service allows
    ├── UnusableStateError          a training cannot resume from the stored state
    ├── StageLostError              the workers of a stage died too often
    ├── StageCrashedError           a stage raised an unexpected error
    ├── QuotaExceededError          the tenant has reached a limit of the operator
    └── StorageUnavailableError     the database or the artifact store does not answer
        └── InsufficientStorageError    the disk of either is full

`type` is a stable slug that clients may match. The message says what happened and what to do next.
"""

import errno
from typing import Any, ClassVar


class EmbedreelError(Exception):
    """The base class of all errors."""

    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    wait_seconds: float | None = None
    """Seconds after which a new try may succeed; None if the time is not known or a new try cannot succeed."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    def describe(self) -> dict[str, Any]:
        """Return the error as plain data: type, title, detail, and the field if one field is wrong."""
        described = {"type": self.type, "title": self.title, "detail": self.detail}
        return described | ({"field": self.field} if self.field else {})


class InvalidSpecError(EmbedreelError):
    """A field of the request is missing, unknown, of the wrong type or out of range.

    `field` is the path of the field in the body, for example `capture.frames`.
    """

    type = "invalid-spec"
    title = "The request cannot be done as asked"


class UnknownDatasetError(InvalidSpecError):
    """`dataset` is not a built-in dataset, an uploaded dataset, or a hub id that the operator allows."""

    type = "unknown-dataset"
    title = "There is no such dataset"


class UnknownModelError(InvalidSpecError):
    """`model` is not a preset or a hub id that the operator allows."""

    type = "unknown-model"
    title = "There is no such model"


class UnusableModelError(InvalidSpecError):
    """This service cannot train the checkpoint of `model` as an image classifier, or not with the requested options.

    The message says what the checkpoint lacks, or lists the supported model families. A new try does not help.
    """

    type = "unusable-model"
    title = "The model cannot be used"


class InvalidDatasetError(EmbedreelError):
    """The uploaded files contain no usable images and labels. The message names the file, column or row."""

    type = "invalid-dataset"
    title = "The dataset cannot be used"


class UploadTooLargeError(EmbedreelError):
    """The upload is larger than the limit of this service."""

    type = "upload-too-large"
    title = "The upload is too large"


class NotFoundError(EmbedreelError):
    """There is no run, dataset, frame or other resource at this address."""

    type = "not-found"
    title = "There is nothing here"


class NotReadyError(EmbedreelError):
    """The run has not made this resource yet, or ended without making it."""

    type = "not-ready"
    title = "Not there yet"


class ConflictError(EmbedreelError):
    """The state of the run or dataset does not allow the request."""

    type = "conflict"
    title = "The state does not allow this"


class SourceUnavailableError(EmbedreelError):
    """A model or dataset could not be loaded from its source."""

    type = "source-unavailable"
    title = "A model or dataset could not be loaded"


class TrainingDivergedError(EmbedreelError):
    """The training loss became NaN or infinite."""

    type = "training-diverged"
    title = "The training diverged"


class DegenerateEmbeddingsError(EmbedreelError):
    """The embeddings are not finite or are all equal, so that they cannot be measured or drawn."""

    type = "degenerate-embeddings"
    title = "The embeddings cannot be drawn"


class RunTimedOutError(EmbedreelError):
    """The run took longer than the operator allows."""

    type = "run-timed-out"
    title = "The run took too long"


class UnusableStateError(EmbedreelError):
    """A stored training state does not fit the model or cannot be read. The training starts from the beginning."""

    type = "unusable-state"
    title = "The training cannot continue"


class StageLostError(EmbedreelError):
    """The process of a stage died too often, and the service does not try again."""

    type = "stage-lost"
    title = "A stage was lost too often"


class StageCrashedError(EmbedreelError):
    """A stage ended with an unexpected error. This is a defect: please report it."""

    type = "stage-crashed"
    title = "A stage crashed"


class QuotaExceededError(EmbedreelError):
    """The tenant has as many queued and running runs, or as many datasets, as the operator allows.

    If waiting is enough, `Retry-After` says how long. Otherwise the message says what to delete.
    """

    type = "quota-exceeded"
    title = "The quota is used up"

    def __init__(self, detail: str, *, wait_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.wait_seconds = wait_seconds


class StorageUnavailableError(EmbedreelError):
    """The database or the artifact store does not answer."""

    type = "storage-unavailable"
    title = "Storage does not answer"


class InsufficientStorageError(StorageUnavailableError):
    """The disk of the database or of the artifact store is full or nearly full. The request changed nothing."""

    type = "insufficient-storage"
    title = "The disk is full"


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MAKE_ROOM = "Delete runs or datasets that you do not need, or ask the operator for more disk space."


def storage_error(error: OSError, what: str) -> StorageUnavailableError:
    """Return the error of a file that could not be written.

    Args:
        error: the error of the operating system.
        what: a clause that names the file, without a full stop.
    """
    if error.errno in FULL:
        return InsufficientStorageError(f"{what}: {error.strerror}. {MAKE_ROOM}")
    return StorageUnavailableError(f"{what}: {error.strerror or error}.")
