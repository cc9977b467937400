"""How many requests a minute: a window for each key, or for each address where there is no key.

Counted in this process's memory: a service of several API processes takes as many times as much. What is announced
follows draft-ietf-httpapi-ratelimit-headers-11.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_SECONDS = 60
MOST_WINDOWS = 10_000
"""With more senders than this, the oldest window is forgotten, and its sender starts anew."""


@dataclass(slots=True)
class Window:
    """What a sender has used since its first request in it; `ends_at` by the meter's clock."""

    ends_at: float
    used: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """Where a sender stands after a request: how many more it may send, and the seconds until it may send all again."""

    limit: int
    left: int
    seconds: int
    exceeded: bool

    def headers(self) -> dict[str, str]:
        """The same for the answer."""
        return {
            "RateLimit-Policy": f'"default";q={self.limit};w={WINDOW_SECONDS}',
            "RateLimit": f'"default";r={self.left};t={self.seconds}',
        }


class RateLimiter:
    """Counts requests. A limit of 0 counts nothing."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._windows: dict[str, Window] = {}  # in the order of their ends

    def count(self, sender: str) -> Reading | None:
        """One more request of this sender; None where nothing is limited."""
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
        """One request of this sender less: it was another's."""
        if window := self._windows.get(sender):
            window.used -= 1

    def _begin(self, sender: str, now: float) -> Window:
        self._windows.pop(sender, None)
        if len(self._windows) >= MOST_WINDOWS:
            del self._windows[next(iter(self._windows))]
        window = self._windows[sender] = Window(now + WINDOW_SECONDS)
        return window
