import errno

import pytest

from core.errors import InsufficientStorageError, StorageUnavailableError, storage_error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_storage_error__full(number):
    error = storage_error(OSError(number, "no room"), "The film cannot be written")
    assert isinstance(error, InsufficientStorageError)
    assert error.detail.startswith("The film cannot be written: no room. Delete runs")


@pytest.mark.parametrize("cause", [OSError(errno.EROFS, "read-only"), OSError("read-only")])
def test_storage_error__another(cause):
    error = storage_error(cause, "The film cannot be written")
    assert type(error) is StorageUnavailableError
    assert error.detail == "The film cannot be written: read-only."
