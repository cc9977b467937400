"""A Python client of the Embedreel HTTP API: plain JSON in and out, one kind of error.

It holds nothing of the service: the service says what it can do, and refuses what it cannot. Requests are sent again as
embedreel/retry.py says; a POST that makes a run carries an Idempotency-Key, so that the run is made once.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from embedreel.connection import DEFAULT_URL, Connection, Json, Received
from embedreel.errors import ApiError, UnreachableError, UploadError
from embedreel.progress import ENDED
from embedreel.retry import RetryPolicy
from embedreel.sending import ProgressCallback, Sending

PAGE_SIZE = 100
EVENTS_PAGE_SIZE = 1000
RECONNECT_SECONDS = 1.0
UPLOAD_TIMEOUT = httpx.Timeout(1800, connect=5)  # the answer comes when every image has been looked at


class Client:
    """One connection to one service; use it in a `with` block.

    Every method raises ApiError when the service refuses, UnreachableError when it does not answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Make ready to talk to the service at `url`; nothing is sent yet.

        Args:
            url: where the service is.
            api_key: its key, if it has one.
            retry: how long a request is sent again; without it, a minute.
            transport: what carries the requests; tests put their own in its place.

        Raises:
            ValueError: the URL is none.
        """
        self._connection = Connection(url, api_key, retry=retry or RetryPolicy(), transport=transport)

    @property
    def url(self) -> str:
        """Where the service is, without a slash at the end."""
        return self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def submit(self, body: Mapping[str, Any]) -> Json:
        """Ask for a run; returns it with its plan and links."""
        return self._post_once("/v1/runs", body)

    def draw(self, run_id: str, body: Mapping[str, Any]) -> Json:
        """Ask for a run that draws another one otherwise; nothing is trained again."""
        return self._post_once(f"/v1/runs/{run_id}/renders", body)

    def compare(self, body: Mapping[str, Any]) -> Json:
        """Ask for runs side by side; returns the table. The film is drawn by a run of the same id."""
        return self._post_once("/v1/comparisons", body)

    def comparison(self, run_id: str) -> Json:
        """A comparison: its table, and how much alike its runs are."""
        return self._get(f"/v1/comparisons/{run_id}")

    def run(self, run_id: str) -> Json:
        """One run as it is now."""
        return self._get(f"/v1/runs/{run_id}")

    def poll(self, run_id: str, etag: str | None, *, wait_seconds: int = 0) -> tuple[Json | None, str | None]:
        """One run if it has changed since `etag`, else None; and the ETag to ask with next.

        Args:
            run_id: the run.
            etag: of the last look; None at the first, which is answered at once.
            wait_seconds: how long the service may hold back its answer while there is no change, if it knows how to.
        """
        headers = {"If-None-Match": etag} if etag else {}
        headers |= {"Prefer": f"wait={wait_seconds}"} if etag and wait_seconds else {}
        response = self._connection.send("GET", f"/v1/runs/{run_id}", headers=headers, repeatable=True)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, etag
        return self._connection.decoded(response), response.headers.get("ETag")

    def runs(self, *, limit: int = 20) -> list[Json]:
        """The newest runs, newest first, over as many pages as it takes."""
        found: list[Json] = []
        cursor = None
        while len(found) < limit:
            params = {"limit": min(limit - len(found), PAGE_SIZE)} | ({"cursor": cursor} if cursor else {})
            page = self._get("/v1/runs", params)
            found += page["runs"]
            cursor = page.get("next_cursor")
            if not cursor:
                break
        return found[:limit]

    def events(self, run_id: str, *, after: int = 0) -> list[Json]:
        """What happened to a run after event number `after`, over as many pages as it takes."""
        found: list[Json] = []
        while True:
            params = {"after": found[-1]["seq"] if found else after, "limit": EVENTS_PAGE_SIZE}
            page = self._get(f"/v1/runs/{run_id}/events", params)["events"]
            found += page
            if len(page) < EVENTS_PAGE_SIZE:
                return found

    def follow(self, run_id: str, *, after: int = 0) -> Iterator[Json]:
        """What happens to a run after event number `after`, as it happens, until the run has ended.

        A stream that breaks off is taken up after the last event that came.
        """
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(after)} if after else {})
            began_after = after
            with self._connection.opened(f"/v1/runs/{run_id}/stream", headers=headers) as response:
                if response.status_code == httpx.codes.NO_CONTENT:
                    return
                with suppress(httpx.TransportError):
                    for event in self._connection.events(response):
                        after = event["seq"]
                        yield event
            if after == began_after:
                self._connection.retry.sleep(RECONNECT_SECONDS)

    def checkpoints(self, run_id: str) -> list[Json]:
        """Step, epoch, loss and accuracy of each checkpoint so far, oldest first."""
        return self._listed(f"/v1/runs/{run_id}/checkpoints", "checkpoints")

    def cancel(self, run_id: str) -> Json:
        """Ask a run to stop."""
        return self._connection.json("POST", f"/v1/runs/{run_id}/cancel", repeatable=True)

    def retry(self, run_id: str) -> Json:
        """Start a failed or cancelled run again; its finished stages are kept."""
        try:
            return self._post_once(f"/v1/runs/{run_id}/retry")
        except ApiError as error:
            if error.status != httpx.codes.CONFLICT or error.tries == 1:
                raise
            run = self.run(run_id)  # an earlier try may have been done, and its answer lost
            if run["status"] in ENDED:
                raise
            return run

    def delete(self, run_id: str) -> None:
        """Delete a run that has ended, and what it made, unless another run shares it."""
        self._delete(f"/v1/runs/{run_id}")

    def quality(self, run_id: str) -> Json:
        """How far the run's film can be trusted."""
        return self._get(f"/v1/runs/{run_id}/quality")

    def highlights(self, run_id: str) -> list[Json]:
        """What happened while the run's model learnt."""
        return self._listed(f"/v1/runs/{run_id}/highlights", "highlights")

    def evaluation(self, run_id: str) -> Json:
        """How well the run's model tells the classes apart at the end of each phase."""
        return self._get(f"/v1/runs/{run_id}/evaluation")

    def label_issues(self, run_id: str) -> Json:
        """What looks wrong with the labels of the run's probe images, and which of them it may have trained on."""
        return self._get(f"/v1/runs/{run_id}/label-issues")

    def figures(self, run_id: str) -> list[Json]:
        """The figures that the service draws, and whether this run has each."""
        return self._listed(f"/v1/runs/{run_id}/figures", "figures")

    def models(self) -> list[Json]:
        """What can be fine-tuned."""
        return self._listed("/v1/models", "models")

    def model(self, model_id: str) -> Json:
        """One of them, with its layers and blocks."""
        return self._get(f"/v1/models/{quote(model_id)}")

    def workers(self) -> list[Json]:
        """The workers, and what each does now."""
        return self._listed("/v1/workers", "workers")

    def datasets(self) -> list[Json]:
        """What a run may be made of."""
        return self._listed("/v1/datasets", "datasets")

    def upload_dataset(
        self,
        paths: Sequence[Path],
        *,
        name: str | None = None,
        allow_broken: bool = False,
        told: ProgressCallback | None = None,
    ) -> Json:
        """Send the files of one dataset; returns it with its id once every image has been checked.

        Args:
            paths: a ZIP, or Parquet files.
            name: what to call the dataset; without it, the service finds one.
            allow_broken: images that cannot be used are left out, and named in the report.
            told: called with the bytes sent and the bytes in all, again and again.

        Raises:
            UploadError: the connection broke; it says how far the files had come.
        """
        with Sending(paths, told) as sending:
            data = ({"name": name} if name else {}) | ({"allow_broken": "true"} if allow_broken else {})
            options = {"data": data, "timeout": UPLOAD_TIMEOUT}
            try:
                return self._connection.json("POST", "/v1/datasets", files=sending.form(), repeatable=False, **options)
            except UnreachableError as error:
                if not sending.sent_bytes:
                    raise
                far = {"sent_bytes": sending.sent_bytes, "total_bytes": sending.total_bytes}
                raise UploadError(**far, reason=error.__cause__) from error

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete an uploaded dataset; films that were made from it stay."""
        self._delete(f"/v1/datasets/{dataset_id}")

    def webhooks(self) -> list[Json]:
        """Where the service sends its events."""
        return self._listed("/v1/webhooks", "webhooks")

    def add_webhook(self, url: str, events: Sequence[str] | None = None) -> Json:
        """Have events sent to a URL; returns it with its id and the secret that signs them, shown only now."""
        body = {"url": url} | ({"events": list(events)} if events else {})
        return self._connection.json("POST", "/v1/webhooks", json=body, repeatable=False)

    def delete_webhook(self, webhook_id: str) -> None:
        """Send no more events there."""
        self._delete(f"/v1/webhooks/{webhook_id}")

    def test_webhook(self, webhook_id: str) -> Json:
        """Have an event sent there that says nothing; returns what the service says of it."""
        return self._connection.json("POST", f"/v1/webhooks/{webhook_id}/test", repeatable=True)

    def keys(self) -> list[Json]:
        """The API keys, without the keys themselves."""
        return self._listed("/v1/keys", "keys")

    def add_key(self, name: str, *, tenant: str | None = None, scopes: Sequence[str] | None = None) -> Json:
        """Make an API key; returns it with its id and the key itself, shown only now."""
        body = {"name": name} | ({"tenant": tenant} if tenant else {}) | ({"scopes": list(scopes)} if scopes else {})
        return self._connection.json("POST", "/v1/keys", json=body, repeatable=False)

    def revoke_key(self, key_id: str) -> None:
        """Let nobody in with this key any more."""
        self._delete(f"/v1/keys/{key_id}")

    def download(self, run_id: str, what: str, path: Path, *, told: Received | None = None) -> Path:
        """Save `film.gif`, `frames/<i>.png`, `log.csv` … of a run; the file is there whole or not at all.

        Args:
            run_id: the run.
            what: the end of its address.
            path: where to save it.
            told: called with the bytes received and the bytes in all, again and again.

        Returns:
            The path, absolute.
        """
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            self._connection.save(f"/v1/runs/{run_id}/{what}", part, told)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return path

    def _listed(self, path: str, name: str) -> list[Json]:
        rows: list[Json] = self._get(path)[name]
        return rows

    def _get(self, path: str, params: Mapping[str, Any] | None = None) -> Json:
        return self._connection.json("GET", path, repeatable=True, params=params)

    def _post_once(self, path: str, body: Mapping[str, Any] | None = None) -> Json:
        """A POST that is done once, however often it is sent."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._connection.json("POST", path, repeatable=True, json=body, headers=headers)

    def _delete(self, path: str) -> None:
        try:
            self._connection.send("DELETE", path, repeatable=True)
        except ApiError as error:
            if error.status != httpx.codes.NOT_FOUND or error.tries == 1:  # else an earlier try has done it
                raise
