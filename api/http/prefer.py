"""`Prefer: wait=N` (RFC 7240): a client that would rather wait than ask again."""

import re
from typing import Annotated

from fastapi import Header, Response

MAX_SECONDS = 60

_WAIT = re.compile(r'wait\s*=\s*"?(\d{1,9})"?', re.ASCII | re.IGNORECASE)

Prefer = Annotated[
    str | None,
    Header(
        description=f"`wait=N` waits up to N seconds, at most {MAX_SECONDS}, for what the client hopes for; the answer "
        "is then the one it would have got in the end.",
        examples=["wait=30"],
    ),
]


def wait_seconds(prefer: str | None) -> int | None:
    """Seconds that the client would wait, None where it asks for no such thing. What is not understood is ignored.

    >>> wait_seconds("respond-async, wait=10"), wait_seconds("wait=3600"), wait_seconds("wait=soon")
    (10, 60, None)
    """
    if prefer is None:
        return None
    wishes = (_WAIT.fullmatch(wish.partition(";")[0].strip()) for wish in prefer.split(","))
    found = next((wish for wish in wishes if wish), None)
    return min(int(found[1]), MAX_SECONDS) if found else None


def applied(response: Response, seconds: int | None) -> None:
    """Say that the wish was granted."""
    if seconds is not None:
        response.headers["Preference-Applied"] = f"wait={seconds}"
