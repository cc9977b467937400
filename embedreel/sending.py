"""Files on their way to the service, and how many of their bytes have gone."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ProgressCallback = Callable[[int, int], None]
"""Told of bytes sent and bytes in all."""


class Sending:
    """The files of one upload, open while the `with` block runs.

    Attributes:
        total_bytes: of all files.
    """

    def __init__(self, paths: Sequence[Path], told: ProgressCallback | None = None) -> None:
        self.files: list[Counted] = []
        self._told = told
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
        """Bytes that have gone to the connection so far; counted anew when the files are sent again."""
        return sum(file.n_read for file in self.files)

    def form(self) -> list[tuple[str, tuple[str, "Counted"]]]:
        """The files as fields of a multipart form."""
        return [("file", (file.path.name, file)) for file in self.files]

    def _report(self) -> None:
        if self._told:
            self._told(self.sent_bytes, self.total_bytes)

    def _close(self) -> None:
        for file in self.files:
            file.close()


class Counted(io.FileIO):
    """A file that counts what is read of it."""

    def __init__(self, path: Path, told: Callable[[], None]) -> None:
        super().__init__(path)
        self.path = path
        self.n_read = 0
        self._told = told

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place; what lies before it counts as read."""
        self.n_read = super().seek(offset, whence)
        return self.n_read

    def read(self, size: int | None = -1, /) -> bytes:
        """Read, and say so."""
        content = super().read(-1 if size is None else size) or b""
        self.n_read += len(content)
        self._told()
        return content
