"""Every error that a user can meet, and nothing about how it reaches them.

    EmbedreelError
    ├── InvalidSpecError            a field of the request is wrong
    │   ├── UnknownDatasetError
    │   ├── UnknownModelError
    │   └── UnusableModelError      a model that is allowed cannot be trained as asked
    ├── InvalidDatasetError         an uploaded dataset cannot be used
    ├── UploadTooLargeError
    ├── NotFoundError               no such run, dataset, frame
    ├── NotReadyError               it will exist, but does not yet
    ├── ConflictError               the run's state does not allow this
    ├── SourceUnavailableError      a model or dataset cannot be loaded now
    ├── TrainingDivergedError       the loss is no longer a number
    ├── DegenerateEmbeddingsError   the embeddings cannot be measured or drawn
    ├── RunTimedOutError            the run went on for longer than the service allows
    ├── UnusableStateError          a training cannot continue from what was stored
    ├── StageLostError              the worker died under a stage too often
    ├── StageCrashedError           a stage raised something nobody foresaw
    ├── QuotaExceededError          the tenant has as much of something as the operator allows
    └── StorageUnavailableError     the database or the artifact store does not answer
        └── InsufficientStorageError    its disk is full

`type` is a stable slug that clients may match on; the message says what happened and what to do next.
"""

import errno
from typing import Any, ClassVar


class EmbedreelError(Exception):
    """Something went wrong that has no type of its own."""

    type: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    wait_seconds: float | None = None
    """How long until the same may be worth trying again; None where that is not known, or never."""

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field

    def describe(self) -> dict[str, Any]:
        """The error as plain data: type, title, detail and, where one field is at fault, field."""
        described = {"type": self.type, "title": self.title, "detail": self.detail}
        return described | ({"field": self.field} if self.field else {})


class InvalidSpecError(EmbedreelError):
    """A field of the request is missing, unknown, of the wrong kind or out of its range.

    `field` names it by its path in the body, for example `capture.frames`.
    """

    type = "invalid-spec"
    title = "The request cannot be done as asked"


class UnknownDatasetError(InvalidSpecError):
    """`dataset` is neither built in, nor uploaded, nor a hub id that the operator allows."""

    type = "unknown-dataset"
    title = "There is no such dataset"


class UnknownModelError(InvalidSpecError):
    """`model` is neither a preset nor a hub id that the operator allows."""

    type = "unknown-model"
    title = "There is no such model"


class UnusableModelError(InvalidSpecError):
    """The checkpoint that `model` names is no image classifier that this service can train, or not in this way.

    The message says what it lacks, or names the families that can be asked for. Trying again does not help.
    """

    type = "unusable-model"
    title = "The model cannot be used"


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


class RunTimedOutError(EmbedreelError):
    """The run went on for longer than the operator allows."""

    type = "run-timed-out"
    title = "The run took too long"


class UnusableStateError(EmbedreelError):
    """A stored training state does not fit the model or cannot be read; the training begins anew."""

    type = "unusable-state"
    title = "The training cannot continue"


class StageLostError(EmbedreelError):
    """The process that ran a stage died more often than the service tries again."""

    type = "stage-lost"
    title = "A stage was lost too often"


class StageCrashedError(EmbedreelError):
    """A stage ended with an error that this service did not foresee: a defect worth reporting."""

    type = "stage-crashed"
    title = "A stage crashed"


class QuotaExceededError(EmbedreelError):
    """You have as many runs in flight, or as many datasets, as the operator allows a tenant.

    Where waiting is enough, `Retry-After` says how long; otherwise the message says what to delete.
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
    """The disk of the database or of the artifact store is full, or nearly. Nothing was changed."""

    type = "insufficient-storage"
    title = "The disk is full"


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
MAKE_ROOM = "Delete runs or datasets that nobody needs, or ask the operator for more disk space."


def storage_error(error: OSError, what: str) -> StorageUnavailableError:
    """The error of a file that could not be written: `what` says which, without a full stop."""
    if error.errno in FULL:
        return InsufficientStorageError(f"{what}: {error.strerror}. {MAKE_ROOM}")
    return StorageUnavailableError(f"{what}: {error.strerror or error}.")
