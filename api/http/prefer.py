"""`Prefer: wait=N` (RFC 7240), for long polling."""

import re
from typing import Annotated

from fastapi import Header, Response

MAX_SECONDS = 60
"""Maximum wait, seconds. A longer `wait` is reduced to this value. Chosen by hand; not measured."""

_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.ASCII | re.IGNORECASE)

Prefer = Annotated[
    str | None,
    Header(
        description=f"`wait=N` delays the response by up to N seconds, at most {MAX_SECONDS}, until the run has the "
        "state that the route waits for. After that time the response shows the current state.",
        examples=["wait=30"],
    ),
]


def wait_seconds(prefer: str | None) -> int | None:
    """Return the seconds in `wait`, at most MAX_SECONDS; None without a valid `wait`. Other preferences are ignored.

    >>> wait_seconds("respond-async, wait=10"), wait_seconds("wait=3600"), wait_seconds("wait=soon")
    (10, 60, None)
    """
    if prefer is None:
        return None
    wishes = (_WAIT.fullmatch(wish.partition(";")[0].strip()) for wish in prefer.split(","))
    found = next((wish for wish in wishes if wish), None)
    return min(int(found[1]), MAX_SECONDS) if found else None


def applied(response: Response, seconds: int | None) -> None:
    """Set the header Preference-Applied if the client asked to wait."""
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
