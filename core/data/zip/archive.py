"""The entries of a ZIP and their bytes: what the archive says of itself is a claim, what is read is counted.

Only the directory is left to `zipfile`. Nothing is ever written to a disk here.
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
"""Of the directory, for each entry that is allowed: what it says is held in memory."""
PIECE_BYTES = 1 << 18
FREE_BYTES = 16 << 20
"""So much may be unpacked of any archive, whatever its ratio: plain drawings shrink a lot."""

_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_UTF8_FLAG = 0x800


class DamagedEntryError(Exception):
    """One entry cannot be read as the directory describes it; the message is the cause, without a subject."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, as its directory describes it.

    Attributes:
        name: what it is called, clean.
        raw_name: the same in the archive's own bytes.
        offset: of its header, from the beginning of the file.
        packed_bytes: what it takes in the archive.
        size: bytes when unpacked.
        crc: CRC-32 of those.
        deflated: else it is stored as it is.
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
    """What may still come out of an archive, counted in bytes that were really read and unpacked."""

    max_bytes: int = MAX_ZIP_BYTES
    read_bytes: int = 0
    unpacked_bytes: int = 0

    def spend(self, *, read: int, unpacked: int) -> None:
        """Count.

        Raises:
            InvalidDatasetError: more comes out than is allowed.
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
                f"The ZIP becomes more than {MAX_ZIP_RATIO} times as large when unpacked, as no images do: zip JPEG, "
                "PNG or WebP files."
            )


def is_zip(path: Path) -> bool:
    """Whether a file begins as a ZIP does; one that only ends like that is something else too."""
    with path.open("rb") as file:
        return file.read(4) in _MAGICS


def list_entries(path: Path, *, max_entries: int) -> list[Entry]:
    """The files of an archive by name, without folders and what systems leave behind.

    Raises:
        InvalidDatasetError: the archive is damaged, has too many entries, or one that no dataset has: a link, a name
            that leads elsewhere, an encrypted or a nested archive, a name twice, bytes of another entry.
    """
    infos, end = _directory(path, max_entries)
    if len(infos) > max_entries:
        raise _too_many(max_entries)
    found: dict[str, Entry] = {}
    for info in infos:
        entry = _checked(info)
        if entry.name in found:
            raise InvalidDatasetError(f"The ZIP has two entries {shown(entry.name)!r}: zip the folder anew.")
        found[entry.name] = entry
    _refuse_overlap(list(found.values()), end)
    return [found[name] for name in sorted(found) if not name.endswith("/") and not is_hidden(name)]


def read_entry(file: BinaryIO, entry: Entry, budget: Budget, *, most_bytes: int) -> bytes:
    """Unpack one entry.

    Args:
        file: the archive.
        entry: of it.
        budget: what may come out of the whole archive.
        most_bytes: what may come out of this entry.

    Raises:
        DamagedEntryError: it is not what the directory says, or has more than `most_bytes`.
        InvalidDatasetError: the budget is spent.
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
    """A file of which only so much is read at once, as the directory is before anybody counts its entries."""

    most_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most_bytes:
            raise _DirectoryTooLargeError
        return super().read(-1 if size is None else size) or b""


class _DirectoryTooLargeError(Exception):
    pass


def _directory(path: Path, max_entries: int) -> tuple[Sequence[zipfile.ZipInfo], int]:
    """What the directory lists, and where it begins."""
    with _Guarded(str(path)) as file:
        file.most_bytes = max_entries * DIRECTORY_BYTES + (1 << 17)
        try:
            with zipfile.ZipFile(file) as archive:
                return archive.infolist(), archive.start_dir
        except _DirectoryTooLargeError as error:
            raise _too_many(max_entries) from error
        except MemoryError:
            raise
        except Exception as error:  # whoever made the file wrote what they liked
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
            f"{shown(name)!r} is packed by a method that is not read here ({info.compress_type}): zip the folder by "
            "the usual one, or store the images as they are."
        )
    if is_archive(name) and not is_hidden(name):
        raise InvalidDatasetError(f"The ZIP holds another archive, {shown(name)!r}: unpack it and zip the images.")
    raw = info.orig_filename.encode("utf-8" if info.flag_bits & _UTF8_FLAG else "cp437")
    deflated = info.compress_type == zipfile.ZIP_DEFLATED
    return Entry(name, raw, info.header_offset, info.compress_size, info.file_size, info.CRC, deflated)


def _refuse_overlap(entries: Sequence[Entry], end: int) -> None:
    """Bytes that belong to two entries are unpacked twice: that is how a small file becomes a large one."""
    ordered = sorted(entries, key=lambda entry: entry.offset)
    ends = [entry.offset + _LOCAL.size + len(entry.raw_name) + entry.packed_bytes for entry in ordered]
    begins = [*(entry.offset for entry in ordered), end]
    if any(last > begin for last, begin in zip(ends, begins[1:], strict=True)) or begins[0] < 0:
        raise InvalidDatasetError("The ZIP has entries that overlap: zip the folder anew.")


def _seek_content(file: BinaryIO, entry: Entry) -> None:
    file.seek(entry.offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or not head.startswith(_MAGICS[0]):
        raise DamagedEntryError("not where the ZIP says")
    *_, name_bytes, extra_bytes = _LOCAL.unpack(head)
    if file.read(name_bytes) != entry.raw_name:
        raise DamagedEntryError("called otherwise in another place of the ZIP")
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
