"""A limit on concurrent uploads in this process, and separate threads for uploads.

An upload needs disk space while it is received, and a thread and a process of up to 4 GiB while it is inspected. The
number of concurrent uploads is therefore limited. Uploads have their own threads, so that they do not block the threads
of other routes.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

from api.http.errors import UploadsBusyError

INSPECTED_AT_ONCE = 2
"""Maximum number of uploads that are inspected at a time. Further uploads wait without a thread.

Chosen by hand; not measured. Each inspection may use 4 GiB of memory.
"""


class UploadSlots:
    """Places for concurrent uploads.

    Args:
        most: maximum number of concurrent uploads.

    Attributes:
        receiving: threads for short work: quota checks and writing received bytes.
        inspecting: threads for long work: inspecting and storing the files.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self.receiving = CapacityLimiter(most)
        self.inspecting = CapacityLimiter(min(most, INSPECTED_AT_ONCE))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Occupy a place until the end of the block. Enter the block only in the event loop.

        Raises:
            UploadsBusyError: all places are occupied.
        """
        if self._taken >= self._most:
            raise UploadsBusyError(
                f"{self._taken} uploads are under way, which is the maximum of this service "
                "(EMBEDREEL_MAX_UPLOADS). Try again when an upload has ended."
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
