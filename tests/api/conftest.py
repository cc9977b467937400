"""A service on its own home folder, and a worker that publishes small artifacts without a training."""

import json
import shutil
from dataclasses import dataclass

import pytest
from fastapi.testclient import TestClient

from api.main import create_app
from core.domain.formats import FORMATS
from core.domain.plan import SKIPPED
from core.settings import Settings
from core.store.engine import claims, failures, lifecycle, publishing
from core.store.queries import workers
from tests.small_results import FILM, IMAGES, LEARNED, MODEL, WRITERS

SMALL = {"dataset": "digits", "train": {"steps": 10}, "capture": {"frames": 3, "probe_size": IMAGES}, "score": {"k": 2}}


def browse(app, **headers):
    """Return a client on this machine that sends these headers in every request."""
    return TestClient(app, base_url="http://localhost", raise_server_exceptions=False, headers=headers)


@pytest.fixture
def settings(tmp_path, sqlite_template):
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(sqlite_template, home / "embedreel.db")
    return Settings(home=home, broker_url="memory://", sweep_seconds=3600)


@pytest.fixture
def serve(settings):
    """Start an application with these settings, some of them changed."""
    opened = []

    def start(**changes):
        app = create_app(settings.model_copy(update=changes))
        client = browse(app)
        opened.append(client.__enter__())
        return client

    yield start
    for client in opened:
        client.__exit__(None, None, None)


@pytest.fixture(scope="session")
def idle(tmp_path_factory):
    """An application for requests that are refused. No test changes it."""
    settings = Settings(home=tmp_path_factory.mktemp("idle"), broker_url="memory://", sweep_seconds=3600)
    with browse(create_app(settings)) as client:
        yield client
        assert client.get("/v1/runs").json()["runs"] == []


@pytest.fixture
def client(serve):
    return serve()


@pytest.fixture
def process(client):
    return client.app.state.process


@pytest.fixture
def small():
    return json.loads(json.dumps(SMALL))


@pytest.fixture
def submit(client, small):
    """Return a function that posts a small run, with some fields changed, and returns the body of the answer."""

    def post(**changes):
        response = client.post("/v1/runs", json=small | changes)
        assert response.status_code == 202, response.text
        return response.json()

    return post


@pytest.fixture
def film():
    return FILM


@dataclass
class FakeWorker:
    """Claims and finishes tasks in this process."""

    process: object
    worker_id: str = "fake"

    def beat(self, *queues):
        with self.process.database.writing() as session:
            workers.beat(session, self.worker_id, queues=queues or ("gpu", "cpu"), device="cpu")

    def claim(self, run_id, task_id="fine_tune"):
        with self.process.database.writing() as session:
            return claims.claim(session, run_id, task_id, worker_id=self.worker_id, lease_seconds=30)

    def fail(self, held, error):
        with self.process.database.writing() as session:
            failures.fail(session, held, error)

    def progress(self, held, done, total):
        with self.process.database.writing() as session:
            claims.progress(session, held, done=done, total=total)

    def work(self, run_id, *, until=None):
        """Run the queued tasks; `until` names a task that is not run."""
        while True:
            with self.process.database.reading() as session:
                rows = lifecycle.tasks_of(session, run_id).values()
            queued = [row for row in rows if row.status == "queued"]
            first = min(queued, key=lambda row: row.position, default=None)
            if first is None or first.id == until:
                return
            self.finish(self.claim(run_id, first.id))

    def finish(self, held):
        for index, part in enumerate(held.task.parts):
            if part.effect == "keeps":
                self.keep(held, part)
            else:
                self.embed(held, part, index)
        folder = self.process.store.attempt(held.run_id, held.task.id, token=held.token)
        WRITERS[held.task.name](folder, len(held.plan.steps))
        stored = self.process.store.put(folder, held.task.key, run_id=held.run_id, token=held.token)
        facts = {"parameters": LEARNED["parameters"]} if held.task.name == "fine_tune" else {}
        with self.process.database.writing() as session:
            publishing.finish(session, held, stored, facts)

    def embed(self, held, part, index):
        folder = self.process.store.attempt(held.run_id, part.id, token=held.token)
        (folder / "embeddings.txt").write_text("embedded")
        stored = self.process.store.put(folder, part.key, run_id=held.run_id, token=held.token)
        facts = {
            "frame": index,
            "step": held.plan.steps[index],
            "epoch": index / 2,
            "loss": 2.5 - index,
            "accuracy": 0.5,
        }
        with self.process.database.writing() as session:
            publishing.publish_part(session, held, part, stored, facts)

    def skip(self, held, index):
        """Publish an empty frame, as a training does that ended before the frame."""
        part = held.task.parts[index]
        folder = self.process.store.attempt(held.run_id, part.id, token=held.token)
        (folder / SKIPPED).touch()
        stored = self.process.store.put(folder, part.key, run_id=held.run_id, token=held.token)
        with self.process.database.writing() as session:
            publishing.publish_part(session, held, part, stored, {"frame": index, SKIPPED: True})

    def keep(self, held, part):
        folder = self.process.store.attempt(held.run_id, part.id, token=held.token)
        for name, content in MODEL.items():
            (folder / name).write_bytes(content)
        stored = self.process.store.put(folder, part.key, run_id=held.run_id, token=held.token)
        with self.process.database.writing() as session:
            publishing.publish_part(session, held, part, stored, {"step": part.step, **LEARNED})


@pytest.fixture
def worker(process):
    return FakeWorker(process)


@pytest.fixture
def finished(submit, worker):
    """A succeeded run."""
    run = submit()
    worker.work(run["id"])
    return run["id"]


@pytest.fixture
def trained(submit, worker):
    """A succeeded run that has stored its last weights."""
    run = submit(train={"steps": 10, "keep_weights": "last"})
    worker.work(run["id"])
    return run["id"]


@pytest.fixture(scope="session")
def gallery(tmp_path_factory):
    """An application with one succeeded run. No test changes it."""
    settings = Settings(home=tmp_path_factory.mktemp("gallery"), broker_url="memory://", sweep_seconds=3600)
    with browse(create_app(settings)) as client:
        run_id = client.post("/v1/runs", json=SMALL | {"render": {"formats": list(FORMATS)}}).json()["id"]
        FakeWorker(client.app.state.process).work(run_id)
        client.exhibit = run_id
        yield client


@pytest.fixture
def exhibit(gallery):
    """Id of the run of the gallery."""
    return gallery.exhibit


@pytest.fixture(scope="session")
def problem():
    """Check that a response is a problem, and return it."""

    def check(response, status, kind, field=None):
        assert response.status_code == status, response.text
        assert response.headers["content-type"] == "application/problem+json"
        body = response.json()
        assert body["type"] == f"/problems/{kind}", body
        assert body["status"] == status
        assert body["title"]
        assert body["detail"]
        assert body.get("field") == field, body
        return body

    return check
