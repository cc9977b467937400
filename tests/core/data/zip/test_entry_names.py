import zipfile

import pytest

from core.data.zip.entry_names import MAX_NAME_BYTES, is_archive, is_hidden, is_image, read_name
from core.errors import InvalidDatasetError


def named(name, *, flags=0x800):
    info = zipfile.ZipInfo(name)
    info.flag_bits = flags
    return info


@pytest.mark.parametrize(
    "name",
    [
        *("../x.jpg", "a/../../x.jpg", "..", "a/..", "/etc/passwd", "//host/x", "a//b.jpg", "./x.jpg", "a/./b"),
        *("C:\\x.jpg", "C:/x.jpg", "c:x.jpg", "a\\b.jpg", "..\\x", "a\0.jpg", "", "/"),
    ],
)
def test_read_name__leads_elsewhere(name):
    with pytest.raises(InvalidDatasetError, match="an unsafe name"):
        read_name(named(name))


@pytest.mark.parametrize(
    "name", ["cat/1.jpg", "Katze/größe.png", "猫/一.jpg", "قط/صورة.webp", "می‌خواهم/1.jpg", "a..b/..c"]
)
def test_read_name__any_script(name):
    assert read_name(named(name)) == name


def test_read_name__utf8_that_does_not_say_so():
    assert read_name(named("猫/é.jpg".encode().decode("cp437"), flags=0)) == "猫/é.jpg"


def test_read_name__code_page_437():
    assert read_name(named("große/1.jpg", flags=0)) == "große/1.jpg"


def test_read_name__normal_form():
    assert read_name(named("cafe\u0301/1.jpg")) == "caf\u00e9/1.jpg"


def test_read_name__nothing_for_a_terminal_to_obey():
    assert read_name(named("a\x1b[2J\n\u202e/1.jpg")) == "a\ufffd[2J\ufffd\ufffd/1.jpg"


def test_read_name__too_long():
    assert len(read_name(named("x" * MAX_NAME_BYTES))) == MAX_NAME_BYTES
    with pytest.raises(InvalidDatasetError, match=r"^.{,400}more than 1024 bytes: shorten it"):
        read_name(named("x" * (MAX_NAME_BYTES + 1)))


@pytest.mark.parametrize(
    "name", ["__MACOSX/a/._1.jpg", "a/.DS_Store", ".git/config", "a/Thumbs.db", "a/THUMBS.DB", "desktop.ini"]
)
def test_is_hidden(name):
    assert is_hidden(name)


def test_kinds_by_suffix():
    assert all(is_image(name) for name in ("a.jpg", "a.JPEG", "a/b.c.png", "a.webp", "a.gif", "a.heic"))
    assert not any(is_image(name) for name in ("a.txt", "jpg", "a.jpg/b", "a", ".jpg", "a.jpg.txt"))
    assert all(is_archive(name) for name in ("a.zip", "b/a.tar.gz", "a.RAR", "a.7z"))
    assert not any(is_archive(name) for name in ("zip", "a.zip.jpg", "a.jpg"))
