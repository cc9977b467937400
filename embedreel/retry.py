"""The retry policy of the client: which requests are retried, and after which pause.

A request is repeatable if it only reads, carries an Idempotency-Key, or has the same effect when it is sent twice.
Repeatable requests are retried if the connection breaks, or if the service or a proxy answers 502, 503 or 504. Other
requests are retried only if they cannot have been carried out: the connection was not made, or the status is 429.
"""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
from tenacity import RetryCallState, Retrying

from embedreel.errors import ApiError

# Chosen by hand; not measured. Longer times outlast longer outages. Shorter times report a failure earlier.
RETRY_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 16.0
IN_FLIGHT_SECONDS = 1.0
IN_FLIGHT = "idempotency-in-flight"  # type of the problem: an earlier request with the same key is not finished
QUOTA = "quota-exceeded"

TOO_MANY_REQUESTS = 429
UNAVAILABLE = frozenset({502, 503, 504})
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
PERMANENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)

T = TypeVar("T")
Failure = httpx.TransportError | ApiError


class RetryPolicy:
    """Retries a request until it succeeds, fails permanently, or the time is up."""

    def __init__(
        self,
        seconds: float = RETRY_SECONDS,
        *,
        report: Callable[[Failure, float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Set the limits.

        Args:
            seconds: time limit for all tries of one request, including pauses; 0 sends the request once.
            report: called before each pause with the failure and the pause in seconds.
            sleep: waits for a number of seconds.
            now: clock, seconds.
            rng: randomizes the pauses, so that many clients do not retry at the same time; None creates a generator.
        """
        self.seconds = seconds
        self.sleep = sleep
        self._report = report
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - no secret

    def send(self, attempt: Callable[[], T], *, repeatable: bool) -> T:
        """Call `attempt` until it succeeds. Return its result.

        Args:
            attempt: sends the request once.
            repeatable: True if the service may carry out the request twice without harm.

        Raises:
            TransportError: the last attempt failed, and the time limit is reached or a retry is not allowed.
            ApiError: the service refused the last attempt, and the time limit is reached or a retry is not allowed.
                The attribute `tries` is the number of attempts.
        """
        until = self._now() + self.seconds

        def is_repeated(state: RetryCallState) -> bool:
            error = _failure(state)
            return error is not None and may_repeat(error, repeatable=repeatable)

        retrying = Retrying(
            retry=is_repeated,
            wait=self._pause,
            stop=lambda state: self._now() + state.upcoming_sleep > until,
            before_sleep=self._before_sleep,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(attempt)

    def _before_sleep(self, state: RetryCallState) -> None:
        error = _failure(state)
        if self._report and error:
            self._report(error, state.upcoming_sleep)

    def _pause(self, state: RetryCallState) -> float:
        """Return the pause before the next try, seconds.

        The pause doubles with each try, up to LONGEST_PAUSE_SECONDS. It is multiplied by a random factor from 0.5 to 1.
        The seconds of Retry-After are added.
        """
        error, tries = _failure(state), state.attempt_number
        if isinstance(error, ApiError) and error.slug == IN_FLIGHT:
            return IN_FLIGHT_SECONDS
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1)) * self._rng.uniform(0.5, 1)
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        return pause + (asked or 0.0)


def _failure(state: RetryCallState) -> Failure | None:
    """Return the failure of an attempt, or None for other exceptions. Set `tries` of an ApiError."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError):
        error.tries = state.attempt_number
    return error if isinstance(error, httpx.TransportError | ApiError) else None


def may_repeat(error: Failure, *, repeatable: bool) -> bool:
    """Return True if a retry is safe and may succeed."""
    if isinstance(error, ApiError):
        if error.status == TOO_MANY_REQUESTS:  # an exceeded quota without Retry-After requires a deletion
            return error.slug != QUOTA or error.retry_after_seconds is not None
        return repeatable and (error.status in UNAVAILABLE or error.slug == IN_FLIGHT)
    return isinstance(error, NEVER_SENT) or (repeatable and not isinstance(error, PERMANENT))


def retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Parse a Retry-After header (seconds or a date). Return the seconds from `now`, or None if it is invalid.

    >>> retry_after("7"), retry_after(None), retry_after("soon")
    (7.0, None, None)
    """
    if not header:
        return None
    if header.strip().isdecimal():
        return float(header)
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds())
