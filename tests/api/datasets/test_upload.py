import asyncio

import pytest
from fastapi import Request

from api.datasets import upload
from core.errors import InsufficientStorageError, UploadTooLargeError

HEAD = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'


def request(pieces, headers=()):
    """Return a request that counts the bytes that are read from it."""
    read = []

    async def receive():
        read.append(1)
        return {"type": "http.request", "body": next(pieces), "more_body": True}

    sent = [(b"content-type", b"multipart/form-data; boundary=x"), *headers]
    return Request({"type": "http", "method": "POST", "headers": sent}, receive), read


def endless():
    yield HEAD
    while True:
        yield bytes(1000)


def test_receive__stops_reading_at_the_limit(tmp_path):
    asked, read = request(endless())
    with pytest.raises(UploadTooLargeError, match="at most 5000 bytes"):
        asyncio.run(upload.receive(asked, tmp_path, max_bytes=5000))
    assert len(read) == 7


def test_receive__counts_bytes_outside_files_too(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "FRAMING_BYTES", 100)

    def preamble():
        while True:
            yield HEAD + b"\r\n"

    asked, read = request(preamble())
    with pytest.raises(UploadTooLargeError):
        asyncio.run(upload.receive(asked, tmp_path, max_bytes=1000))
    assert len(read) < 30


def test_receive__believes_a_length_that_is_too_large(tmp_path):
    asked, read = request(endless(), [(b"content-length", b"99999999")])
    with pytest.raises(UploadTooLargeError):
        asyncio.run(upload.receive(asked, tmp_path, max_bytes=5000))
    assert read == []


def test_receive__disk_full(tmp_path, monkeypatch):
    def full(parser, piece):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upload.MultipartParser, "write", full)
    asked, _ = request(endless())
    with pytest.raises(InsufficientStorageError, match="No space left"):
        asyncio.run(upload.receive(asked, tmp_path, max_bytes=5000))


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_receive__pieces_of_any_size(tmp_path, cut):
    body = HEAD + b"abc\r\n--x--\r\n"
    pieces = [body[start : start + cut] for start in range(0, len(body), cut)]

    async def receive():
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    asked = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    received = asyncio.run(upload.receive(asked, tmp_path, max_bytes=3))
    assert received.names == {"00000.upload": "a"}
    assert (tmp_path / "00000.upload").read_bytes() == b"abc"
