"""Files over HTTP with ETag, 304 and a single Range, so that a client can resume a download."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api.http.errors import RangeError, respond
from core.errors import NotReadyError

CHUNK_BYTES = 256 * 1024
"""Size of a piece that is read and sent at a time, bytes. Chosen by hand; not measured."""

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file. `sha256` is its SHA-256 digest, hexadecimal, and its ETag."""

    path: Path
    sha256: str


def of_type(media_type: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that sends a file."""
    content = {media_type: content_of(media_type)}
    return {200: {"description": "The whole file.", "content": content}, **_of_parts(content)}


def content_of(media_type: str) -> dict[str, Any]:
    """Return the OpenAPI description of binary content of one media type."""
    return {"schema": {"type": "string", "contentMediaType": media_type}}


def of_model(model: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI responses of a route that sends a JSON file of this model."""
    piece = {"application/json": {"schema": {"type": "string"}}}
    return {200: {"description": "The whole record.", "model": model}, **_of_parts(piece)}


def _of_parts(content: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    return {
        206: {"description": "The bytes that the Range header requests.", "content": content},
        304: {"description": "The client already has this version (If-None-Match)."},
    }


def matches(request: Request, etag: str) -> bool:
    """Return True if the client already has this version (If-None-Match)."""
    wanted = request.headers.get("if-none-match")
    if wanted is None:
        return False
    offered = [candidate.strip().removeprefix("W/") for candidate in wanted.split(",")]
    return "*" in offered or etag.removeprefix("W/") in offered


def answer(request: Request, stored: StoredFile, media_type: str) -> Response:
    """Respond with the file, the requested range, or 304. Stored files never change, so clients may cache them.

    Raises:
        NotReadyError: the file has just been deleted.
    """
    etag = f'"{stored.sha256}"'
    headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request, etag):
        return Response(status_code=304, headers=headers)
    file, size = _open(stored.path)
    asked = _range(request, etag, size)
    if asked is None or request.method == "HEAD":
        headers["Content-Length"] = str(size)
        return _stream(request, file, (0, size), Response(None, 200, headers, media_type))
    start, end = asked
    if start >= end:
        file.close()
        error = RangeError(f"The file has {size} bytes. Request bytes between 0 and {size - 1}.", field="Range")
        return respond(error, headers={"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Length": str(end - start), "Content-Range": f"bytes {start}-{end - 1}/{size}"}
    return _stream(request, file, asked, Response(None, 206, headers, media_type))


def _stream(request: Request, file: BinaryIO, part: tuple[int, int], head: Response) -> Response:
    """Return the response with bytes [start, end) of the file as its body; without a body for HEAD."""
    if request.method == "HEAD":
        file.close()
        return head
    return StreamingResponse(_read(file, *part), head.status_code, head.headers)


def _open(path: Path) -> tuple[BinaryIO, int]:
    try:
        return path.open("rb"), path.stat().st_size
    except FileNotFoundError as error:
        raise NotReadyError(f"{path.name} is not stored any more.") from error


def _range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Return the requested range as [start, end), or None for the whole file.

    Several ranges and malformed headers are ignored, as RFC 9110 allows.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first, last = match.groups()
    if not first and not last:
        return None
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _read(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with file:
        file.seek(start)
        while start < end and (chunk := file.read(min(CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
