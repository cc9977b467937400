import threading
from types import SimpleNamespace

import pytest

from core.settings import Settings
from core.store.queries import workers
from core.version import installed_version
from worker import tasks
from worker.tasks import BackgroundDuties


def duties(tmp_path, database, supervisor):
    return BackgroundDuties(Settings(home=tmp_path, queues=("gpu",), worker_concurrency=3), database, supervisor)


@pytest.mark.parametrize(("there", "device"), [(True, "cuda"), (False, "cpu")])
def test_beat__records_the_worker_and_its_tasks(tmp_path, database, monkeypatch, there, device):
    monkeypatch.setattr(
        tasks, "Path", lambda _path: SimpleNamespace(exists=lambda: there)
    )  # the device file of the first GPU
    doing = [{"run": "run_1", "stage": "fine_tune"}]
    supervisor = SimpleNamespace(worker_id="host-1-abc")
    keeping = duties(tmp_path, database, supervisor)
    for told in (doing, []):
        supervisor.doing = told
        keeping.beat()
        with database.reading() as session:
            [(row, alive)] = workers.every(session)
        assert alive
        assert (row.queues, row.device, row.concurrency, row.doing) == (["gpu"], device, 3, told)
        assert row.version == installed_version()


def test_stop__deletes_the_row_of_the_worker(tmp_path, database):
    keeping = duties(tmp_path, database, SimpleNamespace(worker_id="host-1-abc", doing=[]))
    keeping.beat()
    keeping.stop()
    with database.reading() as session:
        assert workers.every(session) == []


def test_sweep__an_idle_worker_runs_queued_tasks_without_a_wake_up(tmp_path, database):
    looked, go_on = threading.Event(), threading.Event()

    def answer():
        looked.set()
        go_on.wait()

    supervisor = SimpleNamespace(worker_id="w", idle=True, doing=[], notify=list, wake=answer)
    keeping = duties(tmp_path, database, supervisor)
    keeping.sweep()
    assert looked.wait(10)
    looked.clear()
    keeping.sweep()  # it is still running
    go_on.set()
    keeping.stop()
    assert not looked.is_set()
    supervisor.idle = False
    keeping.sweep()
    assert not looked.wait(0.2)
