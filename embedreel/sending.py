"""Upload the files of a dataset, with a count of the bytes sent."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from embedreel.connection import Connection, Json
from embedreel.errors import UnreachableError, UploadError

UPLOAD_TIMEOUT = httpx.Timeout(1800, connect=5)
"""Timeouts of an upload, seconds. The service responds after it has checked every image.

Chosen by hand; not measured.
"""

ProgressCallback = Callable[[int, int], None]
"""Called with the bytes sent and the total bytes."""


def send_dataset(
    connection: Connection,
    paths: Sequence[Path],
    *,
    name: str | None,
    allow_broken: bool,
    on_progress: ProgressCallback | None,
) -> Json:
    """Upload the files of one dataset. Return the dataset. `Client.upload_dataset` describes arguments and errors."""
    data = ({"name": name} if name else {}) | ({"allow_broken": "true"} if allow_broken else {})
    options = {"data": data, "timeout": UPLOAD_TIMEOUT}
    with Sending(paths, on_progress) as sending:
        try:
            return connection.json("POST", "/v1/datasets", files=sending.form(), repeatable=False, **options)
        except UnreachableError as error:
            if not sending.sent_bytes:
                raise
            progress = {"sent_bytes": sending.sent_bytes, "total_bytes": sending.total_bytes}
            raise UploadError(**progress, reason=error.__cause__) from error


class Sending:
    """The files of one upload. The files are open inside the `with` block.

    Attributes:
        files: the open files.
        total_bytes: sum of the files' sizes.
    """

    def __init__(self, paths: Sequence[Path], on_progress: ProgressCallback | None = None) -> None:
        self.files: list[Counted] = []
        self._on_progress = on_progress
        try:
            for path in paths:
                self.files.append(Counted(path, self._report))
        except BaseException:
            self._close()
            raise
        self.total_bytes = sum(path.stat().st_size for path in paths)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @property
    def sent_bytes(self) -> int:
        """Bytes given to the connection so far. The count restarts when the files are sent again."""
        return sum(file.n_read for file in self.files)

    def form(self) -> list[tuple[str, tuple[str, "Counted"]]]:
        """Return the files as fields of a multipart form."""
        return [("file", (file.path.name, file)) for file in self.files]

    def _report(self) -> None:
        if self._on_progress:
            self._on_progress(self.sent_bytes, self.total_bytes)

    def _close(self) -> None:
        for file in self.files:
            file.close()


class Counted(io.FileIO):
    """A file that counts the bytes read from it.

    Attributes:
        path: path of the file.
        n_read: position of the next byte to read, which is the number of bytes read so far.
    """

    def __init__(self, path: Path, on_read: Callable[[], None]) -> None:
        super().__init__(path)
        self.path = path
        self.n_read = 0
        self._on_read = on_read

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position. The bytes before it count as read."""
        self.n_read = super().seek(offset, whence)
        return self.n_read

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes and report the progress."""
        content = super().read(-1 if size is None else size) or b""
        self.n_read += len(content)
        self._on_read()
        return content
