"""What can go wrong between this client and the service."""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Something between this client and the service went wrong."""


class UnreachableError(ClientError):
    """Nothing answers at the URL, or the answer broke off."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"No Embedreel service answers at {url} ({reason}). Start it with `make serve`.")


class UploadError(ClientError):
    """The connection broke while files were sent."""

    def __init__(self, *, sent_bytes: int, total_bytes: int, reason: object) -> None:
        sent, total = (count / 1e6 for count in (sent_bytes, total_bytes))
        then = "Send it again."
        if sent_bytes >= total_bytes:
            then = "The service may have taken it all the same: see `embedreel datasets` before you send it again."
        super().__init__(f"The upload broke off at {sent:.1f} of {total:.1f} MB ({reason}). {then}")


class ApiError(ClientError):
    """The service refused; it says why.

    Attributes:
        status: HTTP status, 400 to 599.
        title: what kind of error.
        detail: what happened and what to do next.
        field: path of the field at fault in the body, or None.
        type: the problem's stable address, such as /problems/not-found; empty where the answer is no problem object.
        retry_after_seconds: how long the service asks to wait before the next try, or None.
        tries: how often the request had been sent when this answer came.
    """

    tries = 1

    def __init__(
        self,
        *,
        status: int,
        title: str,
        detail: str = "",
        field: str | None = None,
        type: str = "",  # noqa: A002 - RFC 9457's own name
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(describe({"title": title, "detail": detail, "field": field}))
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field
        self.type = type
        self.retry_after_seconds = retry_after_seconds

    @property
    def slug(self) -> str:
        """The last part of the type, such as `not-found`."""
        return self.type.rpartition("/")[2]


def describe(problem: Mapping[str, Any]) -> str:
    """A problem object (RFC 9457) in one line.

    >>> describe({"title": "Not there yet", "detail": "The film is not drawn.", "field": None})
    'Not there yet: The film is not drawn.'
    """
    title, detail, field = (problem.get(key) or "" for key in ("title", "detail", "field"))
    line = ": ".join(part for part in (title or "Error", detail) if part)
    return f"{line} (field {field})" if field not in detail else line
