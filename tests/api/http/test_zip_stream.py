import io
from zipfile import ZipFile

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from api.http import zip_stream
from api.http.files import StoredFile
from api.http.zip_stream import Member
from core.errors import NotReadyError


@pytest.fixture
def members(tmp_path):
    path = tmp_path / "stored"
    path.write_bytes(bytes(range(256)) * 3000)
    return [Member("README.md", "# Bücher".encode()), Member("weights", StoredFile(path, "abc")), Member("empty", b"")]


@pytest.fixture
def client(members):
    app = FastAPI()

    @app.get("/")
    def packed(request: Request) -> Response:
        return zip_stream.answer(request, members, filename="all.zip")

    with TestClient(app) as client:
        yield client


def test_answer__is_a_zip_of_the_announced_length(client, members):
    response = client.get("/")
    assert int(response.headers["content-length"]) == len(response.content)
    with ZipFile(io.BytesIO(response.content)) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == [member.name for member in members]
        assert packed.read("README.md").decode() == "# Bücher"
        assert packed.read("weights") == members[1].content.path.read_bytes()


def test_answer__equal_files_make_equal_bytes(client):
    first, second = client.get("/"), client.get("/")
    assert (first.content, first.headers["etag"]) == (second.content, second.headers["etag"])


def test_answer__a_large_zip_has_no_length(client, monkeypatch):
    monkeypatch.setattr(zip_stream, "_LARGE_BYTES", 1000)
    response = client.get("/")
    assert "content-length" not in response.headers
    assert ZipFile(io.BytesIO(response.content)).testzip() is None


def test_member__that_has_just_been_deleted(tmp_path):
    with pytest.raises(NotReadyError, match="weights is not stored any more"):
        Member("weights", StoredFile(tmp_path / "gone", "abc")).open()
