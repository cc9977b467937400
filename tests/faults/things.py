"""Resources of the service for generated requests: permanent ones, and those that the requests create."""

import re
import time

import requests

from tests.faults.checker import LOST, Finding
from tests.faults.hostile_parquet import good

KEY = "the-operators-key-of-this-test"
VARIABLES = {
    "EMBEDREEL_API_KEY": KEY,
    "EMBEDREEL_TEST_STAGES": "tests.writing_stages",
    "EMBEDREEL_MAX_RUNS_IN_FLIGHT": "0",
    "EMBEDREEL_MAX_DATASETS": "0",
    "EMBEDREEL_RATE_LIMIT": "0",
    "EMBEDREEL_WEBHOOK_ALLOW_PRIVATE": "true",
    "EMBEDREEL_WEBHOOK_POLL_SECONDS": "60",
}
RUN = {
    "dataset": "digits",
    "train": {"steps": 10},
    "capture": {"frames": 3, "probe_size": 5},
    "score": {"k": 2},
}
NOWHERE = "http://127.0.0.1:9/"
MADE_BY = {"submitRun": "run_id", "drawRun": "run_id", "registerWebhook": "webhook_id", "makeKey": "key_id"}
MADE_BY |= {"uploadDataset": "dataset_id", "testWebhook": "delivery_id", "redeliver": "delivery_id"}
ENDING = {"deleteRun", "deleteDataset", "deleteWebhook", "revokeKey", "cancelRun"}
REMEMBERED = 50


class Things:
    """Creates the permanent resources: a finished run, a dataset, a webhook with a delivery, a key."""

    def __init__(self, world):
        self._url = world.service.url
        self._lasting = {"slug": ["not-found", "invalid-spec"], "index": [0, 1, 2, 3]}
        self._made = {name: [] for name in set(MADE_BY.values())}
        self._make()
        for worker in world.workers:
            worker.terminate()  # runs that are posted from now on stay in the queue
            worker.wait()
        world.workers.clear()

    def fill(self, name, case, rng):
        """Usually replace ids in the path by existing ids. Permanent resources are never deleted."""
        for parameter in case.path_parameters or {}:
            lasting = [] if name in ENDING else self._lasting.get(parameter, [])
            known = lasting if name == "streamEvents" else lasting + self._made.get(parameter, [])
            if known and rng.random() < 0.8:
                case.path_parameters[parameter] = rng.choice(known[:1] * 4 + known)

    def learn(self, name, answer):
        """Record a resource that a request has created."""
        kind = MADE_BY.get(name)
        if kind and answer.status_code in {201, 202}:
            self._made[kind] = [*self._made[kind], answer.json()["id"]][-REMEMBERED:]

    @staticmethod
    def wait_briefly(headers):
        """Shorten the time that requests wait for a run, because no worker runs."""
        return {
            name: re.sub(r"\d{2,}|[2-9]", "1", value) if name.lower() == "prefer" else value
            for name, value in headers.items()
        }

    def still_there(self):
        """Check that the permanent resources still exist and are served."""
        paths = {"run_id": "runs", "dataset_id": "datasets", "webhook_id": "webhooks"}
        for parameter, kind in paths.items():
            answer = self._ask("GET", f"/v1/{kind}/{self._lasting[parameter][0]}")
            if answer.status_code != 200:
                yield Finding(LOST, f"{kind}: {answer.status_code} {answer.text[:300]}")

    def _make(self):
        run = self._post("/v1/runs", json=RUN)["id"]
        deadline = time.monotonic() + 60
        while self._ask("GET", f"/v1/runs/{run}").json()["status"] != "succeeded":
            assert time.monotonic() < deadline
            time.sleep(0.1)
        dataset = self._post("/v1/datasets", files={"file": ("small.parquet", good())})["id"]
        webhook = self._post("/v1/webhooks", json={"url": NOWHERE, "events": ["run.succeeded"]})["id"]
        delivery = self._post(f"/v1/webhooks/{webhook}/test")["id"]
        key = self._post("/v1/keys", json={"name": "another"})["id"]
        ids = {"run_id": run, "dataset_id": dataset, "webhook_id": webhook, "delivery_id": delivery, "key_id": key}
        self._lasting |= {name: [value] for name, value in ids.items()}

    def _post(self, path, **content):
        answer = self._ask("POST", path, **content)
        assert answer.ok, (path, answer.text)
        return answer.json()

    def _ask(self, method, path, **content):
        return requests.request(
            method, self._url + path, headers={"Authorization": f"Bearer {KEY}"}, timeout=60, **content
        )
