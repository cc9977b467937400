"""An HTTP connection to one service, with retries. Refusals become errors."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar

import httpx
from httpx_sse import EventSource, SSEError

from embedreel.errors import ApiError, UnreachableError
from embedreel.retry import RetryPolicy, retry_after

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60, connect=5)
"""Timeouts of a request, seconds. They exceed the longest `Prefer: wait` of this client (WAIT_SECONDS, 10 s).

Chosen by hand; not measured.
"""

Json: TypeAlias = dict[str, Any]
T = TypeVar("T")
Received = Callable[[int, int | None], None]
"""Called with the bytes received and the total bytes; the total is None if the service does not send it."""


class Connection:
    """Sends requests, and retries them with the policy `retry`.

    Every method raises ApiError if the service refuses the request, and UnreachableError if the service does not
    answer. The argument `repeatable` is True if the service may carry out the request twice without harm. The `options`
    are options of httpx.
    """

    def __init__(
        self, url: str, api_key: str | None, *, retry: RetryPolicy, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url.rstrip("/")
        self.retry = retry
        try:
            loopback = httpx.URL(self.url).host in {"127.0.0.1", "::1", "localhost"}
        except httpx.InvalidURL as error:
            raise ValueError(f"{url!r} is no URL ({error}). Example of a URL: {DEFAULT_URL}") from error
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=not loopback,  # a proxy from the environment cannot reach this machine's loopback ports
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def send(self, method: str, path: str, *, repeatable: bool, **options: Any) -> httpx.Response:  # noqa: ANN401
        """Send a request and return the response."""

        def attempt() -> httpx.Response:
            response = self._http.request(method, path, **options)
            _refuse(response)
            return response

        return self._until_answered(attempt, repeatable=repeatable)

    def json(self, method: str, path: str, *, repeatable: bool, **options: Any) -> Json:  # noqa: ANN401
        """Send a request and return the response's JSON body."""
        return self.decoded(self.send(method, path, repeatable=repeatable, **options))

    def decoded(self, response: httpx.Response) -> Json:
        """Return the JSON body of a response. Raise UnreachableError if the body is not JSON."""
        try:
            body: Json = response.json()
        except json.JSONDecodeError as error:
            raise UnreachableError(self.url, f"the response is not JSON, but {response.text[:80]!r}") from error
        return body

    def save(self, path: str, file: Path, on_progress: Received | None = None) -> None:
        """Download the response to GET into a file. The file is complete when this returns."""

        def attempt() -> None:
            with self._http.stream("GET", path) as response, file.open("wb") as opened:
                _refuse(response)
                size = response.headers.get("Content-Length")
                for chunk in response.iter_bytes():
                    opened.write(chunk)
                    if on_progress:
                        on_progress(response.num_bytes_downloaded, int(size) if size else None)

        self._until_answered(attempt, repeatable=True)

    @contextmanager
    def opened(self, path: str, *, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open the response to GET for streaming.

        Raises:
            TransportError: inside the block, if the connection breaks while the response is read.
        """

        def attempt() -> httpx.Response:
            response = self._http.send(self._http.build_request("GET", path, headers=headers), stream=True)
            try:
                _refuse(response)
            except BaseException:
                response.close()
                raise
            return response

        with closing(self._until_answered(attempt, repeatable=True)) as response:
            yield response

    def events(self, response: httpx.Response) -> Iterator[Json]:
        """Yield the data of each server-sent event as it arrives. Pings and incomplete events are left out.

        Raises:
            TransportError: the connection broke.
        """
        try:
            for event in EventSource(response).iter_sse():
                if event.data:
                    yield event.json()
        except SSEError as error:
            raise UnreachableError(self.url, f"the response is not an event stream: {error}") from error

    def _until_answered(self, attempt: Callable[[], T], *, repeatable: bool) -> T:
        try:
            return self.retry.send(attempt, repeatable=repeatable)
        except httpx.TransportError as error:
            raise UnreachableError(self.url, error) from error


def _refuse(response: httpx.Response) -> None:
    """Turn an error response into an ApiError."""
    if not response.is_error:
        return
    response.read()
    title = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    problem: Json = {"detail": response.text[:200]}
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = response.json()
    raise ApiError(
        status=response.status_code,
        title=problem.get("title") or title,
        detail=problem.get("detail") or "",
        field=problem.get("field"),
        type=problem.get("type") or "",
        retry_after_seconds=retry_after(response.headers.get("Retry-After")),
    )
