import io
import random
import stat
import zipfile

import pytest

from core.data.zip import archive
from core.data.zip.archive import Budget, DamagedEntryError, is_zip, list_entries, read_entry
from core.errors import InvalidDatasetError
from tests.core.data.zips import LINK, crafted, deflated, zipped

MIB = 1 << 20


@pytest.fixture
def stored(tmp_path):
    def write(content):
        path = tmp_path / "a.zip"
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def refused(stored):
    def check(content, message, *, max_entries=100):
        with pytest.raises(InvalidDatasetError, match=message):
            list_entries(stored(content), max_entries=max_entries)

    return check


def read(path, *, budget=None, most_bytes=10 * MIB):
    """Return the bytes of the first entry."""
    entry = list_entries(path, max_entries=10)[0]
    with path.open("rb") as file:
        return read_entry(file, entry, budget or Budget(), most_bytes=most_bytes)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_read_entry(stored, method):
    content = random.Random(0).randbytes(3 * archive.PIECE_BYTES + 7) + bytes(MIB)
    path = stored(zipped({"b/2.jpg": content, "c/": b"", "d.jpg": b""}, method=method))
    assert [entry.name for entry in list_entries(path, max_entries=3)] == ["b/2.jpg", "d.jpg"]
    budget = Budget()
    assert read(path, budget=budget) == content
    assert budget.unpacked_bytes == len(content)
    assert budget.read_bytes == list_entries(path, max_entries=3)[0].packed_bytes


def test_read_entry__empty(stored):
    for content in (zipped({"a.jpg": b""}), zipped({"a.jpg": b""}, method=zipfile.ZIP_DEFLATED)):
        assert read(stored(content)) == b""


def test_read_entry__written_without_seeking(stored):
    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_args):
            raise io.UnsupportedOperation

        tell = seek

    file = Pipe()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a/1.jpg", b"abc" * 1000)
    assert read(stored(file.getvalue())) == b"abc" * 1000


def test_list_entries__sorted_and_without_system_files(stored):
    names = ["b/1.jpg", "a/2.jpg", "__MACOSX/a/._2.jpg", "a/.DS_Store", "a/Thumbs.db", ".git/objects/x.zip", "a/"]
    path = stored(zipped(dict.fromkeys(names, b"x")))
    assert [entry.name for entry in list_entries(path, max_entries=7)] == ["a/2.jpg", "b/1.jpg"]


def test_is_zip(stored):
    assert is_zip(stored(zipped({"a": b"x"})))
    assert is_zip(stored(zipped({})))
    assert not is_zip(stored(b"PAR1" + zipped({"a": b"x"})))
    assert not is_zip(stored(b""))


def test_list_entries__too_many(refused):
    refused(zipped({str(index): b"" for index in range(101)}), "more than the 100 entries allowed")


def test_list_entries__a_directory_that_is_not_read_at_all(refused, monkeypatch):
    monkeypatch.setattr(zipfile, "ZipInfo", None)
    content = crafted([{"name": b"a.jpg", "content": b"", "offset": 0}] * 5000)
    refused(content, "more than the 100 entries allowed")


@pytest.mark.parametrize("mode", [LINK, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644, stat.S_IFSOCK])
def test_list_entries__links_and_devices(refused, mode):
    refused(zipped({"a.jpg": b"/etc/passwd"}, mode=mode), "a link or device, 'a.jpg'")


@pytest.mark.parametrize("name", ["../../tmp/x", "/etc/cron.d/x", "a/../../x", "C:/x", "__MACOSX/../../x"])
def test_list_entries__names_that_lead_elsewhere(refused, name):
    refused(zipped({name: b"x"}), "unsafe name")


@pytest.mark.parametrize("flags", [0x1, 0x41, 0x2000])
def test_list_entries__encrypted(refused, flags):
    refused(crafted([{"name": b"a.jpg", "content": b"x", "flags": flags}]), "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_list_entries__other_methods(refused, method):
    refused(zipped({"a.jpg": b"x"}, method=method), "a compression method that this service does not support")


def test_list_entries__nested(refused):
    refused(zipped({"a/more.zip": zipped({"a": b""})}), "another archive, 'a/more.zip'")


def test_list_entries__a_name_twice(refused):
    entry = {"name": b"a.jpg", "content": b"x"}
    refused(crafted([entry, entry]), "two entries 'a.jpg'")
    refused(crafted([{"name": b"a\x1b.jpg", "content": b"x"}, {"name": b"a\x07.jpg", "content": b"x"}]), "two entries")


def test_list_entries__overlap(refused):
    kernel = {"name": b"0.jpg", "content": deflated(bytes(MIB)), "method": 8, "size": MIB}
    refused(crafted([kernel, *({**kernel, "name": b"%d.jpg" % n, "offset": 0} for n in range(1, 9))]), "overlap")
    refused(crafted([{"name": b"a.jpg", "content": b"xxx", "packed": 100_000}]), "overlap")


@pytest.mark.parametrize("cut", [10, 30, 70, 100])
def test_list_entries__cut_short(refused, cut):
    refused(zipped({"a.jpg": b"x" * 20})[:cut], "damaged or cut short")


def test_list_entries__mutated(stored):
    rng = random.Random(0)
    whole = zipped({f"{index}/é.jpg": rng.randbytes(50) for index in range(5)}, method=zipfile.ZIP_DEFLATED)
    for _ in range(2000):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path = stored(content)
        try:
            entries = list_entries(path, max_entries=10)
        except InvalidDatasetError:
            continue
        with path.open("rb") as file:
            for entry in entries:
                try:
                    read_entry(file, entry, Budget(), most_bytes=MIB)
                except (DamagedEntryError, InvalidDatasetError):
                    continue


def damaged(path, message, **options):
    with pytest.raises(DamagedEntryError, match=message):
        read(path, **options)


def test_read_entry__a_wrong_declared_size(stored):
    content = b"x" * 1000
    small = {"name": b"a.jpg", "content": deflated(content), "method": 8, "size": 10}
    damaged(stored(crafted([small])), "larger than the ZIP says")
    damaged(stored(crafted([small | {"size": 2000}])), "damaged")
    damaged(stored(crafted([{"name": b"a.jpg", "content": content, "size": 10}])), "larger than the ZIP says")


def test_read_entry__other_bytes_than_promised(stored):
    damaged(stored(crafted([{"name": b"a.jpg", "content": b"xyz", "crc": 7}])), "damaged")
    damaged(stored(crafted([{"name": b"a.jpg", "content": b"\xff\xff", "method": 8, "size": 9}])), "damaged")
    cut = deflated(random.Random(0).randbytes(1000))[:500]
    damaged(stored(crafted([{"name": b"a.jpg", "content": cut, "method": 8, "size": 1000}])), "cut short")


def test_read_entry__another_local_name_or_none(stored):
    damaged(stored(crafted([{"name": b"a.jpg", "content": b"x", "local_name": b"b.jpg"}])), "named differently")
    damaged(stored(crafted([{"name": b"a.jpg", "content": b"x" * 99, "packed": 9, "offset": 9}])), "not where")


def test_read_entry__too_large(stored):
    damaged(stored(zipped({"a.jpg": bytes(2000)})), "too large", most_bytes=1000)


def test_read_entry__bomb(stored):
    path = stored(zipped({"a.jpg": bytes(200 * MIB)}, method=zipfile.ZIP_DEFLATED))
    budget = Budget()
    with pytest.raises(InvalidDatasetError, match="more than 100 times as large"):
        read(path, budget=budget, most_bytes=1000 * MIB)
    assert budget.unpacked_bytes <= max(archive.FREE_BYTES, 100 * budget.read_bytes) + archive.PIECE_BYTES


def test_budget__of_the_whole_archive():
    budget = Budget(max_bytes=10 * MIB)
    for _ in range(10):
        budget.spend(read=MIB, unpacked=MIB)
    with pytest.raises(InvalidDatasetError, match=r"more than 0\.00977 GiB when unpacked"):
        budget.spend(read=1, unpacked=1)
