"""ZIP files for tests, some of which no tool would write."""

import io
import stat
import struct
import zipfile
import zlib

LINK = stat.S_IFLNK | 0o777


def zipped(entries, *, mode=0o644, method=zipfile.ZIP_STORED):
    """Return a ZIP of names and their bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = method, mode << 16
            archive.writestr(entry, content)
    return file.getvalue()


def crafted(entries, *, comment=b""):
    """Return a ZIP that is written byte by byte.

    Args:
        entries: dicts with `name` (bytes) and `content`. The values `packed`, `size`, `crc`, `method`, `flags`,
            `local_name` and `offset` replace the true ones.
        comment: comment at the end of the file.
    """
    body, directory = b"", b""
    for entry in entries:
        name, content = entry["name"], entry["content"]
        method, flags = entry.get("method", 0), entry.get("flags", 0)
        packed = entry.get("packed", len(content))
        sizes = (entry.get("crc", zlib.crc32(content)), packed, entry.get("size", packed))
        offset = entry.get("offset", len(body))
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, flags, method, 0, 33, *sizes, len(name), 0, 0, 0, 0, 0, offset
        )
        directory += name
        local = entry.get("local_name", name)
        body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, *sizes, len(local), 0) + local + content
    count = len(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(body), len(comment))
    return body + directory + end + comment


def deflated(content):
    """Return the bytes as a ZIP stores them."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()
