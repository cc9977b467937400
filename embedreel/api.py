"""A Python client of the Embedreel HTTP API. Requests and responses are plain JSON.

The client does not validate requests, because the service validates them. embedreel/retry.py decides which requests are
retried. A POST that makes a run has an Idempotency-Key, so that a retry does not make a second run.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from embedreel import events
from embedreel.connection import DEFAULT_URL, Connection, Json, Received
from embedreel.errors import ApiError
from embedreel.events import EVENTS_PAGE_SIZE, RECONNECT_SECONDS
from embedreel.progress import ENDED
from embedreel.retry import RetryPolicy
from embedreel.sending import UPLOAD_TIMEOUT, ProgressCallback, send_dataset

__all__ = ["EVENTS_PAGE_SIZE", "PAGE_SIZE", "RECONNECT_SECONDS", "UPLOAD_TIMEOUT", "Client", "Json"]

PAGE_SIZE = 100
"""Largest number of runs in one response, as the service allows."""


class Client:
    """A connection to one service, for use in a `with` block.

    Every method raises ApiError if the service refuses the request, and UnreachableError if it does not answer.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        retry: RetryPolicy | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Set the connection up. No request is sent yet.

        Args:
            url: URL of the service.
            api_key: API key; None if the service requires no key.
            retry: policy for retries; None retries for RETRY_SECONDS.
            transport: httpx transport; None uses the network. Tests pass another transport.

        Raises:
            ValueError: the URL is invalid.
        """
        self._connection = Connection(url, api_key, retry=retry or RetryPolicy(), transport=transport)

    @property
    def url(self) -> str:
        """URL of the service, without a trailing slash."""
        return self._connection.url

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    def submit(self, body: Mapping[str, Any]) -> Json:
        """Make a run. Return it with its plan and links."""
        return self._post_once("/v1/runs", body)

    def draw(self, run_id: str, body: Mapping[str, Any]) -> Json:
        """Make a run that draws another run's film with other settings, without training. Return the new run."""
        return self._post_once(f"/v1/runs/{run_id}/renders", body)

    def compare(self, body: Mapping[str, Any]) -> Json:
        """Compare runs. Return the comparison's table; a run with the same id draws the film."""
        return self._post_once("/v1/comparisons", body)

    def comparison(self, run_id: str) -> Json:
        """Return a comparison: its table, and the similarity of the runs' representations."""
        return self._get(f"/v1/comparisons/{run_id}")

    def run(self, run_id: str) -> Json:
        """Return one run."""
        return self._get(f"/v1/runs/{run_id}")

    def poll(self, run_id: str, etag: str | None, *, wait_seconds: int = 0) -> tuple[Json | None, str | None]:
        """Read a run if it has changed.

        Args:
            run_id: the run.
            etag: ETag of the previous poll; None for the first poll, which returns at once.
            wait_seconds: longest time that the service delays its response while the run does not change
                (`Prefer: wait`).

        Returns:
            The run, or None if it has not changed since `etag`; and the ETag for the next poll.
        """
        headers = {"If-None-Match": etag} if etag else {}
        headers |= {"Prefer": f"wait={wait_seconds}"} if etag and wait_seconds else {}
        response = self._connection.send("GET", f"/v1/runs/{run_id}", headers=headers, repeatable=True)
        if response.status_code == httpx.codes.NOT_MODIFIED:
            return None, etag
        return self._connection.decoded(response), response.headers.get("ETag")

    def runs(self, *, limit: int = 20) -> list[Json]:
        """Return up to `limit` runs, newest first, from as many pages as needed."""
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
        """Return a run's events after number `after`, from as many pages as needed."""
        return events.listed(self._connection, run_id, after=after)

    def follow(self, run_id: str, *, after: int = 0) -> Iterator[Json]:
        """Yield a run's events after number `after` as they happen, until the run has ended.

        A broken stream is resumed after the last received event.
        """
        return events.followed(self._connection, run_id, after=after)

    def checkpoints(self, run_id: str) -> list[Json]:
        """Return step, epoch, loss and accuracy of each checkpoint so far, oldest first."""
        return self._listed(f"/v1/runs/{run_id}/checkpoints", "checkpoints")

    def cancel(self, run_id: str) -> Json:
        """Cancel a run. Return the run; running stages stop soon after."""
        return self._connection.json("POST", f"/v1/runs/{run_id}/cancel", repeatable=True)

    def retry(self, run_id: str) -> Json:
        """Restart a failed or cancelled run. Its finished stages are kept."""
        try:
            return self._post_once(f"/v1/runs/{run_id}/retry")
        except ApiError as error:
            if error.status != httpx.codes.CONFLICT or error.tries == 1:
                raise
            run = self.run(run_id)  # an earlier try may have succeeded although its response was lost
            if run["status"] in ENDED:
                raise
            return run

    def delete(self, run_id: str) -> None:
        """Delete a run that has ended. Artifacts that no other run shares are deleted too."""
        self._delete(f"/v1/runs/{run_id}")

    def quality(self, run_id: str) -> Json:
        """Return the quality card of the run's film, which describes how faithfully the layout shows the embeddings."""
        return self._get(f"/v1/runs/{run_id}/quality")

    def highlights(self, run_id: str) -> list[Json]:
        """Return the notable events of the run's training."""
        return self._listed(f"/v1/runs/{run_id}/highlights", "highlights")

    def evaluation(self, run_id: str) -> Json:
        """Return the model's accuracy, in total and by class, at the end of each training phase."""
        return self._get(f"/v1/runs/{run_id}/evaluation")

    def label_issues(self, run_id: str) -> Json:
        """Return probe images whose labels are probably wrong, and probe images that duplicate training images."""
        return self._get(f"/v1/runs/{run_id}/label-issues")

    def figures(self, run_id: str) -> list[Json]:
        """Return the service's figures. The field `available` is true if this run has the figure."""
        return self._listed(f"/v1/runs/{run_id}/figures", "figures")

    def models(self) -> list[Json]:
        """Return the models that can be fine-tuned."""
        return self._listed("/v1/models", "models")

    def model(self, model_id: str) -> Json:
        """Return one model with its layers and blocks."""
        return self._get(f"/v1/models/{quote(model_id)}")

    def workers(self) -> list[Json]:
        """Return the workers and the stages that each is running."""
        return self._listed("/v1/workers", "workers")

    def datasets(self) -> list[Json]:
        """Return the datasets that a run may use."""
        return self._listed("/v1/datasets", "datasets")

    def upload_dataset(
        self,
        paths: Sequence[Path],
        *,
        name: str | None = None,
        allow_broken: bool = False,
        on_progress: ProgressCallback | None = None,
    ) -> Json:
        """Upload the files of one dataset. Return the dataset after the service has checked every image.

        Args:
            paths: one ZIP, or Parquet files.
            name: name of the dataset; None lets the service choose one.
            allow_broken: True lets the service leave out unusable images and list them in the report. False lets the
                service refuse a dataset with unusable images.
            on_progress: called repeatedly with the bytes sent and the total bytes.

        Raises:
            UploadError: the connection broke during the upload; the message says how many bytes were sent.
        """
        return send_dataset(self._connection, paths, name=name, allow_broken=allow_broken, on_progress=on_progress)

    def delete_dataset(self, dataset_id: str) -> None:
        """Delete an uploaded dataset. Films that were made from the dataset stay."""
        self._delete(f"/v1/datasets/{dataset_id}")

    def webhooks(self) -> list[Json]:
        """Return the webhooks."""
        return self._listed("/v1/webhooks", "webhooks")

    def add_webhook(self, url: str, events: Sequence[str] | None = None) -> Json:
        """Register a webhook. Return it with its id and its signing secret, which no later response shows."""
        body = {"url": url} | ({"events": list(events)} if events else {})
        return self._connection.json("POST", "/v1/webhooks", json=body, repeatable=False)

    def delete_webhook(self, webhook_id: str) -> None:
        """Delete a webhook."""
        self._delete(f"/v1/webhooks/{webhook_id}")

    def test_webhook(self, webhook_id: str) -> Json:
        """Queue a test event for a webhook. Return the delivery."""
        return self._connection.json("POST", f"/v1/webhooks/{webhook_id}/test", repeatable=True)

    def keys(self) -> list[Json]:
        """Return the records of the API keys, without the secrets."""
        return self._listed("/v1/keys", "keys")

    def add_key(self, name: str, *, tenant: str | None = None, scopes: Sequence[str] | None = None) -> Json:
        """Make an API key. Return it with its id and the secret, which no later response shows."""
        body = {"name": name} | ({"tenant": tenant} if tenant else {}) | ({"scopes": list(scopes)} if scopes else {})
        return self._connection.json("POST", "/v1/keys", json=body, repeatable=False)

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key permanently."""
        self._delete(f"/v1/keys/{key_id}")

    def download(self, run_id: str, what: str, path: Path, *, on_progress: Received | None = None) -> Path:
        """Download a file of a run, such as `film.gif`, `frames/<i>.png` or `log.csv`.

        The file is written under a temporary name and renamed when it is complete.

        Args:
            run_id: the run.
            what: path of the file below `/v1/runs/<run_id>/`.
            path: where to save the file.
            on_progress: called repeatedly with the bytes received and the total bytes, or None if the total is unknown.

        Returns:
            The absolute path.
        """
        path = path.absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        try:
            self._connection.save(f"/v1/runs/{run_id}/{what}", part, on_progress)
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
        """Send a POST with an Idempotency-Key, so that retries do not repeat its effect."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        return self._connection.json("POST", path, repeatable=True, json=body, headers=headers)

    def _delete(self, path: str) -> None:
        try:
            self._connection.send("DELETE", path, repeatable=True)
        except ApiError as error:
            if (
                error.status != httpx.codes.NOT_FOUND or error.tries == 1
            ):  # after a retry, 404 means that an earlier try has deleted the resource
                raise
