import pytest

from core.settings import Settings
from core.store.artifacts import open_store
from worker import child
from worker.supervisor import Supervisor


@pytest.fixture
def make(tmp_path, database):
    """A supervisor over the test's database; children started are remembered."""

    def supervisor(**options):
        settings = Settings(
            home=tmp_path / "home",
            stages_module="tests.stub_stages",
            lease_seconds=20.0,
            renew_seconds=0.2,
            cancel_poll_seconds=0.1,
            **options,
        )
        store = open_store(settings.artifacts, home=settings.root)
        store.prepare()
        bells = []
        made = Supervisor(settings, database, store, "w1", bells.extend)
        made.rung = bells
        return made

    return supervisor


@pytest.fixture
def started(monkeypatch):
    """Every child that was started, in order."""
    children = []
    start = child.Child.start

    def remember(job):
        children.append(start(job))
        return children[-1]

    monkeypatch.setattr(child.Child, "start", remember)
    return children
