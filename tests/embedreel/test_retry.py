import random
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from embedreel.api import Client
from embedreel.errors import ApiError
from embedreel.retry import RetryPolicy, may_repeat, retry_after


class Time:
    """A clock that moves only when the code sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def retry(self, **options: object) -> RetryPolicy:
        return RetryPolicy(sleep=self.sleep, now=lambda: self.now, rng=random.Random(0), **options)


def failing(error: Exception, *, times: int = 1000) -> Callable[[], str]:
    left = [error] * times

    def attempt() -> str:
        if left:
            raise left.pop()
        return "done"

    return attempt


def refusal(status: int, *, slug: str = "", after: float | None = None) -> ApiError:
    return ApiError(status=status, title="No", type=f"/problems/{slug}", retry_after_seconds=after)


def test_send__until_it_is_answered() -> None:
    time = Time()
    assert time.retry().send(failing(httpx.ReadError("gone"), times=5), repeatable=True) == "done"
    bounds = [0.5, 1.0, 2.0, 4.0, 8.0]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(time.pauses, bounds, strict=True))


def test_send__for_a_minute_in_all() -> None:
    time = Time()
    with pytest.raises(httpx.ReadError):
        time.retry().send(failing(httpx.ReadError("gone")), repeatable=True)
    assert 40 < time.now <= 60
    assert max(time.pauses) <= 16


def test_send__zero_seconds_is_one_try() -> None:
    time = Time()
    with pytest.raises(ApiError) as caught:
        time.retry(seconds=0).send(failing(refusal(503)), repeatable=True)
    assert (time.pauses, caught.value.tries) == ([], 1)


def test_send__waits_as_long_as_the_service_asks() -> None:
    time = Time()
    time.retry().send(failing(refusal(429, after=20), times=2), repeatable=False)
    assert all(20 < pause <= 21 for pause in time.pauses)


def test_send__does_not_wait_beyond_its_limit() -> None:
    time = Time()
    with pytest.raises(ApiError):
        time.retry().send(failing(refusal(429, after=3600)), repeatable=True)
    assert time.pauses == []


def test_send__an_in_flight_request_is_repeated_every_second() -> None:
    time = Time()
    time.retry().send(failing(refusal(409, slug="idempotency-in-flight"), times=3), repeatable=True)
    assert time.pauses == [1, 1, 1]


def test_send__reports_the_error_and_counts_the_tries() -> None:
    time, told = Time(), []
    errors = [refusal(404), refusal(503), refusal(502)]

    def attempt() -> None:
        raise errors.pop()

    with pytest.raises(ApiError) as caught:
        time.retry(report=lambda error, pause: told.append((error.status, pause))).send(attempt, repeatable=True)
    assert (caught.value.status, caught.value.tries) == (404, 3)
    assert told == [(502, time.pauses[0]), (503, time.pauses[1])]


@pytest.mark.parametrize(
    ("error", "read", "written"),
    [
        (httpx.ConnectError("refused"), True, True),
        (httpx.ConnectTimeout("slow"), True, True),
        (httpx.ReadTimeout("slow"), True, False),
        (httpx.WriteError("reset"), True, False),
        (httpx.RemoteProtocolError("no answer"), True, False),
        (httpx.UnsupportedProtocol("ftp"), False, False),
        (refusal(429), True, True),
        (refusal(429, slug="quota-exceeded", after=5), True, True),
        (refusal(429, slug="quota-exceeded"), False, False),
        (refusal(502), True, False),
        (refusal(503), True, False),
        (refusal(504), True, False),
        (refusal(409, slug="idempotency-in-flight"), True, False),
        (refusal(409, slug="conflict"), False, False),
        (refusal(404), False, False),
        (refusal(500), False, False),
    ],
)
def test_may_repeat(error: Exception, read: bool, written: bool) -> None:
    assert may_repeat(error, repeatable=True) == read
    assert may_repeat(error, repeatable=False) == written


def test_retry_after__seconds_or_a_date() -> None:
    now = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
    assert retry_after("5") == 5
    assert retry_after("Thu, 01 Jan 2026 12:00:30 GMT", now=now) == 30
    assert retry_after("Thu, 01 Jan 2026 11:00:00 GMT", now=now) == 0
    assert retry_after("1e3") is None


@pytest.mark.parametrize("seed", range(40))
def test_a_run_is_made_once__whatever_befalls_the_requests(
    seed: int, service: Callable[..., str], fake: object
) -> None:
    rng, url = random.Random(seed), service()
    kinds = ["lost before", "lost after", 409, 429, 502, 503, 504]
    fake.Handler.faults = [rng.choice(kinds) for _ in range(rng.randint(1, 6))]
    with Client(url, retry=Time().retry()) as client:
        assert client.submit({"dataset": "digits"})["id"] == "run_1"
    assert fake.Handler.faults == []
    assert len(fake.Handler.made) == 1
