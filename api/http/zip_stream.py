"""Stream several files as one uncompressed ZIP. Model weights hardly compress, so compression is not worth its time."""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO
from zipfile import ZIP_STORED, ZipFile, ZipInfo

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from api.http.files import CHUNK_BYTES, StoredFile, matches
from core.errors import NotReadyError

MEDIA_TYPE = "application/zip"
DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The ZIP.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string", "contentMediaType": MEDIA_TYPE}}},
    },
    304: {"description": "The client already has this version (If-None-Match)."},
}
"""OpenAPI responses of a route that sends a ZIP."""
_READABLE = 0o644 << 16
_LARGE_BYTES = 1 << 30
"""From this size on, no Content-Length is sent: ZIP64 headers would make the computed length wrong.

The value is chosen by hand, below the 2 GiB from which `zipfile` writes ZIP64 headers.
"""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the ZIP: a stored file, or bytes in memory."""

    name: str
    content: StoredFile | bytes

    @property
    def sha256(self) -> str:
        """SHA-256 digest of the content, hexadecimal."""
        return hashlib.sha256(self.content).hexdigest() if isinstance(self.content, bytes) else self.content.sha256

    def open(self) -> BinaryIO:
        """Open the content for reading.

        Raises:
            NotReadyError: the file has just been deleted.
        """
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        try:
            return self.content.path.open("rb")
        except FileNotFoundError as error:
            raise NotReadyError(f"{self.name} is not stored any more.") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    """An opened member; `size` in bytes."""

    name: str
    size: int
    file: BinaryIO


class _Outlet:
    """The output of `ZipFile`: a buffer without seek, which is drained after each write."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: bytes) -> int:
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Do nothing: `ZipFile` needs the method."""

    def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def drain(self) -> bytes:
        """Return the bytes written since the last call."""
        content = bytes(self._written)
        self._written.clear()
        return content


def answer(request: Request, members: Sequence[Member], *, filename: str) -> Response:
    """Respond with a ZIP of the members, or 304 if the client already has this version. Equal members make equal bytes.

    Raises:
        NotReadyError: a file has just been deleted.
    """
    named = "".join(f"{member.name} {member.sha256}\n" for member in members)
    headers = {
        "ETag": f'"{hashlib.sha256(named.encode()).hexdigest()}"',
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = f'attachment; filename="{filename}"'
    with ExitStack() as files:
        entries = [_opened(member, files) for member in members]
        if (size := _size(entries)) < _LARGE_BYTES:
            headers["Content-Length"] = str(size)
        if request.method == "HEAD":
            return Response(None, 200, headers, MEDIA_TYPE)
        return StreamingResponse(_sent(entries, files.pop_all()), 200, headers, MEDIA_TYPE)


def _opened(member: Member, files: ExitStack) -> _Entry:
    file = files.enter_context(member.open())
    return _Entry(member.name, file.seek(0, io.SEEK_END), file)


def _size(entries: Iterable[_Entry]) -> int:
    """Return the size of the ZIP in bytes: the files' sizes plus the ZIP's own headers."""
    empty = [_Entry(entry.name, 0, io.BytesIO()) for entry in entries]
    return sum(map(len, _packed(empty))) + sum(entry.size for entry in entries)


def _sent(entries: Iterable[_Entry], files: ExitStack) -> Iterator[bytes]:
    with files:
        yield from _packed(entries)


def _packed(entries: Iterable[_Entry]) -> Iterator[bytes]:
    outlet = _Outlet()
    with ZipFile(outlet, "w", ZIP_STORED) as archive:
        for entry in entries:
            info = ZipInfo(entry.name)  # its default date is in 1980, so that equal files make equal bytes
            info.external_attr, info.file_size = _READABLE, entry.size
            entry.file.seek(0)
            with archive.open(info, "w") as packed:
                while chunk := entry.file.read(CHUNK_BYTES):
                    packed.write(chunk)
                    yield outlet.drain()
    yield outlet.drain()
