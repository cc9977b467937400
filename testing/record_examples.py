"""Record the examples of the OpenAPI document from a real service: `python -m testing.record_examples`.

The command starts an API and a worker on a temporary home, sends requests, and writes the responses to
api/openapi/examples.json. The runs are real trainings on the CPU. The recording takes about a minute on two cores.
testing/recorded_values.py replaces ids, times, secrets and addresses by fixed values, and shortens long lists. `make
examples` records, and then writes docs/openapi.json, which contains the examples.
"""

import json
import os
import secrets
import tempfile
import time
from pathlib import Path

import httpx

from testing.recorded_values import FixedValues, shorten
from testing.service import TERMINAL, Service, free_port
from testing.small_dataset import shapes_zip
from tests.receiver import receiving

FILE = Path(__file__).resolve().parents[1] / "api" / "openapi" / "examples.json"

OPERATOR_KEY = secrets.token_urlsafe(32)
SERVICE_URL = "https://embedreel.example.com"
WEBHOOK_URL = "https://hooks.example.com/embedreel"
WORKER = "host-4711-a1b2c3"

VARIABLES = {
    "EMBEDREEL_API_KEY": OPERATOR_KEY,
    "EMBEDREEL_WEBHOOK_ALLOW_PRIVATE": "true",
    "EMBEDREEL_WEBHOOK_POLL_SECONDS": "0.2",
    "EMBEDREEL_HEARTBEAT_SECONDS": "0.5",
    "CUDA_VISIBLE_DEVICES": "",
    "OMP_NUM_THREADS": "1",  # sums then have one order, so that two recordings on one machine have the same numbers
}

DIGITS = {
    "name": "digits",
    "dataset": "digits",
    "train": {"steps": 120, "keep_weights": "last"},
    "capture": {"frames": 5},
    "render": {"width": 320, "height": 320},
}
SHAPES = {
    "name": "shapes",
    "train": {"steps": 120, "batch_size": 32},
    "capture": {"frames": 5},
    "render": {"width": 320, "height": 320},
}
LONG = DIGITS | {"name": "digits, 100,000 steps", "train": {"steps": 100_000}}
LATER = DIGITS | {"name": "digits, later", "train": {"seed": 1}}
"""A run that shares no checkpoint with LONG. Shared checkpoints would change it while LONG trains."""

REDRAWN = {"name": "digits, small", "render": {"width": 640, "height": 480, "fps": 24}}
KEY = {"name": "ann", "tenant": "lab", "scopes": ["read", "write"]}
WAIT_SECONDS = 600
"""Maximum time to wait for a run or a worker, seconds. Chosen by hand; not measured."""


class Recorder:
    """Sends requests to a service and keeps the bodies of some requests and responses.

    Attributes:
        requests: body of a request, by operation id.
        answers: response with a status below 400, by operation id.
        problems: response with a status of at least 400, by status.
    """

    def __init__(self, url):
        headers = {"Authorization": f"Bearer {OPERATOR_KEY}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False)
        self.requests, self.answers, self.problems = {}, {}, {}

    def send(self, method, path, **options):
        """Send a request. Return the parsed JSON or the text of the response."""
        response = self._http.request(method, path, **options)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.headers["content-type"] == "application/json" else response.text

    def record(self, operation_id, path, method="GET", *, keep_body=False, **options):
        """Send a request, and keep the response as the example of an operation.

        Args:
            operation_id: id of the operation.
            path: path and query.
            method: HTTP method.
            keep_body: keep the JSON body of the request too.
            options: further arguments of `httpx.Client.request`.

        Returns:
            The parsed JSON or the text of the response.
        """
        answer = self.answers[operation_id] = self.send(method, path, **options)
        if keep_body:
            self.requests[operation_id] = options["json"]
        return answer

    def record_problem(self, status, method, path, **options):
        """Send a request that the service must refuse with this status, and keep the problem."""
        response = self._http.request(method, path, **options)
        assert response.status_code == status, f"{method} {path}: {response.status_code} {response.text}"
        self.problems[str(status)] = response.json()

    def wait(self, path, until):
        """Read a path until the condition `until` of its JSON is true. Return the JSON."""
        deadline = time.monotonic() + WAIT_SECONDS
        while not until(found := self.send("GET", path)):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found

    def finish(self, run):
        """Wait until a run has succeeded. Return the path of the run."""
        path = f"/v1/runs/{run['id']}"
        ended = self.wait(path, lambda run: run["status"] in TERMINAL)
        assert ended["status"] == "succeeded", ended["error"]
        return path


def record(recorder, hook_url):
    """Send all requests.

    Args:
        recorder: sends the requests to a service with one worker.
        hook_url: URL of a server that accepts deliveries of webhooks.
    """
    recorder.wait("/readyz", lambda ready: ready["workers"])
    _record_service(recorder)
    dataset = _record_datasets(recorder)
    hook = recorder.record("registerWebhook", "/v1/webhooks", "POST", json={"url": hook_url})
    digits = recorder.finish(recorder.record("submitRun", "/v1/runs", "POST", json=DIGITS))
    other = recorder.finish(recorder.send("POST", "/v1/runs", json=DIGITS | {"model": "resnet-tiny"}))
    shapes = recorder.finish(recorder.send("POST", "/v1/runs", json=SHAPES | {"dataset": dataset}))
    _record_run(recorder, digits, shapes)
    _record_drawings(recorder, digits, other)
    _record_waiting_runs(recorder)
    _record_webhooks(recorder, hook)
    _record_problems(recorder, digits)
    _record_keys(recorder)


def _record_service(recorder):
    for operation_id, path in {
        "index": "/",
        "live": "/livez",
        "ready": "/readyz",
        "listProblems": "/problems",
        "explainProblem": "/problems/not-ready",
        "listModels": "/v1/models",
        "getModel": "/v1/models/vit-tiny",
    }.items():
        recorder.record(operation_id, path)


def _record_datasets(recorder):
    """Upload the small dataset. Return its id."""
    files = {"file": ("shapes.zip", shapes_zip())}
    form = {"name": "shapes", "allow_broken": "true"}
    uploaded = recorder.record("uploadDataset", "/v1/datasets", "POST", files=files, data=form)
    recorder.record("listDatasets", "/v1/datasets")
    recorder.record("getDataset", "/v1/datasets/digits")
    return uploaded["id"]


def _record_run(recorder, digits, shapes):
    """Record the results of a run on the digits, and the reports on the faulty data of the shapes."""
    recorder.record("listRuns", "/v1/runs?limit=1")
    recorder.record("getRun", digits)
    for operation_id, below in {
        "listEvents": "events",
        "streamEvents": "stream",
        "listCheckpoints": "checkpoints",
        "getLog": "log.csv",
        "getProjection": "projection",
        "listOutliers": "outliers",
        "getQuality": "quality",
        "listFigures": "figures",
        "listHighlights": "highlights",
    }.items():
        recorder.record(operation_id, f"{digits}/{below}")
    recorder.record("getEvaluation", f"{shapes}/evaluation")
    recorder.record("listLabelIssues", f"{shapes}/label-issues")


def _record_drawings(recorder, digits, other):
    """Draw a run again, and compare two runs."""
    recorder.finish(recorder.record("drawRun", f"{digits}/renders", "POST", keep_body=True, json=REDRAWN))
    body = {
        "name": "two models",
        "runs": [path.rpartition("/")[2] for path in (digits, other)],
        "render": {"theme": "dark"},
    }
    compared = recorder.record("compareRuns", "/v1/comparisons", "POST", keep_body=True, json=body)
    recorder.finish(compared)
    recorder.record("getComparison", f"/v1/comparisons/{compared['id']}")


def _record_waiting_runs(recorder):
    """Cancel and retry a run that waits until another run has ended."""
    first = recorder.send("POST", "/v1/runs", json=LONG)
    training = {"run": first["id"], "stage": "fine_tune"}
    recorder.wait("/v1/workers", lambda found: any(training in worker["doing"] for worker in found["workers"]))
    recorder.record("listWorkers", "/v1/workers")
    second = f"/v1/runs/{recorder.send('POST', '/v1/runs', json=LATER)['id']}"
    recorder.record("cancelRun", f"{second}/cancel", "POST")
    recorder.record("retryRun", f"{second}/retry", "POST")
    recorder.record_problem(409, "GET", f"{second}/film.gif")
    for path in (second, f"/v1/runs/{first['id']}"):
        recorder.send("POST", f"{path}/cancel")
        recorder.wait(path, lambda run: run["status"] in TERMINAL)


def _record_webhooks(recorder, hook):
    path = f"/v1/webhooks/{hook['id']}"
    recorder.record("listWebhooks", "/v1/webhooks")
    recorder.record("getWebhook", path)
    recorder.record("testWebhook", f"{path}/test", "POST")
    delivered = recorder.wait(
        f"{path}/deliveries", lambda found: all(one["status"] == "delivered" for one in found["deliveries"])
    )
    recorder.record("listDeliveries", f"{path}/deliveries?limit=2")
    recorder.record("redeliver", f"{path}/deliveries/{delivered['deliveries'][0]['id']}/redeliver", "POST")


def _record_problems(recorder, digits):
    recorder.record_problem(
        400, "POST", "/v1/runs", content=b'{"dataset": ', headers={"Content-Type": "application/json"}
    )
    recorder.record_problem(401, "GET", "/v1/runs", headers={"Authorization": ""})
    recorder.record_problem(404, "GET", f"/v1/runs/run_{'0' * 26}")
    recorder.record_problem(
        415, "POST", "/v1/runs", content=b"dataset: digits", headers={"Content-Type": "application/yaml"}
    )
    recorder.record_problem(416, "GET", f"{digits}/film.gif", headers={"Range": "bytes=100000000-"})
    recorder.record_problem(422, "POST", "/v1/runs", json={"dataset": "digits", "capture": {"frames": 1}})


def _record_keys(recorder):
    made = recorder.record("makeKey", "/v1/keys", "POST", keep_body=True, json=KEY)
    recorder.record("listKeys", "/v1/keys")
    recorder.record_problem(403, "GET", "/v1/keys", headers={"Authorization": f"Bearer {made['key']}"})


def as_json(recorder, names):
    """Return the text of examples.json.

    Args:
        recorder: what was recorded.
        names: texts to replace, such as the URL of the service, and their replacements.
    """
    fixed = FixedValues(names)
    answers = {}
    for operation_id, answer in recorder.answers.items():
        value, notes = shorten(fixed.fix(answer))
        described = {"description": f"Shortened: {'; '.join(notes)}."} if notes else {}
        answers[operation_id] = {**described, "value": value}
    recorded = {
        "requests": fixed.fix(recorder.requests),
        "answers": dict(sorted(answers.items())),
        "problems": fixed.fix(dict(sorted(recorder.problems.items()))),
    }
    return json.dumps(recorded, indent=2, ensure_ascii=False) + "\n"


def main():
    """Record the examples and write the file."""
    for name in [name for name in os.environ if name.startswith("EMBEDREEL_")]:
        del os.environ[name]  # the recording must not reach the database of another service
    with tempfile.TemporaryDirectory(prefix="embedreel-examples-") as folder, receiving() as receiver:
        service = Service(Path(folder), free_port(), VARIABLES, impatient=False)
        try:
            service.start_api()
            service.start_worker("-m", "worker")
            recorder = Recorder(service.url)
            record(recorder, receiver.url)
        finally:
            service.stop()
    [worker] = recorder.answers["listWorkers"]["workers"]
    names = {service.url: SERVICE_URL, receiver.url: WEBHOOK_URL, worker["id"]: WORKER}
    FILE.write_text(as_json(recorder, names))
    print(f"{FILE}: {len(recorder.answers)} responses and {len(recorder.problems)} problems")


if __name__ == "__main__":
    main()
