import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from client.api import ApiError, Client, UnreachableError, describe

Handle = Callable[[httpx.Request], httpx.Response]


def client_of(handle: Handle, **options: str) -> Client:
    return Client("http://service.test/", transport=httpx.MockTransport(handle), **options)


def answers(*responses: httpx.Response) -> tuple[Client, list[httpx.Request]]:
    requests, left = [], list(responses)

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return left.pop(0)

    return client_of(handle), requests


@pytest.mark.parametrize(
    ("call", "method", "path", "answer", "result"),
    [
        (lambda c: c.run("r"), "GET", "/v1/runs/r", {"id": "r"}, {"id": "r"}),
        (lambda c: c.cancel("r"), "POST", "/v1/runs/r/cancel", {"id": "r"}, {"id": "r"}),
        (lambda c: c.retry("r"), "POST", "/v1/runs/r/retry", {"id": "r"}, {"id": "r"}),
        (lambda c: c.events("r", after=3), "GET", "/v1/runs/r/events?after=3", {"events": [{"seq": 4}]}, [{"seq": 4}]),
        (lambda c: c.checkpoints("r"), "GET", "/v1/runs/r/checkpoints", {"checkpoints": [1]}, [1]),
        (lambda c: c.models(), "GET", "/v1/models", {"models": [{"id": "m"}]}, [{"id": "m"}]),
    ],
)
def test_client__each_address(
    call: Callable[[Client], object], method: str, path: str, answer: object, result: object
) -> None:
    client, requests = answers(httpx.Response(200, json=answer))
    assert call(client) == result
    assert (requests[0].method, str(requests[0].url)) == (method, f"http://service.test{path}")


def test_submit__sends_the_body_and_the_key() -> None:
    requests = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(202, json={"id": "run_1"})

    with client_of(handle, api_key="secret") as client:
        assert client.submit({"dataset": "digits"}) == {"id": "run_1"}
    assert json.loads(requests[0].content) == {"dataset": "digits"}
    assert requests[0].headers["Authorization"] == "Bearer secret"


def test_poll__sends_the_etag_and_takes_304_as_no_news() -> None:
    client, requests = answers(
        httpx.Response(200, json={"id": "r"}, headers={"ETag": '"1"'}),
        httpx.Response(304),
        httpx.Response(200, json={"id": "r"}, headers={"ETag": '"2"'}),
    )
    assert client.poll("r", None) == ({"id": "r"}, '"1"')
    assert client.poll("r", '"1"') == (None, '"1"')
    assert client.poll("r", '"1"') == ({"id": "r"}, '"2"')
    assert [request.headers.get("If-None-Match") for request in requests] == [None, '"1"', '"1"']


def test_runs__follows_the_cursor_as_far_as_asked() -> None:
    client, requests = answers(
        httpx.Response(200, json={"runs": [{"id": "3"}, {"id": "2"}], "next_cursor": "abc"}),
        httpx.Response(200, json={"runs": [{"id": "1"}], "next_cursor": None}),
    )
    assert [run["id"] for run in client.runs(limit=5)] == ["3", "2", "1"]
    assert [dict(request.url.params) for request in requests] == [{"limit": "5"}, {"limit": "3", "cursor": "abc"}]


def test_upload_dataset__sends_every_file_by_name(tmp_path: Path) -> None:
    for name in ("train.parquet", "test.parquet"):
        (tmp_path / name).write_bytes(f"content of {name}".encode())
    client, requests = answers(httpx.Response(201, json={"id": "dataset_1"}))
    paths = [tmp_path / "train.parquet", tmp_path / "test.parquet"]
    assert client.upload_dataset(paths, name="mine")["id"] == "dataset_1"
    content = requests[0].content
    assert requests[0].headers["Content-Type"].startswith("multipart/form-data")
    assert b'name="file"; filename="train.parquet"' in content
    assert b"content of test.parquet" in content
    assert b'name="name"' in content


def test_download__whole_file(tmp_path: Path) -> None:
    client, requests = answers(httpx.Response(200, content=b"GIF89a..."))
    path = client.download("r", "film.gif", tmp_path / "new" / "film.gif")
    assert path.read_bytes() == b"GIF89a..."
    assert path.is_absolute()
    assert requests[0].url.path == "/v1/runs/r/film.gif"
    assert [file.name for file in path.parent.iterdir()] == ["film.gif"]


def test_download__refused_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "film.gif").write_bytes(b"old")
    problem = {"title": "Not there yet", "detail": "The run is still going."}
    headers = {"Content-Type": "application/problem+json"}
    client, _ = answers(httpx.Response(409, json=problem, headers=headers))
    with pytest.raises(ApiError, match="Not there yet: The run is still going"):
        client.download("r", "film.gif", tmp_path / "film.gif")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"film.gif": b"old"}


def test_download__broken_off_leaves_nothing(tmp_path: Path) -> None:
    class Broken(httpx.SyncByteStream):
        def __iter__(self):
            yield b"GIF8"
            raise httpx.ReadError("gone")

    client, _ = answers(httpx.Response(200, stream=Broken()))
    with pytest.raises(UnreachableError, match="gone"):
        client.download("r", "film.gif", tmp_path / "film.gif")
    assert list(tmp_path.iterdir()) == []


def test_errors__problem() -> None:
    problem = {
        "type": "/problems/invalid-spec",
        "title": "The run cannot be made",
        "detail": "Too many.",
        "status": 422,
    }
    headers = {"Content-Type": "application/problem+json"}
    client, _ = answers(httpx.Response(422, json=problem | {"field": "capture.frames"}, headers=headers))
    with pytest.raises(ApiError) as caught:
        client.submit({})
    error = caught.value
    assert (error.status, error.title, error.detail) == (422, "The run cannot be made", "Too many.")
    assert error.field == "capture.frames"
    assert str(error) == "The run cannot be made: Too many. (field capture.frames)"


def test_errors__not_a_problem() -> None:
    client, _ = answers(httpx.Response(502, text="<html>bad gateway</html>"))
    with pytest.raises(ApiError, match="HTTP 502 Bad Gateway: <html>") as caught:
        client.run("r")
    assert caught.value.status == 502


def test_errors__nobody_there() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    with pytest.raises(UnreachableError, match="make serve"):
        client_of(refuse).run("r")


def test_describe__with_little() -> None:
    assert describe({}) == "Error"
    assert describe({"title": "A", "detail": None, "field": "b"}) == "A (field b)"
