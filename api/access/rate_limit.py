"""A fixed-window rate limit of requests per minute, with one window for each key or, without a key, each IP address.

The counts are in this process's memory. With n API processes, the effective limit is n times as high. The headers
follow draft-ietf-httpapi-ratelimit-headers-11.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 60
MOST_WINDOWS = 10_000
"""Maximum number of windows. Beyond it, the oldest window is dropped, and its sender gets a new one.

The number bounds memory. Chosen by hand; not measured.
"""


@dataclass(slots=True)
class Window:
    """The requests of one sender in one minute.

    Attributes:
        ends_at: end of the window on the limiter's clock, seconds.
        used: number of requests so far.
    """

    ends_at: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """The state of a sender's window after a request.

    Attributes:
        limit: maximum number of requests per window.
        left: number of requests left in the window.
        seconds: seconds until the window ends, rounded up.
        exceeded: True if the request exceeds the limit.
    """

    limit: int
    left: int
    seconds: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """Return the RateLimit headers for the response."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.left};t={self.seconds}',
        }


class RateLimiter:
    """Counts requests by sender. A limit of 0 disables counting."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._windows: dict[str, Window] = {}  # in the order of their ends

    def count(self, sender: str) -> Reading | None:
        """Count one request of this sender. Return None if there is no limit."""
        if not self._limit:
            return None
        now = self._clock()
        window = self._windows.get(sender)
        if window is None or window.ends_at <= now:
            window = self._begin(sender, now)
        window.used += 1
        left = self._limit - window.used
        return Reading(self._limit, max(0, left), math.ceil(window.ends_at - now), exceeded=left < 0)

    def take_back(self, sender: str) -> None:
        """Subtract one request of this sender, because it is counted for another sender."""
        if window := self._windows.get(sender):
            window.used -= 1

    def _begin(self, sender: str, now: float) -> Window:
        self._windows.pop(sender, None)
        if len(self._windows) >= MOST_WINDOWS:
            del self._windows[next(iter(self._windows))]
        window = self._windows[sender] = Window(now + WINDOW_SECONDS)
        return window
