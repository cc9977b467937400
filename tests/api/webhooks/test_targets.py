import queue
import socket
import threading
from types import SimpleNamespace

import pytest

from api.http.errors import RefusedUrlError
from api.webhooks import targets
from api.webhooks.targets import find


@pytest.fixture
def resolver(monkeypatch):
    """Return a resolver of these names. A value that is a function is called."""
    known = {"example.com": ["93.184.216.34"], "hooks": ["10.0.0.1"], "xn--bcher-kva.example": ["2606:4700::1111"]}

    def getaddrinfo(host, port, **options):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "not known")
        found = known[host]() if callable(known[host]) else known[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def found(url, **options):
    target = find(url, **({"allow_private": False, "seconds": 30} | options))
    return target.tls, target.host, target.port, target.path, target.addresses


@pytest.mark.parametrize(
    ("url", "host", "port", "path"),
    [
        ("https://example.com", "example.com", 443, "/"),
        ("https://example.com/", "example.com", 443, "/"),
        ("HTTPS://EXAMPLE.com/Hook", "example.com", 443, "/Hook"),
        ("https://example.com:443/a/b?c=d&e=%20f", "example.com", 443, "/a/b?c=d&e=%20f"),
        ("https://example.com:8443?token=x", "example.com", 8443, "/?token=x"),
        ("https://example.com/@user:x@y", "example.com", 443, "/@user:x@y"),
        ("https://xn--bcher-kva.example:65535/", "xn--bcher-kva.example", 65535, "/"),
        ("https://9.9.9.9/", "9.9.9.9", 443, "/"),
        ("https://[2606:4700:0::1111]:1024/", "2606:4700::1111", 1024, "/"),
    ],
)
def test_find__public(resolver, url, host, port, path):
    assert found(url)[:4] == (True, host, port, path)


def test_find__the_addresses_that_were_checked(resolver):
    resolver["example.com"] = ["93.184.216.34", "2606:4700::1111"]
    assert found("https://example.com")[4] == ("93.184.216.34", "2606:4700::1111")
    assert found("https://9.9.9.9")[4] == ("9.9.9.9",)


def test_find__one_private_address_among_many(resolver):
    resolver["example.com"] = [*["93.184.216.34"] * 20, "10.0.0.1"]
    with pytest.raises(RefusedUrlError, match="not public"):
        found("https://example.com")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8000/x", "http://hooks/", "https://hooks:80/", "http://[::1]:9/", "https://10.0.0.1"]
)
def test_find__private_where_the_operator_allows_it(resolver, url):
    assert found(url, allow_private=True)[4]
    with pytest.raises(RefusedUrlError):
        found(url)


@pytest.mark.parametrize("url", ["https://user@127.0.0.1/", "ftp://127.0.0.1/", "http://127.0.0.1:0/", "http://127.1/"])
def test_find__never(resolver, url):
    with pytest.raises(RefusedUrlError):
        found(url, allow_private=True)


def test_find__a_name_that_is_not_there_and_one_that_is_slow(resolver):
    released = threading.Event()
    resolver["example.com"] = lambda: released.wait(60) and ["93.184.216.34"]
    try:
        for url in ("https://nothing.example/", "https://example.com"):
            with pytest.raises(RefusedUrlError, match="could not be found"):
                found(url, seconds=0.2)
    finally:
        released.set()


def test_find__lookups_are_bounded(resolver):
    released, running = threading.Event(), []

    def slow():
        running.append(1)
        return released.wait(60) and ["93.184.216.34"]

    resolver["example.com"] = slow
    try:
        for _ in range(targets.LOOKUPS_AT_ONCE + 5):
            with pytest.raises(RefusedUrlError):
                found("https://example.com", seconds=0.01)
        assert len(running) <= targets.LOOKUPS_AT_ONCE
    finally:
        released.set()
    assert found("https://example.com", seconds=60)[4], "they go on when there is room"


def test_find__waiting_for_a_place_and_the_lookup_share_the_seconds(resolver, monkeypatch):
    clock, waited = SimpleNamespace(now=0.0), []

    class Places:
        def acquire(self, *, timeout):
            waited.append(timeout)
            clock.now += 0.75
            return True

        def release(self):
            pass

    class Answers(queue.Queue):
        def get(self, *, timeout):
            waited.append(timeout)
            return super().get(timeout=20)

    resolver["hooks.example.com"] = ["93.184.216.34"]
    monkeypatch.setattr(targets, "_lookups", Places())
    monkeypatch.setattr(targets, "queue", SimpleNamespace(SimpleQueue=Answers, Empty=queue.Empty))
    monkeypatch.setattr(targets, "time", SimpleNamespace(monotonic=lambda: clock.now))
    assert found("https://hooks.example.com/", seconds=1.0)[1] == "hooks.example.com"
    assert waited == [1.0, 0.25]
