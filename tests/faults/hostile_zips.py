"""ZIP files of class folders: a valid one, and hostile ones."""

import random

from tests.core.data.zips import LINK, crafted, deflated, zipped
from tests.faults.hostile_parquet import damage, picture

ROWS = 20
MIB = 1 << 20


def good(more=None):
    """Return a ZIP file that is accepted if the added entries are valid."""
    return zipped({f"{('cat', 'dog')[row % 2]}/{row:02}.png": picture(row) for row in range(ROWS)} | (more or {}))


def hostile():
    """Return names and contents of ZIP files that must be refused."""
    yield from _names()
    yield from _bombs()
    yield from _lies()
    yield from _layouts()
    for share in range(1, 10):
        whole = good()
        yield f"ZIP cut at {share} tenths", whole[: len(whole) * share // 10]
    yield "ZIP with noise for a directory", b"PK\3\4" + random.Random(0).randbytes(100_000)
    yield "ZIP of 65,000 entries", crafted([{"name": b"%d.png" % index, "content": b""} for index in range(65_000)])
    yield "ZIP with links for images", zipped(dict.fromkeys(("cat/1.png", "dog/1.png"), b"/etc/passwd"), mode=LINK)
    yield "ZIP in a ZIP", good({"cat/more.zip": good()})


def harmless():
    """Return names and contents of ZIP files that may be accepted: their unusual parts are not read."""
    yield "ZIP with what systems leave", good({"__MACOSX/cat/._1.png": b"x", ".DS_Store": b"x", "cat/Thumbs.db": b"x"})
    yield (
        "ZIP with a class named for a terminal",
        zipped({("cat/", "\x1b[2J/")[row % 2] + f"{row}.png": picture(row) for row in range(ROWS)}),
    )
    yield "ZIP with programs beside the images", good({"setup.py": b"import os", "cat/x.pkl": b"\x80\x04."})


def mutated(rng):
    """Return a valid ZIP file in which some bytes are changed, cut, repeated or moved. It may be harmless."""
    return damage(good(), rng)


def _names():
    for name in ("../../../../tmp/x.png", "/etc/cron.d/x.png", "..\\x.png", "a/../../x.png", "C:\\x.png", "c:/x.png"):
        yield f"ZIP of images with an entry {name}", good({name: picture()})
    yield "ZIP with a name of 60,000 bytes", good({"x" * 60_000: picture()})
    yield "ZIP with a name of NUL bytes", crafted([{"name": b"cat/\0\0.png", "content": picture()}])
    yield "ZIP with two classes that differ in case", good({"Cat/1.png": picture()})
    entry = {"name": b"cat/1.png", "content": picture()}
    yield "ZIP with a name twice", crafted([entry, entry])


def _bombs():
    packed = deflated(bytes(100 * MIB))
    yield "ZIP of an image that is a bomb", _with({"content": packed, "method": 8, "size": 100 * MIB})
    kernel = {"content": packed, "method": 8, "size": 100 * MIB}
    yield (
        "ZIP of overlapping bombs",
        crafted([{"name": b"%d/%d.png" % (index % 2, index), **kernel, "offset": 0} for index in range(100)]),
    )
    yield "ZIP of 100 bombs", crafted([{"name": b"%d/%d.png" % (index % 2, index), **kernel} for index in range(100)])


def _lies():
    content = deflated(picture())
    for name, lie in (
        ("a size of 1", {"content": content, "method": 8, "size": 1}),
        ("a size of 4 GB", {"content": content, "method": 8, "size": 0xFFFFFFFE}),
        ("4 GB packed", {"content": content, "method": 8, "size": 9, "packed": 0xFFFFFFFE}),
        ("another checksum", {"content": picture(), "crc": 1}),
        ("another name where it lies", {"content": picture(), "local_name": b"../../x.png"}),
        ("an offset behind the end", {"content": picture(), "offset": 0xFFFFFFFE}),
        ("a method that does not exist", {"content": picture(), "method": 77}),
        ("LZMA", {"content": b"\x09\x04\x05\x00\x5d" + bytes(100), "method": 14, "size": 1 << 30}),
        ("encryption", {"content": picture(), "flags": 1}),
    ):
        yield f"ZIP with {name}", _with(lie)


def _layouts():
    yield "ZIP of nothing", zipped({})
    yield "ZIP of folders only", zipped({"cat/": b"", "dog/": b""})
    yield "ZIP of one class", zipped({f"cat/{row}.png": picture(row) for row in range(ROWS)})
    yield "ZIP with folders in folders", good({"cat/" + "a/" * 300 + "1.png": picture()})
    yield "ZIP with a manifest of other files", good({"labels.csv": b"file,label\n../../../etc/passwd,1\n"})
    yield "ZIP with a manifest that nests without end", good({"a.jsonl": b"[" * (1 << 20)})
    yield "ZIP with a manifest of 100 MB", good({"labels.csv": b"file,label\n" + b"a,b\n" * (25 << 20)})
    yield (
        "ZIP with a manifest that is a bomb",
        _with({"name": b"labels.csv", "content": deflated(bytes(60 * MIB)), "method": 8, "size": 60 * MIB}),
    )


def _with(entry):
    """Return a ZIP file with valid images and one entry that is written byte by byte."""
    images = [{"name": b"%d/%02d.png" % (row % 2, row), "content": picture(row)} for row in range(ROWS)]
    return crafted([*images, {"name": b"0/99.png", **entry}])
