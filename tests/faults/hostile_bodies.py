"""HTTP bodies that an upload must refuse, and archives that are sent as Parquet files."""

import io
import random
import stat
import zipfile
from dataclasses import dataclass, field

from tests.faults.hostile_parquet import good

BOUNDARY = b"embedreel"
TYPE = "multipart/form-data; boundary=embedreel"


@dataclass(frozen=True)
class Body:
    """A POST to /v1/datasets.

    Attributes:
        headers: headers beside Host. If they have no Content-Length, the length of the content is added.
        hangs_up: True if the client disconnects before the end and reads no answer.
        harmless: True if the service may accept the body.
    """

    name: str
    content: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": TYPE})
    hangs_up: bool = False
    harmless: bool = False


def upload(name, content, *, harmless=False, filename="a.parquet"):
    """Return the upload of one file, as a client sends it."""
    return Body(name, multipart([file_part(content, filename)]), harmless=harmless)


def file_part(content, filename="a.parquet"):
    return part(f'form-data; name="file"; filename="{filename}"'.encode(), content)


def part(disposition, content, more=b""):
    return b"Content-Disposition: " + disposition + b"\r\n" + more + b"\r\n" + content


def multipart(parts, end=b"--"):
    return b"".join(b"--" + BOUNDARY + b"\r\n" + one + b"\r\n" for one in parts) + b"--" + BOUNDARY + end + b"\r\n"


def hostile():
    """Return bodies that must be refused."""
    yield from _archives()
    yield from _broken()
    yield from _lengths()
    file = file_part(good())
    yield Body("10,000 files", multipart([file_part(b"PAR1")] * 10_000))
    yield Body("10,000 names", multipart([part(b'form-data; name="name"', b"x")] * 10_000))
    yield Body("300 files", multipart([file_part(b"")] * 300))
    yield Body("a field that is not known", multipart([part(b'form-data; name="path"', b"/etc/passwd"), file]))
    yield Body("a name of 1 MB", multipart([part(b'form-data; name="name"', b"n" * (1 << 20)), file]))
    yield Body("a file's name of 1 MB", multipart([file_part(good(), "x" * (1 << 20))]))
    yield Body(
        "a part's header of 4 MB",
        multipart([part(b'form-data; name="file"', b"", b"X-A: " + b"a" * (4 << 20) + b"\r\n")]),
    )
    yield Body(
        "a part with 100,000 headers", multipart([part(b'form-data; name="file"', b"", b"X-A: b\r\n" * 100_000)])
    )
    yield Body("a part's header without an end", b"--" + BOUNDARY + b"\r\n" + b"X" * (4 << 20))
    nested = multipart([file_part(good())]).replace(BOUNDARY, b"inner")
    yield Body(
        "a multipart body in a part",
        multipart([part(b'form-data; name="file"', nested, b"Content-Type: multipart/mixed; boundary=inner\r\n")]),
    )
    yield Body(
        "a part that is compressed",
        multipart([part(b'form-data; name="file"', b"\x1f\x8b" + bytes(100), b"Content-Encoding: gzip\r\n")]),
    )


def harmless():
    """Return bodies with valid files whose names contain paths. Only the last part of a name is used."""
    for name in (
        "../../../../tmp/x",
        "/etc/cron.d/x",
        "..\\..\\x",
        "a\0b",
        "%2e%2e%2fx",
        "..",
        ".",
        "",
        "C:\\x",
        "~/x",
        "$(id)",
        "x/" * 500,
    ):
        yield upload(f"a file called {name[:20]!r}", good(), filename=name, harmless=True)
    encoded = part(b"form-data; name=\"file\"; filename*=utf-8''..%2F..%2Fx", good())
    yield Body("a file's name with an asterisk", multipart([encoded]), harmless=True)
    yield Body(
        "a name that is a path",
        multipart([part(b'form-data; name="name"', b"../../x\0\x1b[2J"), file_part(good())]),
        harmless=True,
    )
    yield Body("two names", multipart([part(b'form-data; name="name"', b"x")] * 2 + [file_part(good())]), harmless=True)
    yield Body("something behind the end", multipart([file_part(good())]) + b"x" * 100_000, harmless=True)


def _archives():
    yield upload("ZIP bomb", _zipped({"a.parquet": bytes(100 << 20)}))
    inner = _zipped({"a": bytes(10 << 20)})
    yield upload("ZIP bomb in a ZIP bomb", _zipped({f"{index}.zip": inner for index in range(100)}))
    for name in ("../../../../tmp/x", "/etc/cron.d/x", "..\\x", "a/../../x"):
        yield upload(f"ZIP with an entry {name}", _zipped({name: b"x"}))
    yield upload("ZIP with a link to /etc/passwd", _zipped({"link": b"/etc/passwd"}, mode=stat.S_IFLNK | 0o777))
    yield upload("ZIP of 20,000 entries", _zipped({str(index): b"" for index in range(20_000)}))
    yield upload("Parquet that is a ZIP too", good() + _zipped({"../x": b"x"}))
    yield upload("ZIP called train.parquet", _zipped({"train.parquet": good()}), filename="train.parquet")
    yield upload("gzip", b"\x1f\x8b\x08" + bytes(1000))
    yield upload("tar", b"../x".ljust(100, b"\0") + b"0000644\0" + bytes(400))
    yield upload("a pickle", b"\x80\x04cos\nsystem\n(S'touch /tmp/embedreel-canary'\ntR.")
    yield upload("an Arrow file", b"ARROW1\0\0" + bytes(1000) + b"ARROW1")


def _broken():
    whole = multipart([file_part(good())])
    for name, kind in (
        ("no Content-Type", None),
        ("JSON", "application/json"),
        ("a form", "application/x-www-form-urlencoded"),
        ("another multipart", "multipart/mixed; boundary=embedreel"),
        ("no boundary", "multipart/form-data"),
        ("an empty boundary", "multipart/form-data; boundary="),
        ("another boundary", "multipart/form-data; boundary=other"),
        ("a boundary of 10,000 characters", "multipart/form-data; boundary=" + "b" * 10_000),
        ("a boundary of control characters", "multipart/form-data; boundary=\x01\x02"),
        ("100 boundaries", "multipart/form-data" + "; boundary=x" * 100),
    ):
        yield Body(f"Content-Type: {name}", whole, {} if kind is None else {"Content-Type": kind})
    yield Body("nothing", b"")
    yield Body("an end only", b"--" + BOUNDARY + b"--\r\n")
    yield Body("no end", multipart([file_part(good())], end=b""))
    yield Body("cut in a part's header", whole[:40])
    yield Body("cut in a file", whole[: len(whole) // 2])
    yield Body("line feeds only", whole.replace(b"\r\n", b"\n"))
    yield Body("noise", random.Random(0).randbytes(100_000))
    yield Body("a part without a name", multipart([part(b"form-data", b"x")]))
    yield Body("a part without headers", b"--" + BOUNDARY + b"\r\n\r\nx\r\n--" + BOUNDARY + b"--\r\n")
    yield Body("a file in gzip", whole, {"Content-Type": TYPE, "Content-Encoding": "gzip"}, harmless=True)
    yield Body("names that are no UTF-8", multipart([part(b'form-data; name="\xff\xfe"', b"x")]))


def _lengths():
    whole, head = multipart([file_part(good())]), {"Content-Type": TYPE}
    yield Body("Content-Length of 10 GB", whole, head | {"Content-Length": str(10 << 30)})
    yield Body("Content-Length of 10^30", whole, head | {"Content-Length": "1" + "0" * 30}, hangs_up=True)
    yield Body("Content-Length below the body", whole, head | {"Content-Length": "50"})
    yield Body("Content-Length of -1", whole, head | {"Content-Length": "-1"})
    yield Body("Content-Length that is no number", whole, head | {"Content-Length": "many"})
    yield Body("two ways to say how long", whole, head | {"Content-Length": "5", "Transfer-Encoding": "chunked"})
    yield Body("chunks of noise", b"zz\r\n" + whole, head | {"Transfer-Encoding": "chunked"})
    yield Body(
        "a chunk of 2^64 bytes", b"FFFFFFFFFFFFFFFF\r\n" + whole, head | {"Transfer-Encoding": "chunked"}, hangs_up=True
    )
    for share in (0, 1, 5, 9):
        cut = whole[: len(whole) * share // 10]
        yield Body(f"hangs up after {share} tenths", cut, head | {"Content-Length": str(len(whole))}, hangs_up=True)


def _zipped(entries, *, mode=0o644):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, mode << 16
            archive.writestr(entry, content)
    return file.getvalue()
