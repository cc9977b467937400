"""The canary reports each access."""

import socket

import pytest

from tests.faults.canary import Canary


@pytest.fixture
def canary(tmp_path):
    with Canary(tmp_path) as canary:
        yield canary


def test_touched__no_access_no_report(canary):
    assert canary.touched() == []


def test_touched__reports_a_read(canary):
    canary.file.read_bytes()
    assert all("secret.png" in what for what in canary.touched())
    assert canary.touched() == []


@pytest.mark.parametrize("name", ["new.txt", "secret.png"])
def test_touched__reports_a_write_beside_the_file(canary, name):
    (canary.folder / name).write_text("x")
    assert any(name in what for what in canary.touched())


def test_touched__reports_a_new_folder(canary):
    (canary.folder / "new").mkdir()
    assert any("new" in what for what in canary.touched())


def test_touched__does_not_report_a_listing(canary):
    assert list(canary.folder.iterdir()) == [canary.file]
    assert canary.touched() == []


def test_touched__reports_a_connection_with_its_bytes(canary):
    host, _, port = canary.url.removeprefix("http://").partition("/")[0].partition(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"GET /image.png HTTP/1.1")
        (seen,) = canary.touched()
    assert "GET /image.png" in seen
