"""List and read the entries of an untrusted ZIP.

`zipfile` reads only the central directory. This module checks the directory against the local headers, unpacks the
entries in memory, and limits the bytes that are really read and unpacked. Nothing is written to the disk.
"""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.data.limits import MAX_ZIP_BYTES, MAX_ZIP_RATIO
from core.data.zip.entry_names import is_archive, is_hidden, read_name, shown
from core.errors import InvalidDatasetError

DIRECTORY_BYTES = 512
"""Maximum size of the central directory for each allowed entry. Memory holds the directory. Chosen by hand."""
PIECE_BYTES = 1 << 18
"""Maximum number of bytes that are read or unpacked at a time. Chosen by hand; not measured."""
FREE_BYTES = 16 << 20
"""Number of bytes that may be unpacked whatever the ratio, because line drawings compress well. Chosen by hand."""

_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_FLAG = 0x800


class DamagedEntryError(Exception):
    """An entry is not as the directory describes it. The message is the cause, without a subject."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an archive, as the central directory describes it.

    Attributes:
        name: name as `read_name` returns it.
        raw_name: name as the bytes in the archive.
        offset: position of the local header in bytes, from the beginning of the archive.
        packed_bytes: size in the archive in bytes.
        size: unpacked size in bytes.
        crc: CRC-32 of the unpacked bytes.
        deflated: True: compressed by deflate. False: stored without compression.
    """

    name: str
    raw_name: bytes
    offset: int
    packed_bytes: int
    size: int
    crc: int
    deflated: bool


@dataclass(slots=True)
class Budget:
    """Counts the bytes that are really read and unpacked from an archive, and limits them.

    Attributes:
        max_bytes: maximum number of unpacked bytes.
        read_bytes: bytes read so far.
        unpacked_bytes: bytes unpacked so far.
    """

    max_bytes: int = MAX_ZIP_BYTES
    read_bytes: int = 0
    unpacked_bytes: int = 0

    def spend(self, *, read: int, unpacked: int) -> None:
        """Add bytes to the counts.

        Args:
            read: number of bytes read.
            unpacked: number of bytes unpacked from them.

        Raises:
            InvalidDatasetError: the unpacked bytes exceed `max_bytes`; or they exceed both FREE_BYTES and MAX_ZIP_RATIO
                times the bytes read.
        """
        self.read_bytes += read
        self.unpacked_bytes += unpacked
        if self.unpacked_bytes > self.max_bytes:
            raise InvalidDatasetError(
                f"The ZIP holds more than {self.max_bytes / (1 << 30):.3g} GiB when unpacked: upload fewer or smaller "
                "images."
            )
        if self.unpacked_bytes > max(FREE_BYTES, MAX_ZIP_RATIO * self.read_bytes):
            raise InvalidDatasetError(
                f"The ZIP becomes more than {MAX_ZIP_RATIO} times as large when unpacked, which images do not: zip "
                "only JPEG, PNG or WebP files."
            )


def is_zip(path: Path) -> bool:
    """Return True if a file begins with the signature of a ZIP.

    `zipfile.is_zipfile` also accepts a file of another kind that ends like a ZIP.

    Args:
        path: the file.
    """
    with path.open("rb") as file:
        return file.read(4) in _MAGICS


def list_entries(path: Path, *, max_entries: int) -> list[Entry]:
    """List the files of an archive, sorted by name, without folders and hidden files.

    Args:
        path: the archive.
        max_entries: maximum number of entries, including folders and hidden files.

    Raises:
        InvalidDatasetError: the archive is damaged or encrypted, or has too many entries; an entry is a link, a device
            or another archive, has an unsafe name or an unsupported compression; two entries have one name; or entries
            overlap.
    """
    infos, end = _directory(path, max_entries)
    if len(infos) > max_entries:
        raise _too_many(max_entries)
    found: dict[str, Entry] = {}
    for info in infos:
        entry = _checked(info)
        if entry.name in found:
            raise InvalidDatasetError(f"The ZIP has two entries {shown(entry.name)!r}: zip the folder again.")
        found[entry.name] = entry
    _refuse_overlap(list(found.values()), end)
    return [found[name] for name in sorted(found) if not name.endswith("/") and not is_hidden(name)]


def read_entry(file: BinaryIO, entry: Entry, budget: Budget, *, most_bytes: int) -> bytes:
    """Unpack an entry.

    Args:
        file: the open archive.
        entry: an entry of the archive.
        budget: budget of the whole archive.
        most_bytes: maximum unpacked size of this entry.

    Returns:
        The unpacked bytes. Their size and CRC-32 are those in the directory.

    Raises:
        DamagedEntryError: the entry is not as the directory describes it, or is larger than `most_bytes`.
        InvalidDatasetError: the archive exceeds the budget.
    """
    _seek_content(file, entry)
    content = bytearray()
    for piece in _inflated(file, entry, budget) if entry.deflated else _stored(file, entry, budget):
        content += piece
        if len(content) > min(entry.size, most_bytes):
            raise DamagedEntryError("larger than the ZIP says" if len(content) > entry.size else "too large")
    if len(content) != entry.size or zlib.crc32(content) != entry.crc:
        raise DamagedEntryError("damaged in the ZIP")
    return bytes(content)


class _Guarded(io.FileIO):
    """A file that refuses to read more than `most_bytes` at once.

    `zipfile` reads the whole central directory at once, before its entries can be counted.
    """

    most_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most_bytes:
            raise _DirectoryTooLargeError
        return super().read(-1 if size is None else size) or b""


class _DirectoryTooLargeError(Exception):
    pass


def _directory(path: Path, max_entries: int) -> tuple[Sequence[zipfile.ZipInfo], int]:
    """Return the entries of the central directory, and the position of the directory in bytes."""
    with _Guarded(str(path)) as file:
        file.most_bytes = max_entries * DIRECTORY_BYTES + (1 << 17)
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.infolist(), archive.start_dir
        except _DirectoryTooLargeError as error:
            raise _too_many(max_entries) from error
        except MemoryError:
            raise
        except Exception as error:  # zipfile can raise any exception on hostile bytes
            raise InvalidDatasetError(f"The ZIP is damaged or cut short ({error}): upload it again.") from error


def _too_many(max_entries: int) -> InvalidDatasetError:
    return InvalidDatasetError(
        f"The ZIP has more than the {max_entries:,} entries allowed (EMBEDREEL_MAX_ZIP_ENTRIES): upload fewer "
        "images, or Parquet files."
    )


def _checked(info: zipfile.ZipInfo) -> Entry:
    name = read_name(info)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise InvalidDatasetError(f"The ZIP has a link or device, {shown(name)!r}: put the file itself there.")
    if info.flag_bits & _ENCRYPTED:
        raise InvalidDatasetError(f"The ZIP is encrypted ({shown(name)!r}): zip the folder without a password.")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise InvalidDatasetError(
            f"{shown(name)!r} has a compression method that this service does not support ({info.compress_type}): zip "
            "the folder with deflate or without compression."
        )
    if is_archive(name) and not is_hidden(name):
        raise InvalidDatasetError(f"The ZIP holds another archive, {shown(name)!r}: unpack it and zip the images.")
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_FLAG else "cp437")
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return Entry(name, raw, info.header_offset, info.compress_size, info.file_size, info.CRC, deflated)


def _refuse_overlap(entries: Sequence[Entry], end: int) -> None:
    """Refuse entries that share bytes. The shared bytes would be unpacked for each entry, as in a ZIP bomb."""
    ordered = sorted(entries, key=lambda entry: entry.offset)
    ends = [entry.offset + _LOCAL.size + len(entry.raw_name) + entry.packed_bytes for entry in ordered]
    begins = [*(entry.offset for entry in ordered), end]
    if any(last > begin for last, begin in zip(ends, begins[1:], strict=True)) or begins[0] < 0:
        raise InvalidDatasetError("The ZIP has entries that overlap: zip the folder again.")


def _seek_content(file: BinaryIO, entry: Entry) -> None:
    file.seek(entry.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(_MAGICS[0]):
        raise DamagedEntryError("not where the ZIP says")
    *_, name_bytes, extra_bytes = _LOCAL.unpack(head)
    if file.read(name_bytes) != entry.raw_name:
        raise DamagedEntryError("named differently in another place of the ZIP")
    file.seek(extra_bytes, io.SEEK_CUR)


def _stored(file: BinaryIO, entry: Entry, budget: Budget) -> Iterator[bytes]:
    left = entry.packed_bytes
    while left and (piece := file.read(min(left, PIECE_BYTES))):
        left -= len(piece)
        budget.spend(read=len(piece), unpacked=len(piece))
        yield piece


def _inflated(file: BinaryIO, entry: Entry, budget: Budget) -> Iterator[bytes]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    left, packed = entry.packed_bytes, b""
    while not inflater.eof:
        fresh = b"" if packed else file.read(min(left, PIECE_BYTES))
        left -= len(fresh)
        try:
            piece = inflater.decompress(packed or fresh, PIECE_BYTES)
        except zlib.error as error:
            raise DamagedEntryError("damaged in the ZIP") from error
        if not (packed or fresh or piece):
            raise DamagedEntryError("cut short in the ZIP")
        packed = inflater.unconsumed_tail
        budget.spend(read=len(fresh), unpacked=len(piece))
        yield piece
