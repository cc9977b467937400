import httpx
import pytest

from embedreel.errors import ApiError, UnreachableError
from tests.embedreel.responses import answers, refused


def test_events__over_several_pages() -> None:
    rows = [{"seq": seq} for seq in range(1, 1502)]
    client, requests = answers(
        httpx.Response(200, json={"events": rows[:1000]}), httpx.Response(200, json={"events": rows[1000:]})
    )
    assert client.events("r") == rows
    assert [request.url.params["after"] for request in requests] == ["0", "1000"]


def sse(*numbers: int) -> bytes:
    return "".join(f'id: {seq}\ndata: {{"seq": {seq}}}\n\n' for seq in numbers).encode()


def streamed(content: bytes | httpx.SyncByteStream) -> httpx.Response:
    body = {"content": content} if isinstance(content, bytes) else {"stream": content}
    return httpx.Response(200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, **body)


def test_follow__takes_up_after_the_last_event_until_there_is_no_more() -> None:
    class Breaking(httpx.SyncByteStream):
        def __iter__(self):
            yield sse(1, 2) + b'data: {"seq"'
            raise httpx.ReadError("gone")

    client, requests = answers(
        streamed(Breaking()),
        httpx.ConnectError("refused"),
        httpx.Response(503),
        streamed(sse()),
        streamed(sse(3)),
        httpx.Response(204),
    )
    assert list(client.follow("r")) == [{"seq": 1}, {"seq": 2}, {"seq": 3}]
    assert [request.headers.get("Last-Event-ID") for request in requests] == [None, "2", "2", "2", "2", "3"]


def test_follow__pings_are_ignored() -> None:
    content = b": ping\n\n" + sse(1) + b": ping\n\n" + sse(2) + b": ping\n\n"
    client, _ = answers(streamed(content), httpx.Response(204))
    assert list(client.follow("r")) == [{"seq": 1}, {"seq": 2}]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85"])
def test_follow__only_line_feeds_and_carriage_returns_end_a_line(separator: str) -> None:
    name = f"a{separator}b"
    data = f'data: {{"seq": 1,\r\ndata: "name": "{name}"}}\r\n\r\n'
    client, _ = answers(streamed(data.encode()), httpx.Response(204))
    assert list(client.follow("r")) == [{"seq": 1, "name": name}]


def test_follow__an_answer_that_is_no_event_stream() -> None:
    client, _ = answers(httpx.Response(200, json={"seq": 1}))
    with pytest.raises(UnreachableError, match="is not an event stream"):
        list(client.follow("r"))


def test_follow__a_deleted_run() -> None:
    client, _ = answers(refused(404, "not-found"))
    with pytest.raises(ApiError):
        list(client.follow("r"))
