"""Write the files of a multipart upload to disk, piece by piece, with limits on bytes, files and names.

The stored files get generated names. The user's file names are only recorded and never used as paths. This module does
not decode the files: `core.data.intake` decodes them in a child process.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from api.http.errors import MalformedBodyError, MediaTypeError
from core.errors import InvalidDatasetError, InvalidSpecError, UploadTooLargeError, storage_error

MAX_FILES = 256
"""Maximum number of files of an upload. Chosen by hand; not measured."""

MAX_NAME_BYTES = 400
"""Maximum length of a text field, bytes. Chosen by hand; not measured."""

TEXT_FIELDS = ("name", "allow_broken")
YES_OR_NO = {"true": True, "1": True, "false": False, "0": False}
FRAMING_BYTES = 1 << 20
"""Maximum size of boundaries and part headers together, bytes. Chosen by hand; not measured."""


@dataclass
class Upload:
    """A received upload.

    Attributes:
        folder: folder of the files.
        names: the user's name of each file, by the file's name in `folder`.
        name: name of the dataset; None if the user gave no name.
        allow_broken: True leaves out images that cannot be used; False refuses the upload.
    """

    folder: Path
    names: dict[str, str] = field(default_factory=dict)
    name: str | None = None
    allow_broken: bool = False

    def identity(self) -> dict[str, Any]:
        """Return the content that identifies the upload: names, SHA-256 digests of the files, and options."""
        digests = []
        for stored, given in self.names.items():
            with (self.folder / stored).open("rb") as file:
                digests.append([given, hashlib.file_digest(file, "sha256").hexdigest()])
        allowed = {"allow_broken": True} if self.allow_broken else {}
        return {"name": self.name, "files": digests, **allowed}


async def receive(request: Request, folder: Path, *, max_bytes: int, threads: CapacityLimiter | None = None) -> Upload:
    """Write the files of a multipart body into a folder.

    Args:
        request: the request. Its body is read to the end.
        folder: an empty folder for the files.
        max_bytes: maximum size of all files together, bytes.
        threads: limiter of the threads that write; None uses the threads of all routes.

    Returns:
        The received upload.

    Raises:
        UploadTooLargeError: the body has more bytes than `max_bytes`.
        MediaTypeError: the body is not multipart/form-data.
        MalformedBodyError: the body is not valid multipart data, or ends early.
        InvalidDatasetError: the body has no file, or more than MAX_FILES files.
        InvalidSpecError: the body has an unknown field, or a field has an invalid value.
        StorageUnavailableError: a file cannot be written.
        InsufficientStorageError: the disk is full.
    """
    media_type, options = parse_options_header(request.headers.get("content-type"))
    if media_type != b"multipart/form-data" or not options.get(b"boundary"):
        raise MediaTypeError("Send a ZIP or Parquet files as multipart/form-data, for example: curl -F file=@pets.zip.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > max_bytes + FRAMING_BYTES:
        raise _too_large(max_bytes)
    parts = _Parts(Upload(folder), max_bytes)
    try:
        parser = MultipartParser(options[b"boundary"], parts.callbacks())  # type: ignore[arg-type]
        await _feed(parser, request.stream(), max_bytes, threads)
    except FormParserError as error:
        raise MalformedBodyError(f"The multipart body is not valid: {error}.") from error
    except ClientDisconnect as error:  # the client is gone, but the log must show no failure of the service
        raise MalformedBodyError("The client disconnected before the multipart body ended.") from error
    finally:
        parts.close()
    if not parts.ended:
        raise MalformedBodyError("The multipart body ends early. Send it again.")
    if not parts.upload.names:
        raise InvalidDatasetError(
            "The upload has no file. Send one ZIP, or one or more Parquet files, as parts named file.", field="file"
        )
    return parts.upload


async def _feed(
    parser: MultipartParser, pieces: AsyncIterator[bytes], max_bytes: int, threads: CapacityLimiter | None
) -> None:
    received = 0
    async for piece in pieces:
        received += len(piece)
        if received > max_bytes + FRAMING_BYTES:
            raise _too_large(max_bytes)
        try:
            await run_sync(parser.write, piece, limiter=threads)
        except OSError as error:
            raise storage_error(error, "The upload cannot be written") from error


def _too_large(max_bytes: int) -> UploadTooLargeError:
    return UploadTooLargeError(
        f"This service accepts uploads of at most {max_bytes} bytes (EMBEDREEL_MAX_UPLOAD_BYTES). Upload fewer images."
    )


class _Parts:
    """Callbacks of the multipart parser. They write file parts to files and read text parts into the `Upload`."""

    def __init__(self, upload: Upload, max_bytes: int) -> None:
        self.upload = upload
        self._max_bytes = max_bytes
        self._left = max_bytes
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._header = self._value = b""
        self._file: BinaryIO | None = None
        self._field = ""
        self._text = b""

    def callbacks(self) -> dict[str, object]:
        """Return the callbacks by the names that the parser uses."""
        names = ["part_begin", "header_field", "header_value", "header_end", "headers_finished"]
        names += ["part_data", "part_end", "end"]
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        self._headers, self._text = {}, b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header = self._value = b""

    def headers_finished(self) -> None:
        """Open a file if the part is a file. Any other part must be one of TEXT_FIELDS."""
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        part = options.get(b"name", b"").decode(errors="replace")
        self._field = part
        if part == "file":
            if len(self.upload.names) == MAX_FILES:
                raise InvalidDatasetError(
                    f"The upload has more than {MAX_FILES} files. Merge some files.", field="file"
                )
            generated = f"{len(self.upload.names):05d}.upload"
            given = options.get(b"filename", b"").decode(errors="replace").replace("\\", "/")
            self.upload.names[generated] = _printable(given.rpartition("/")[2]) or generated
            self._file = (self.upload.folder / generated).open("xb")
        elif part not in TEXT_FIELDS:
            raise InvalidSpecError(
                f"The field {part[:80]!r} is unknown. The fields are file, {' and '.join(TEXT_FIELDS)}.",
                field=part[:80] or None,
            )

    def part_data(self, data: bytes, start: int, end: int) -> None:
        if self._file:
            self._left -= end - start
            if self._left < 0:
                raise _too_large(self._max_bytes)
            self._file.write(memoryview(data)[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_NAME_BYTES:
            raise InvalidSpecError(f"{self._field} is longer than {MAX_NAME_BYTES} bytes.", field=self._field)

    def part_end(self) -> None:
        if self._file:
            self.close()
            return
        text = _printable(self._text.decode(errors="replace")).strip()
        if self._field == "name":
            self.upload.name = text or None
        else:
            self.upload.allow_broken = _yes_or_no(text, field=self._field)

    def end(self) -> None:
        self.ended = True

    def close(self) -> None:
        """Close the open file, if there is one. The body may have ended early."""
        if self._file:
            self._file.close()
            self._file = None


def _yes_or_no(text: str, *, field: str) -> bool:
    if text.lower() not in YES_OR_NO:
        raise InvalidSpecError(f"{field} is {text[:80]!r}. Send true or false.", field=field)
    return YES_OR_NO[text.lower()]


def _printable(text: str) -> str:
    """Remove characters that are not printable, because databases and terminals mishandle them. Keep 200 at most."""
    return "".join(character for character in text if character.isprintable())[:200]
