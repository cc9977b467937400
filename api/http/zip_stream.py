"""A few files as one ZIP, made while it is sent. Nothing is compressed: weights would hardly get smaller."""

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
    304: {"description": "The client has it already (If-None-Match)."},
}
"""What the API's description says of its answers."""
_READABLE = 0o644 << 16
_LARGE_BYTES = 1 << 30
"""A larger ZIP is sent without its length: its headers may be longer."""


@dataclass(frozen=True, slots=True)
class Member:
    """A file of the ZIP: one of the store, or its bytes."""

    name: str
    content: StoredFile | bytes

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.content).hexdigest() if isinstance(self.content, bytes) else self.content.sha256

    def open(self) -> BinaryIO:
        """Its bytes, to be read.

        Raises:
            NotReadyError: it has just been deleted.
        """
        if isinstance(self.content, bytes):
            return io.BytesIO(self.content)
        try:
            return self.content.path.open("rb")
        except FileNotFoundError as error:
            raise NotReadyError(f"{self.name} is not stored any more.") from error


@dataclass(frozen=True, slots=True)
class _Entry:
    """A member, open."""

    name: str
    size: int
    file: BinaryIO


class _Outlet:
    """What a ZIP is written to: it cannot go back, and is emptied again and again."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, content: bytes) -> int:
        self._written += content
        return len(content)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Nothing is open."""

    def taken(self) -> bytes:
        content = bytes(self._written)
        self._written.clear()
        return content


def answer(request: Request, members: Sequence[Member], *, filename: str) -> Response:
    """The ZIP of these files, or 304. Equal files make equal bytes.

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
    """Bytes of the ZIP: those of the files, and those around them."""
    empty = [_Entry(entry.name, 0, io.BytesIO()) for entry in entries]
    return sum(map(len, _packed(empty))) + sum(entry.size for entry in entries)


def _sent(entries: Iterable[_Entry], files: ExitStack) -> Iterator[bytes]:
    with files:
        yield from _packed(entries)


def _packed(entries: Iterable[_Entry]) -> Iterator[bytes]:
    outlet = _Outlet()
    with ZipFile(outlet, "w", ZIP_STORED) as archive:
        for entry in entries:
            info = ZipInfo(entry.name)  # of 1980, so that the bytes are always the same
            info.external_attr, info.file_size = _READABLE, entry.size
            entry.file.seek(0)
            with archive.open(info, "w") as packed:
                while chunk := entry.file.read(CHUNK_BYTES):
                    packed.write(chunk)
                    yield outlet.taken()
    yield outlet.taken()
