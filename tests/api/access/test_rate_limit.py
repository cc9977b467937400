import pytest

from api.access import rate_limit
from api.access.rate_limit import RateLimiter


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_count__down_to_zero_and_reset_after_a_minute(clock):
    meter = RateLimiter(2, clock=clock)
    first = meter.count("a")
    assert (first.left, first.seconds, first.exceeded) == (1, 60, False)
    clock.now += 20.5
    assert (meter.count("a").left, meter.count("a").exceeded) == (0, True)
    assert meter.count("a").seconds == 40
    clock.now += 39.5
    assert meter.count("a").left == 1


def test_count__each_sender_alone(clock):
    meter = RateLimiter(1, clock=clock)
    assert [meter.count(sender).exceeded for sender in "abab"] == [False, False, True, True]


def test_take_back(clock):
    meter = RateLimiter(1, clock=clock)
    meter.count("a")
    meter.take_back("a")
    meter.take_back("nobody")
    assert not meter.count("a").exceeded


def test_count__no_limit():
    assert RateLimiter(0).count("a") is None


def test_count__forgets_the_oldest_of_many_senders(clock, monkeypatch):
    monkeypatch.setattr(rate_limit, "MOST_WINDOWS", 3)
    meter = RateLimiter(1, clock=clock)
    for sender in "abcd":
        meter.count(sender)
        clock.now += 1
    assert meter.count("d").exceeded
    assert not meter.count("a").exceeded


def test_headers():
    assert RateLimiter(30, clock=lambda: 0.0).count("a").headers() == {
        "RateLimit-Policy": '"default";q=30;w=60',
        "RateLimit": '"default";r=29;t=60',
    }
