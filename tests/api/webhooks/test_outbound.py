import ssl
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler

import pytest
import trustme

from api.webhooks import outbound
from api.webhooks.targets import Target
from testing.service import free_port
from tests.receiver import receiving, server_context

NAME = "hooks.example.com"


def target(receiver, *, tls=False, host=NAME, addresses=("127.0.0.1",), path="/hook?a=b"):
    return Target(tls, host, receiver.port, path, addresses)


def post(where, *, seconds=30, **headers):
    return outbound.post(where, b'{"a": 1}', headers, seconds=seconds)


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusting(authority, monkeypatch):
    """Return a sender that trusts only this certificate authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    monkeypatch.setattr(outbound, "_context", lambda: context)


def test_post__what_the_receiver_hears():
    with receiving(202) as receiver:
        assert post(target(receiver), Extra="x") == outbound.WebhookResponse(202)
        (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?a=b", b'{"a": 1}')
    assert received.headers["host"] == f"{NAME}:{receiver.port}"
    assert received.headers["extra"] == "x"


def test_post__no_proxy_of_the_environment(monkeypatch):
    with receiving() as proxy, receiving() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert post(target(receiver)).status == 204
        assert (len(receiver.received), proxy.received) == (1, [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_post__follows_nothing(status):
    with receiving() as elsewhere, receiving(status, Location=f"http://127.0.0.1:{elsewhere.port}/") as receiver:
        assert post(target(receiver)).status == status
        assert (len(receiver.received), elsewhere.received) == (1, [])


def test_post__tls_to_the_pinned_address_for_the_name(authority, trusting):
    asked = []
    context = server_context(authority, NAME)
    context.sni_callback = lambda _, name, __: asked.append(name)
    with receiving(tls=context) as receiver:
        assert post(target(receiver, tls=True)) == outbound.WebhookResponse(204)
        assert len(receiver.received) == 1
    assert asked == [NAME]


def test_post__tls_refuses_the_certificate_of_another(authority, trusting):
    with receiving(tls=server_context(authority, "other.example.com")) as receiver:
        answer = post(target(receiver, tls=True))
        assert receiver.received == []
    assert answer.status is None
    assert "certificate is not accepted" in answer.error
    assert NAME in answer.error


def test_post__tls_refuses_an_unknown_authority(trusting):
    with receiving(tls=server_context(trustme.CA(), NAME)) as receiver:
        assert "certificate is not accepted" in post(target(receiver, tls=True)).error
        assert receiver.received == []


def test_post__tls_of_a_receiver_without_it():
    with receiving() as receiver:
        answer = post(target(receiver, tls=True))
    assert answer.status is None
    assert receiver.received == []


def test_post__uses_the_next_address_if_one_fails():
    with receiving() as receiver:
        assert post(target(receiver, addresses=("127.0.0.2", "127.0.0.1"))).status == 204


def test_post__no_server():
    nobody = Target(tls=False, host=NAME, port=free_port(), path="/", addresses=("127.0.0.1", "127.0.0.1"))
    assert post(nobody) == outbound.WebhookResponse(None, "The connection to the receiver failed: Connection refused.")


def test_post__a_huge_answer_is_not_read():
    sent = []

    def huge(handler: BaseHTTPRequestHandler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 40))
        handler.end_headers()
        sent.extend(handler.wfile.write(b"x" * 65536) for _ in range(10_000))

    with receiving(huge) as receiver:
        assert post(target(receiver)).status == 200
    assert len(sent) < 1000


def endless_headers(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for index in range(100_000):
        handler.wfile.write(b"X-%d: %s\r\n" % (index, b"x" * 60_000))


def long_status_line(handler):
    handler.wfile.write(b"HTTP/1.1 200 " + b"x" * (1 << 20))


def not_http(handler):
    handler.wfile.write(b"SSH-2.0-\x00\xff secret\r\n")


def hangs_up(handler):
    handler.connection.close()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (endless_headers, "The receiver's answer is not HTTP."),
        (long_status_line, "The receiver's answer is not HTTP."),
        (not_http, "The receiver's answer is not HTTP."),
        (hangs_up, "The receiver closed the connection without an answer."),
    ],
)
def test_post__invalid_responses(answer, error):
    with receiving(answer) as receiver:
        assert post(target(receiver)) == outbound.WebhookResponse(None, error)


def says_nothing(handler):
    handler.rfile.read(1)


def trickles(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(600):
        handler.wfile.write(b"x")
        time.sleep(0.1)


def continues(handler):
    for _ in range(600):
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.1)


@pytest.mark.parametrize("slow", [says_nothing, trickles, continues])
@pytest.mark.parametrize("tls", [False, True])
def test_post__a_limit_for_all_of_it(authority, trusting, slow, tls):
    context = server_context(authority, NAME) if tls else None
    began = time.monotonic()
    with receiving(slow, tls=context) as receiver:
        answer = post(target(receiver, tls=tls), seconds=2)
    assert answer == outbound.WebhookResponse(None, "The receiver did not answer within 2 seconds.")
    assert time.monotonic() - began < 30, "the receiver goes on for a minute"


@pytest.mark.parametrize("seconds", [0.0, -0.3])
def test_post__no_time_left(seconds):
    with receiving() as receiver:
        answer = post(target(receiver), seconds=seconds)
        assert (answer.status, answer.error) == (None, "No time was left to send the request.")
        assert receiver.received == []


def test_post__a_slow_body_does_not_undo_the_status():
    def slow_body(handler):
        handler.send_response(200)
        handler.end_headers()
        trickles(handler)

    with receiving(slow_body) as receiver:
        assert post(target(receiver), seconds=2).status == 200


def test_post__a_handshake_that_never_ends(trusting):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Target(tls=True, host=NAME, port=silent.getsockname()[1], path="/", addresses=("127.0.0.1",))
        assert post(where, seconds=1) == outbound.WebhookResponse(None, "The receiver did not answer within 1 seconds.")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("120", 120), ("0", 0), ("", None), ("-5", None), ("9" * 50, None), ("soon", None), ("١٢", None), ("1.5", None)],
)
def test_post__retry_after(header, seconds):
    if not header.isascii():
        header = header.encode().decode("latin-1")
    with receiving(503, Retry_After=header) as receiver:
        assert post(target(receiver)) == outbound.WebhookResponse(503, retry_after=seconds)


def test_post__retry_after_a_date():
    at = datetime.now(UTC) + timedelta(hours=1)
    with receiving(429, Retry_After=format_datetime(at, usegmt=True)) as receiver:
        assert 3000 < post(target(receiver)).retry_after <= 3600
