"""The canary must sing."""

import socket

import pytest

from tests.faults.canary import Canary


@pytest.fixture
def canary(tmp_path):
    with Canary(tmp_path) as canary:
        yield canary


def test_touched__by_nobody(canary):
    assert canary.touched() == []


def test_touched__whoever_reads_the_file_is_seen(canary):
    canary.file.read_bytes()
    assert all("secret.png" in what for what in canary.touched())
    assert canary.touched() == []


@pytest.mark.parametrize("name", ["new.txt", "secret.png"])
def test_touched__whoever_writes_beside_it_is_seen(canary, name):
    (canary.folder / name).write_text("x")
    assert any(name in what for what in canary.touched())


def test_touched__a_folder_that_is_made_there_is_seen(canary):
    (canary.folder / "new").mkdir()
    assert any("new" in what for what in canary.touched())


def test_touched__to_list_the_folder_is_no_touch(canary):
    assert list(canary.folder.iterdir()) == [canary.file]
    assert canary.touched() == []


def test_touched__a_call_is_seen_with_what_was_said(canary):
    host, _, port = canary.url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"GET /image.png HTTP/1.1")
        (seen,) = canary.touched()
    assert "GET /image.png" in seen
