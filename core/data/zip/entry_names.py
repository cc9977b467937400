"""What an entry of a ZIP is called, and what its name says of it.

No file is ever written under such a name: it is shown, and it names a class. One that would lead elsewhere is refused
all the same, for whoever made it did not mean a dataset.
"""

import re
import unicodedata
import zipfile
from contextlib import suppress

from core.errors import InvalidDatasetError

READ_SUFFIXES = frozenset({"jpg", "jpeg", "jpe", "jfif", "png", "webp"})
IMAGE_SUFFIXES = READ_SUFFIXES | {"gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jp2", "ico", "ppm", "pgm"}
"""Those that are not read are told as images that cannot be used, instead of being passed over."""
ARCHIVE_SUFFIXES = frozenset(
    {"zip", "jar", "tar", "tgz", "gz", "tbz", "bz2", "txz", "xz", "zst", "lz", "lzma", "7z", "rar", "cab", "iso"}
)
MAX_NAME_BYTES = 1024
SHOWN_CHARACTERS = 200

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"})
_JOINERS = "\u200c\u200d"
"""Format characters that words of some scripts are spelt with."""
_DRIVE = re.compile(r"[A-Za-z]:")
_UTF8_FLAG = 0x800


def read_name(info: zipfile.ZipInfo) -> str:
    r"""The name of an entry in normal form C, without characters that a terminal would trip over.

    Names that are UTF-8 and do not say so, as macOS writes them, are read as what they are.

    >>> read_name(zipfile.ZipInfo("train/cat/1.jpg"))
    'train/cat/1.jpg'

    Raises:
        InvalidDatasetError: the name is absolute, leads out of its folder, has a drive or a backslash, or is too long.
    """
    name = _decoded(info)
    parts = name.removesuffix("/").split("/")
    if "\\" in name or "\0" in name or _DRIVE.match(name) or not set(parts).isdisjoint({"", ".", ".."}):
        raise InvalidDatasetError(
            f"The ZIP has an entry {shown(name)!r}, a name that leads elsewhere: zip the folder anew, with plain "
            "relative names and '/' between folders."
        )
    if len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise InvalidDatasetError(
            f"The ZIP has an entry {shown(name)!r} whose name has more than {MAX_NAME_BYTES} bytes: shorten it."
        )
    return "".join(letter if letter.isprintable() or letter in _JOINERS else "\ufffd" for letter in name)


def shown(name: str) -> str:
    """As much of a name as an error tells."""
    return name if len(name) <= SHOWN_CHARACTERS else name[:SHOWN_CHARACTERS] + "…"


def is_hidden(name: str) -> bool:
    """Whether systems leave such files behind, unseen and unasked.

    >>> is_hidden("cat/.DS_Store"), is_hidden("__MACOSX/cat/._1.jpg"), is_hidden("cat/1.jpg")
    (True, True, False)
    """
    return any(part.startswith(".") or part.lower() in _SYSTEM_FILES for part in name.split("/"))


def is_image(name: str) -> bool:
    """Whether the name says that this is an image, of a format that is read or not.

    >>> is_image("cat/1.JPG"), is_image("cat/notes.txt"), is_image("cat/png")
    (True, False, False)
    """
    return _suffix(name) in IMAGE_SUFFIXES


def is_archive(name: str) -> bool:
    """Whether the name says that this is an archive.

    >>> is_archive("more.zip"), is_archive("more.tar.gz"), is_archive("cat/1.jpg")
    (True, True, False)
    """
    return _suffix(name) in ARCHIVE_SUFFIXES


def _suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem and dot else ""


def _decoded(info: zipfile.ZipInfo) -> str:
    name = info.orig_filename
    if not info.flag_bits & _UTF8_FLAG:
        with suppress(UnicodeError):  # else it is what it says
            name = name.encode("cp437").decode()
    return unicodedata.normalize("NFC", name)
