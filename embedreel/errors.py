"""Errors of the client."""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Base class of the client's errors."""


class UnreachableError(ClientError):
    """No Embedreel service answers at the URL, or the connection broke."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"No Embedreel service answers at {url} ({reason}). Start the service with `make serve`.")


class UploadError(ClientError):
    """The connection broke during an upload."""

    def __init__(self, *, sent_bytes: int, total_bytes: int, reason: object) -> None:
        sent, total = (count / 1e6 for count in (sent_bytes, total_bytes))
        then = "Send the files again."
        if sent_bytes >= total_bytes:
            then = "The service may have the dataset: check `embedreel datasets` before you send the files again."
        super().__init__(f"The upload broke off at {sent:.1f} of {total:.1f} MB ({reason}). {then}")


class ApiError(ClientError):
    """The service refused a request.

    Attributes:
        status: HTTP status, 400 to 599.
        title: kind of error, in words.
        detail: cause of the error, and what to do next.
        field: path of the invalid field in the body, or None.
        type: the problem's stable type, such as /problems/not-found; empty if the response is not a problem object.
        retry_after_seconds: seconds to wait before the next try (Retry-After), or None.
        tries: number of times that the request was sent.
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
        """Last part of the type, such as `not-found`."""
        return self.type.rpartition("/")[2]


def describe(problem: Mapping[str, Any]) -> str:
    """Format a problem object (RFC 9457) as one line.

    >>> describe({"title": "Not there yet", "detail": "The film is not drawn.", "field": None})
    'Not there yet: The film is not drawn.'
    """
    title, detail, field = (problem.get(key) or "" for key in ("title", "detail", "field"))
    line = ": ".join(part for part in (title or "Error", detail) if part)
    return f"{line} (field {field})" if field not in detail else line
