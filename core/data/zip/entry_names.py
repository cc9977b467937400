"""Decode and check the names of the entries of a ZIP.

No file is written under such a name. Names appear in messages and name classes. Unsafe names are refused nevertheless,
because an archive with such names is not a dataset.
"""

import re
import unicodedata
import zipfile
from contextlib import suppress

from core.errors import InvalidDatasetError

READ_SUFFIXES = frozenset({"jpg", "jpeg", "jpe", "jfif", "png", "webp"})
IMAGE_SUFFIXES = READ_SUFFIXES | {"gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2", "ico", "ppm", "pgm"}
"""Files with these suffixes count as images. Files of unsupported formats are reported as broken, not ignored."""
ARCHIVE_SUFFIXES = frozenset(
    {"zip", "jar", "tar", "tgz", "gz", "tbz", "bz2", "txz", "xz", "zst", "lz", "lzma", "7z", "rar", "cab", "iso"}
)
MAX_NAME_BYTES = 1024
"""Maximum length of a name in UTF-8 bytes. Chosen by hand; not measured."""
SHOWN_CHARACTERS = 200
"""Number of characters of a name in an error message."""

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"})
_JOINERS = "\u200c\u200d"
"""Zero-width non-joiner and joiner. Words of some scripts contain these format characters."""
_DRIVE = re.compile(r"[A-Za-z]:")
_UTF8_FLAG = 0x800


def read_name(info: zipfile.ZipInfo) -> str:
    r"""Return the name of an entry in Unicode normal form C.

    U+FFFD replaces characters that cannot be printed, such as terminal control codes. macOS writes UTF-8 names without
    the UTF-8 flag. Such names are decoded as UTF-8.

    >>> read_name(zipfile.ZipInfo("train/cat/1.jpg"))
    'train/cat/1.jpg'

    Args:
        info: entry of the central directory.

    Raises:
        InvalidDatasetError: the name is absolute, has an empty part, `.` or `..`, has a drive letter, a backslash or a
            null character, or is too long.
    """
    name = _decoded(info)
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or _DRIVE.match(name) or not set(parts).isdisjoint({"", ".", ".."}):
        raise InvalidDatasetError(
            f"The ZIP has an entry {shown(name)!r} with an unsafe name: zip the folder again, with relative names and "
            "'/' between folders."
        )
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise InvalidDatasetError(
            f"The ZIP has an entry {shown(name)!r} whose name has more than {MAX_NAME_BYTES} bytes: shorten it."
        )
    return "".join(letter if letter.isprintable() or letter in _JOINERS else "\ufffd" for letter in name)


def shown(name: str) -> str:
    """Return a name for an error message, cut to SHOWN_CHARACTERS.

    Args:
        name: name of an entry, a folder or a class.
    """
    return name if len(name) <= SHOWN_CHARACTERS else name[:SHOWN_CHARACTERS] + "…"


def is_hidden(name: str) -> bool:
    """Return True if the file is hidden, or is a file that an operating system adds to folders.

    >>> is_hidden("cat/.DS_Store"), is_hidden("__MACOSX/cat/._1.jpg"), is_hidden("cat/1.jpg")
    (True, True, False)

    Args:
        name: name of an entry.
    """
    return any(part.startswith(".") or part.lower() in _SYSTEM_FILES for part in name.split("/"))


def is_image(name: str) -> bool:
    """Return True if the name has the suffix of an image, of a supported or an unsupported format.

    >>> is_image("cat/1.JPG"), is_image("cat/notes.txt"), is_image("cat/png")
    (True, False, False)

    Args:
        name: name of an entry.
    """
    return _suffix(name) in IMAGE_SUFFIXES


def is_archive(name: str) -> bool:
    """Return True if the name has the suffix of an archive.

    >>> is_archive("more.zip"), is_archive("more.tar.gz"), is_archive("cat/1.jpg")
    (True, True, False)

    Args:
        name: name of an entry.
    """
    return _suffix(name) in ARCHIVE_SUFFIXES


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem and dot else ""


def _decoded(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    if not info.flag_bits & _UTF8_FLAG:
        with suppress(UnicodeError):  # a name that is not UTF-8 keeps the decoding of zipfile
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name)
