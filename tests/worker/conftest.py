from dataclasses import dataclass

import pytest

from core.domain.ids import new_id
from core.domain.plan import build
from core.settings import Settings
from core.store.database import migrate
from core.store.database.session import Database
from core.store.engine import artifact_rows
from core.store.objects.artifacts import ArtifactStore, open_store
from core.store.queries import artifacts, runs
from tests.forking import warm_up
from worker import child
from worker.supervisor import Supervisor


@pytest.fixture(scope="session", autouse=True)
def warm():
    warm_up()


@pytest.fixture
def make(tmp_path, database):
    """Make a supervisor on the database of the test. It records the children that it starts."""

    def supervisor(**options):
        settings = Settings(
            home=tmp_path / "home",
            lease_seconds=20.0,
            renew_seconds=0.2,
            cancel_poll_seconds=0.1,
            **options,
        )
        store = open_store(settings.artifacts, home=settings.root)
        store.prepare()
        wake_ups = []
        made = Supervisor(settings, database, store, "w1", wake_ups.extend, "tests.stub_stages")
        made.sent = wake_ups
        return made

    return supervisor


@pytest.fixture
def started(monkeypatch):
    """Return the started children, in order."""
    children = []
    start = child.Child.start

    def remember(job):
        children.append(start(job))
        return children[-1]

    monkeypatch.setattr(child.Child, "start", remember)
    return children


@dataclass(frozen=True)
class Works:
    """A worker that runs the real stages. Only their children are other processes."""

    settings: Settings
    database: Database
    store: ArtifactStore

    def work_off(self, spec):
        """Run all tasks of a run of this spec. Returns the id of the run."""
        with self.database.writing() as session:
            run, _ = runs.accept(session, new_id("run"), spec, build(spec))
        Supervisor(self.settings, self.database, self.store, "w1", list).wake()
        return run.id

    def run(self, run_id):
        with self.database.reading() as session:
            return runs.get(session, run_id)

    def artifact(self, key):
        """Return the row and the folder of an artifact."""
        with self.database.reading() as session:
            row = artifacts.artifacts(session, [key])[key]
            return row, self.store.folder(artifact_rows.recorded(session, [key])[key])


@pytest.fixture(scope="module")
def works(tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    store, database = open_store(settings.artifacts, home=settings.root), Database(settings.database)
    migrate.upgrade(database)
    store.prepare()
    yield Works(settings, database, store)
    database.close()
