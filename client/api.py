"""A Python client of the Embedreel HTTP API: plain JSON in and out, one kind of error.

It holds nothing of the service: the service says what it can do, and refuses what it cannot.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import httpx

DEFAULT_URL = "http://127.0.0.1:8000"
PAGE_SIZE = 100
TIMEOUT = httpx.Timeout(60, connect=5)
UPLOAD_TIMEOUT = httpx.Timeout(1800, connect=5)  # the answer comes when every image has been looked at

Json: TypeAlias = dict[str, Any]


class ClientError(Exception):
    """Something between this client and the service went wrong."""


class UnreachableError(ClientError):
    """Nothing answers at the URL, or the answer broke off."""

    def __init__(self, url: str, reason: object) -> None:
        super().__init__(f"No Embedreel service answers at {url} ({reason}). Start it with `make serve`.")


class ApiError(ClientError):
    """The service refused; it says why.

    Attributes:
        status: HTTP status, 400 to 599.
        title: what kind of error.
        detail: what happened and what to do next.
        field: path of the field at fault in the body, or None.
    """

    def __init__(self, *, status: int, title: str, detail: str = "", field: str | None = None) -> None:
        super().__init__(describe({"title": title, "detail": detail, "field": field}))
        self.status = status
        self.title = title
        self.detail = detail
        self.field = field


def describe(problem: Mapping[str, Any]) -> str:
    """A problem object (RFC 9457) in one line.

    >>> describe({"title": "Not there yet", "detail": "The film is not drawn.", "field": None})
    'Not there yet: The film is not drawn.'
    """
    title, detail, field = (problem.get(key) or "" for key in ("title", "detail", "field"))
    line = ": ".join(part for part in (title or "Error", detail) if part)
    return f"{line} (field {field})" if field not in detail else line


class Client:
    """One connection to one service; use it in a `with` block.

    Every method raises ApiError when the service refuses, UnreachableError when it does not answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        loopback = httpx.URL(self.url).host in {"127.0.0.1", "::1", "localhost"}
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=TIMEOUT,
            transport=transport,
            trust_env=not loopback,  # a proxy of the environment does not reach this machine's own ports
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def submit(self, body: Mapping[str, Any]) -> Json:
        """Ask for a run; returns it with its plan and links."""
        return self._json("POST", "/v1/runs", json=body)

    def run(self, run_id: str) -> Json:
        """One run as it is now."""
        return self._json("GET", f"/v1/runs/{run_id}")

    def poll(self, run_id: str, etag: str | None) -> tuple[Json | None, str | None]:
        """One run if it has changed since `etag`, else None; and the ETag to ask with next."""
        response = self._send("GET", f"/v1/runs/{run_id}", headers={"If-None-Match": etag} if etag else {})
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, etag
        run: Json = response.json()
        return run, response.headers.get("ETag")

    def runs(self, *, limit: int = 20) -> list[Json]:
        """The newest runs, newest first, over as many pages as it takes."""
        found: list[Json] = []
        cursor = None
        while len(found) < limit:
            params = {"limit": min(limit - len(found), PAGE_SIZE)} | ({"cursor": cursor} if cursor else {})
            page = self._json("GET", "/v1/runs", params=params)
            found += page["runs"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return found[:limit]

    def events(self, run_id: str, *, after: int = 0) -> list[Json]:
        """What happened to a run after event number `after`."""
        events: list[Json] = self._json("GET", f"/v1/runs/{run_id}/events", params={"after": after})["events"]
        return events

    def checkpoints(self, run_id: str) -> list[Json]:
        """Step, epoch, loss and accuracy of each checkpoint so far, oldest first."""
        rows: list[Json] = self._json("GET", f"/v1/runs/{run_id}/checkpoints")["checkpoints"]
        return rows

    def cancel(self, run_id: str) -> Json:
        """Ask a run to stop."""
        return self._json("POST", f"/v1/runs/{run_id}/cancel")

    def retry(self, run_id: str) -> Json:
        """Start a failed or cancelled run again; its finished stages are kept."""
        return self._json("POST", f"/v1/runs/{run_id}/retry")

    def models(self) -> list[Json]:
        """What can be fine-tuned."""
        models: list[Json] = self._json("GET", "/v1/models")["models"]
        return models

    def upload_dataset(self, paths: Iterable[Path], *, name: str | None = None) -> Json:
        """Send the Parquet files of one dataset; returns it with its id once every image has been checked."""
        with ExitStack() as stack:
            files = [("file", (path.name, stack.enter_context(path.open("rb")))) for path in paths]
            data = {"name": name} if name else {}
            return self._json("POST", "/v1/datasets", files=files, data=data, timeout=UPLOAD_TIMEOUT)

    def download(self, run_id: str, what: str, path: Path) -> Path:
        """Save `film.gif`, `frames/<i>.png` or `log.csv` of a run; the file is there whole or not at all.

        Returns:
            The path, absolute.
        """
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        url = f"/v1/runs/{run_id}/{what}"
        try:
            with self._http.stream("GET", url) as response, part.open("wb") as file:
                _refuse(response)
                for chunk in response.iter_bytes():
                    file.write(chunk)
            part.replace(path)
        except httpx.TransportError as error:
            raise UnreachableError(self.url, error) from error
        finally:
            part.unlink(missing_ok=True)
        return path

    def _json(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's own options
        body: Json = self._send(method, path, **options).json()
        return body

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise UnreachableError(self.url, error) from error
        _refuse(response)
        return response


def _refuse(response: httpx.Response) -> None:
    """Turn an error response into an ApiError."""
    if not response.is_error:
        return
    response.read()
    title = f"HTTP {response.status_code} {response.reason_phrase}".rstrip()
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = response.json()
        raise ApiError(
            status=response.status_code,
            title=problem.get("title") or title,
            detail=problem.get("detail") or "",
            field=problem.get("field"),
        )
    raise ApiError(status=response.status_code, title=title, detail=response.text[:200])
