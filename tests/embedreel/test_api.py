import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from embedreel.api import Client
from embedreel.errors import ApiError, UnreachableError
from embedreel.retry import RetryPolicy
from tests.embedreel.responses import answers, client_of, refused


@pytest.mark.parametrize(
    ("call", "method", "path", "answer", "result"),
    [
        (lambda c: c.run("r"), "GET", "/v1/runs/r", {"id": "r"}, {"id": "r"}),
        (lambda c: c.cancel("r"), "POST", "/v1/runs/r/cancel", {"id": "r"}, {"id": "r"}),
        (lambda c: c.retry("r"), "POST", "/v1/runs/r/retry", {"id": "r"}, {"id": "r"}),
        (
            lambda c: c.events("r", after=3),
            "GET",
            "/v1/runs/r/events?after=3&limit=1000",
            {"events": [{"seq": 4}]},
            [{"seq": 4}],
        ),
        (lambda c: c.checkpoints("r"), "GET", "/v1/runs/r/checkpoints", {"checkpoints": [1]}, [1]),
        (lambda c: c.draw("r", {}), "POST", "/v1/runs/r/renders", {"id": "s"}, {"id": "s"}),
        (lambda c: c.delete("r"), "DELETE", "/v1/runs/r", None, None),
        (lambda c: c.workers(), "GET", "/v1/workers", {"workers": []}, []),
        (lambda c: c.datasets(), "GET", "/v1/datasets", {"datasets": []}, []),
        (lambda c: c.delete_dataset("ds_1"), "DELETE", "/v1/datasets/ds_1", None, None),
        (lambda c: c.webhooks(), "GET", "/v1/webhooks", {"webhooks": []}, []),
        (lambda c: c.add_webhook("https://a.test"), "POST", "/v1/webhooks", {"id": "w"}, {"id": "w"}),
        (lambda c: c.delete_webhook("w"), "DELETE", "/v1/webhooks/w", None, None),
        (lambda c: c.test_webhook("w"), "POST", "/v1/webhooks/w/test", {"sent": True}, {"sent": True}),
        (lambda c: c.keys(), "GET", "/v1/keys", {"keys": []}, []),
        (lambda c: c.add_key("ci"), "POST", "/v1/keys", {"id": "k"}, {"id": "k"}),
        (lambda c: c.revoke_key("k"), "DELETE", "/v1/keys/k", None, None),
        (lambda c: c.models(), "GET", "/v1/models", {"models": [{"id": "m"}]}, [{"id": "m"}]),
        (lambda c: c.model("a/m"), "GET", "/v1/models/a/m", {"id": "a/m"}, {"id": "a/m"}),
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
    assert requests[0].headers["Idempotency-Key"]


@pytest.mark.parametrize("post", [lambda c: c.submit({}), lambda c: c.draw("r", {}), lambda c: c.retry("r")])
def test_a_post_that_is_sent_again_carries_the_same_key__another_one_another(post: Callable[[Client], object]) -> None:
    lost, accepted = httpx.ReadError("gone"), httpx.Response(202, json={"id": "r"})
    client, requests = answers(lost, httpx.Response(503), refused(409, "idempotency-in-flight"), accepted, accepted)
    post(client)
    post(client)
    keys = [request.headers["Idempotency-Key"] for request in requests]
    assert len(set(keys[:4])) == 1
    assert keys[4] != keys[3]


@pytest.mark.parametrize("post", [lambda c: c.add_key("ci"), lambda c: c.add_webhook("https://a.test")])
def test_a_post_that_must_be_done_once_is_not_sent_again_when_it_may_have_been_done(
    post: Callable[[Client], object],
) -> None:
    client, requests = answers(httpx.ConnectError("refused"), httpx.ReadError("gone"))
    with pytest.raises(UnreachableError, match="gone"):
        post(client)
    assert len(requests) == 2


def test_retry__a_lost_answer_and_then_a_conflict_is_a_run_that_goes() -> None:
    client, _ = answers(
        httpx.ReadError("gone"), refused(409), httpx.Response(200, json={"id": "r", "status": "queued"})
    )
    assert client.retry("r") == {"id": "r", "status": "queued"}


def test_retry__a_conflict_at_once_is_one() -> None:
    client, requests = answers(refused(409))
    with pytest.raises(ApiError):
        client.retry("r")
    assert len(requests) == 1


def test_delete__a_lost_answer_and_then_nothing_there_is_done() -> None:
    client, _ = answers(httpx.ReadError("gone"), refused(404, "not-found"))
    client.delete("r")


def test_delete__nothing_there_at_once_is_an_error() -> None:
    client, _ = answers(refused(404, "not-found"))
    with pytest.raises(ApiError):
        client.delete("r")


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


def test_poll__asks_to_wait_for_news_but_not_at_the_first_look() -> None:
    client, requests = answers(httpx.Response(200, json={"id": "r"}, headers={"ETag": '"1"'}), httpx.Response(304))
    client.poll("r", None, wait_seconds=10)
    client.poll("r", '"1"', wait_seconds=10)
    assert [request.headers.get("Prefer") for request in requests] == [None, "wait=10"]


def test_runs__follows_the_cursor_up_to_the_limit() -> None:
    client, requests = answers(
        httpx.Response(200, json={"runs": [{"id": "3"}, {"id": "2"}], "next_cursor": "abc"}),
        httpx.Response(200, json={"runs": [{"id": "1"}], "next_cursor": None}),
    )
    assert [run["id"] for run in client.runs(limit=5)] == ["3", "2", "1"]
    assert [dict(request.url.params) for request in requests] == [{"limit": "5"}, {"limit": "3", "cursor": "abc"}]


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


class Broken(httpx.SyncByteStream):
    def __iter__(self):
        yield b"GIF8"
        raise httpx.ReadError("gone")


def test_download__broken_off_begins_again(tmp_path: Path) -> None:
    client, _ = answers(httpx.Response(200, stream=Broken()), httpx.Response(200, content=b"GIF89a"))
    assert client.download("r", "film.gif", tmp_path / "film.gif").read_bytes() == b"GIF89a"


def test_download__broken_off_for_good_leaves_nothing(tmp_path: Path) -> None:
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, stream=Broken()))
    client = Client("http://service.test", transport=transport, retry=RetryPolicy(0))
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
    assert (error.field, error.slug, error.tries) == ("capture.frames", "invalid-spec", 1)
    assert str(error) == "The run cannot be made: Too many. (field capture.frames)"


def test_errors__not_a_problem() -> None:
    client, _ = answers(httpx.Response(500, text="<html>bad gateway</html>"))
    with pytest.raises(ApiError, match="HTTP 500 Internal Server Error: <html>") as caught:
        client.run("r")
    assert caught.value.status == 500


def test_errors__another_server_at_the_address() -> None:
    client, _ = answers(httpx.Response(200, text="<html>Log in to the hotel's network</html>"))
    with pytest.raises(UnreachableError, match="is not JSON"):
        client.run("r")


def test_errors__no_url() -> None:
    with pytest.raises(ValueError, match="is no URL"):
        Client("http://host:many")


def test_errors__no_server() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused")

    transport = httpx.MockTransport(refuse)
    with pytest.raises(UnreachableError, match="make serve"):
        Client("http://service.test", transport=transport, retry=RetryPolicy(0)).run("r")
