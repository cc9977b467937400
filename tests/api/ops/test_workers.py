from core.store.database.tables import WorkerRow
from core.store.queries import workers
from core.version import installed_version


def beat(process, worker_id, **told):
    with process.database.writing() as session:
        workers.beat(session, worker_id, **({"queues": ["gpu", "cpu"], "device": "cpu"} | told))


def test_nobody(idle):
    assert idle.get("/v1/workers").json() == {"workers": []}


def test_what_they_are_and_do(client, process):
    doing = [{"run": "run_" + "0" * 26, "stage": "fine_tune"}]
    beat(process, "one")
    beat(process, "two", queues=["gpu"], device="cuda", concurrency=2, doing=doing)
    two, one = client.get("/v1/workers").json()["workers"]
    assert (one["id"], one["doing"], one["concurrency"]) == ("one", [], 1)
    at = two.pop("started_at"), two.pop("heartbeat_at")
    assert at[0] <= at[1]
    assert two == {
        "id": "two",
        "queues": ["gpu"],
        "device": "cuda",
        "version": installed_version(),
        "concurrency": 2,
        "doing": doing,
        "alive": True,
    }


def test_workers__one_without_a_recent_heartbeat(client, process):
    beat(process, "lost", doing=[{"run": "run_" + "0" * 26, "stage": "fine_tune"}])
    with process.database.writing() as session:
        session.get_one(WorkerRow, "lost").heartbeat_at -= workers.ALIVE_SECONDS + 5
    [lost] = client.get("/v1/workers").json()["workers"]
    assert (lost["alive"], lost["doing"]) == (False, [])
    assert client.get("/readyz").json()["workers"] == 0
