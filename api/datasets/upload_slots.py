"""How many uploads may be under way in this process, and the threads that they may hold.

An upload holds disk space while it is received, and a thread and a process of up to 4 GiB while it is inspected. So
there are few at a time, on threads of their own: all other routes keep theirs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

from api.http.errors import UploadsBusyError

INSPECTED_AT_ONCE = 2
"""Uploads that are inspected side by side. The others wait without a thread."""


class UploadSlots:
    """Places for uploads.

    Attributes:
        receiving: threads for the short work of an upload that is received.
        inspecting: threads for the long work: inspecting and storing its files.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._taken = 0
        self.receiving = CapacityLimiter(most)
        self.inspecting = CapacityLimiter(min(most, INSPECTED_AT_ONCE))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the block. To be entered in the event loop only.

        Raises:
            UploadsBusyError: none is free.
        """
        if self._taken >= self._most:
            raise UploadsBusyError(
                f"{self._taken} uploads are under way, and this service takes no more at a time "
                "(EMBEDREEL_MAX_UPLOADS). Try again when one has ended."
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
