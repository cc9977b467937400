"""When a request is sent again, and after what pause: the one policy of this client.

A request that may be sent twice (it only reads, or carries an Idempotency-Key, or says the same twice) is repeated when
the connection breaks and when the service or what stands before it is out of order for a while. Any other is repeated
only where it cannot have been done: the connection did not come about, or the service said "not now".
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

RETRY_SECONDS = 60.0
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 16.0
IN_FLIGHT_SECONDS = 1.0
IN_FLIGHT = "idempotency-in-flight"
QUOTA = "quota-exceeded"

TOO_MANY_REQUESTS = 429
OUT_OF_ORDER = frozenset({502, 503, 504})
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
HOPELESS = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)

T = TypeVar("T")
Failure = httpx.TransportError | ApiError


class RetryPolicy:
    """Sends a request until it is answered, or the time is up."""

    def __init__(
        self,
        seconds: float = RETRY_SECONDS,
        *,
        report: Callable[[Failure, float], None] | None = None,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        """Be patient for so long.

        Args:
            seconds: how long one request may take in all, pauses included; 0: it is sent once.
            report: called before each pause, with what went wrong and the seconds until the next try.
            sleep: waits.
            now: the time, seconds.
            rng: makes the pauses differ, so that many clients do not come back at once.
        """
        self.seconds = seconds
        self.sleep = sleep
        self._report = report
        self._now = now
        self._rng = rng or random.Random()  # noqa: S311 - no secret

    def send(self, attempt: Callable[[], T], *, repeatable: bool) -> T:
        """Call `attempt` until it returns.

        Args:
            attempt: sends the request once.
            repeatable: the request may be done twice without harm.

        Raises:
            TransportError: of the last attempt; the time is up, or another attempt would be of no use.
            ApiError: likewise; `tries` says how often it was sent.
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
        """Twice as long with each try, half of it by chance; never shorter than the service asks for."""
        error, tries = _failure(state), state.attempt_number
        if isinstance(error, ApiError) and error.slug == IN_FLIGHT:
            return IN_FLIGHT_SECONDS
        pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** (tries - 1)) * self._rng.uniform(0.5, 1)
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        return pause + (asked or 0.0)


def _failure(state: RetryCallState) -> Failure | None:
    """What went wrong in an attempt; an ApiError is told which attempt it was. None for any other exception."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ApiError):
        error.tries = state.attempt_number
    return error if isinstance(error, httpx.TransportError | ApiError) else None


def may_repeat(error: Failure, *, repeatable: bool) -> bool:
    """Whether sending the request again is of use, and does no harm."""
    if isinstance(error, ApiError):
        if error.status == TOO_MANY_REQUESTS:  # waiting does not help where something must be deleted first
            return error.slug != QUOTA or error.retry_after_seconds is not None
        return repeatable and (error.status in OUT_OF_ORDER or error.slug == IN_FLIGHT)
    return isinstance(error, NEVER_SENT) or (repeatable and not isinstance(error, HOPELESS))


def retry_after(header: str | None, *, now: datetime | None = None) -> float | None:
    """Seconds that a Retry-After header asks for: a number, or a date; None for anything else.

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
