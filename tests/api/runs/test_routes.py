import shutil
import time
from dataclasses import replace

import pytest

from api.access.caller import OPERATOR
from api.runs.schemas import RunCreate
from api.runs.service import RunService
from core.errors import TrainingDivergedError
from core.store.engine import lifecycle


def test_submit__only_dataset(client):
    response = client.post("/v1/runs", json={"dataset": "digits"})
    run = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["status"] == "queued"
    assert run["name"] == "digits, vit-tiny"
    assert run["spec"]["train"]["steps"] == 300
    assert run["spec"]["pinned"] == {"dataset_digest": "digits-v1", "model_revision": None}
    assert len(run["plan"]["steps"]) == 60
    assert [stage["name"] for stage in run["plan"]["stages"]] == [
        "fine_tune",
        "embed",
        "score",
        "project",
        "measure",
        "render",
    ]
    assert [stage["tasks"] for stage in run["plan"]["stages"]] == [1, 60, 1, 1, 1, 1]
    assert [stage["queue"] for stage in run["plan"]["stages"]] == ["gpu"] * 5 + ["cpu"]
    assert run["stages"][1]["progress"] == {"done": 0, "total": 60}
    assert run["links"]["film"] is None
    assert run["eta_seconds"] is None
    assert run["error"] is None
    assert run["created_at"].endswith("Z")


def test_submit__default_is_bounded_by_the_steps(client):
    run = client.post("/v1/runs", json={"dataset": "digits", "train": {"steps": 9}}).json()
    assert run["spec"]["capture"]["frames"] == 10


def test_submit__two_phases_are_returned_in_full_with_their_steps(client):
    """797 training images in steps of 64 are 13 steps a pass: 16 and 8 passes."""
    run = client.post("/v1/runs", json={"dataset": "digits", "train": {"recipe": "two_phase"}}).json()
    phases = run["spec"]["train"]["phases"]
    assert [(phase["trainable"], phase["steps"], phase["epochs"]) for phase in phases] == [
        ("head", 208, None),
        ("all", 104, None),
    ]
    assert phases[1]["layer_decay"] == {"kind": "exponential", "factor": 0.75, "floor": None}
    assert run["spec"]["train"]["steps"] == 312
    assert {0, 208, 312} <= set(run["plan"]["steps"])


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"train": {"steps": 9}, "capture": {"frames": 60}}, "invalid-spec", "capture.frames"),
        ({"capture": {"probe_size": 1001}}, "invalid-spec", "capture.probe_size"),
        ({"capture": {"probe_size": 10}, "score": {"k": 10}}, "invalid-spec", "score.k"),
        ({"capture": {"probe_size": 10}, "render": {"trails": [10]}}, "invalid-spec", "render.trails"),
        ({"train": {"train_size": 798}}, "invalid-spec", "train.train_size"),
        ({"train": {"keep_weights": "all"}, "capture": {"spacing": "drift"}}, "invalid-spec", "train.keep_weights"),
        (
            {"train": {"early_stopping": {"patience": 3}}, "capture": {"mode": "offload"}},
            "invalid-spec",
            "train.early_stopping",
        ),
        (
            {"train": {"early_stopping": {"patience": 3}}, "capture": {"spacing": "drift"}},
            "invalid-spec",
            "train.early_stopping",
        ),
        ({"train": {"early_stopping": {"patience": 3}, "keep_weights": "all"}}, "invalid-spec", "train.keep_weights"),
        ({"train": {"early_stopping": {"patience": 0}}}, "invalid-spec", "train.early_stopping.patience"),
        ({"train": {"early_stopping": {"min_delta": 0.1}}}, "invalid-spec", "train.early_stopping.patience"),
        ({"train": {"steps": 200_001}}, "invalid-spec", "train.steps"),
        ({"train": {"steps": 0}}, "invalid-spec", "train.steps"),
        ({"train": {"steps": 10**30}}, "invalid-spec", "train.steps"),
        ({"train": {"speed": 1}}, "invalid-spec", "train.speed"),
        ({"train": {"phases": [{"name": "a", "steps": 1, "epochs": 1}]}}, "invalid-spec", "train.phases.0"),
        ({"train": {"phases": [{"name": "a", "steps": 1}], "steps": 2}}, "invalid-spec", "train.steps"),
        ({"train": {"phases": [{"name": "a", "epochs": 10_000}], "batch_size": 1}}, "invalid-spec", "train.phases"),
        ({"train": {"recipe": "magic"}}, "invalid-spec", "train.recipe"),
        ({"train": {"recipe": "two_phase"}, "capture": {"frames": 2}}, "invalid-spec", "capture.frames"),
        ({"train": {"recipe": "head_only"}, "capture": {"spacing": "drift"}}, "invalid-spec", "capture.spacing"),
        (
            {"train": {"phases": [{"name": "a", "steps": 9, "trainable": "last_n_blocks", "n_blocks": 6}]}},
            "invalid-spec",
            "train.phases.0.n_blocks",
        ),
        ({"train": {"augment": {"hue": 1}}}, "invalid-spec", "train.augment.hue"),
        ({"train": {"lora": {"rank": 0}}}, "invalid-spec", "train.lora.rank"),
        ({"train": {"lora": {}, "recipe": "head_only"}}, "invalid-spec", "train.lora"),
        ({"colour": "red"}, "invalid-spec", "colour"),
        ({"dataset": "cifar"}, "unknown-dataset", "dataset"),
        ({"dataset": "hub:nobody/nothing"}, "unknown-dataset", "dataset"),
        ({"dataset": "ds_00000000000000000000000000"}, "unknown-dataset", "dataset"),
        ({"dataset": "ds_\x00"}, "unknown-dataset", "dataset"),
        ({"dataset": "../../etc"}, "unknown-dataset", "dataset"),
        ({"dataset": ""}, "invalid-spec", "dataset"),
        ({"model": "resnet"}, "unknown-model", "model"),
        ({"name": ""}, "invalid-spec", "name"),
        ({"name": "two\nlines"}, "invalid-spec", "name"),
        ({"name": "x" * 121}, "invalid-spec", "name"),
        ({"render": {"formats": ["avi"]}}, "invalid-spec", "render.formats.0"),
        ({"align": {"method": "magic"}}, "invalid-spec", "align.method"),
    ],
)
def test_submit__refused(idle, problem, changes, kind, field):
    problem(idle.post("/v1/runs", json={"dataset": "digits"} | changes), 422, kind, field)


def test_submit__missing_dataset(idle, problem):
    body = problem(idle.post("/v1/runs", json={"name": "x"}), 422, "invalid-spec", "dataset")
    assert body["errors"] == [{"field": "dataset", "detail": "This is required", "code": "missing"}]


def test_submit__all_faults_are_listed(idle, problem):
    response = idle.post("/v1/runs", json={"dataset": 1, "train": {"steps": "many", "seed": -1}})
    body = problem(response, 422, "invalid-spec", "dataset")
    assert [fault["field"] for fault in body["errors"]] == ["dataset", "train.steps", "train.seed"]


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b'{"dataset": "digits", "train": {"learning_rate": NaN}}', 422, "invalid-spec", "train.learning_rate"),
        (b'{"dataset": "digits", "train": {"learning_rate": 1e999}}', 422, "invalid-spec", "train.learning_rate"),
        (b'{"dataset": "digits", "name": "\\ud800"}', 422, "invalid-spec", "name"),
        (b'{"dataset": "digits", "train": {"steps": ' + b"9" * 5000 + b"}}", 400, "malformed-body", None),
        (b'{"dataset": ', 400, "malformed-body", None),
        (b"\xff\xfe", 400, "malformed-body", None),
        (b"[" * 100_000, 400, "malformed-body", None),
        (b"[]", 422, "invalid-spec", None),
        (b"null", 422, "invalid-spec", None),
        (b"", 422, "invalid-spec", None),
        (b'"' + b"x" * 2_000_000 + b'"', 413, "upload-too-large", None),
    ],
    ids=["nan", "infinity", "surrogate", "5000 digits", "cut", "no utf-8", "deep", "list", "null", "empty", "long"],
)
def test_submit__malformed_json(idle, problem, body, status, kind, field):  # noqa: PLR0917 - fixtures and cases
    response = idle.post("/v1/runs", content=body, headers={"content-type": "application/json"})
    problem(response, status, kind, field)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_submit__wrong_content_type(idle, problem, media_type):
    response = idle.post("/v1/runs", content=b'{"dataset": "digits"}', headers={"content-type": media_type})
    problem(response, 415, "unsupported-media-type")


def test_page__newest_first_with_cursor(client, submit):
    ids = []
    for name in "abcde":
        ids.append(submit(name=name)["id"])
        time.sleep(0.002)  # ids increase with each millisecond
    seen, cursor = [], None
    for _ in range(3):
        page = client.get("/v1/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert seen == ids[::-1]
    assert cursor is None


def test_page__exactly_full_is_the_last(client, submit):
    submit()
    assert client.get("/v1/runs?limit=1").json()["next_cursor"] is None


@pytest.mark.parametrize("query", ["cursor=nonsense", "cursor=%00", "cursor=%C3%A9", "limit=0", "limit=101", "limit=x"])
def test_page__refused(idle, problem, query):
    problem(idle.get(f"/v1/runs?{query}"), 422, "invalid-spec", query.partition("=")[0])


def test_show__etag(client, submit, worker):
    run = submit()
    worker.beat()
    first = client.get(run["links"]["self"])
    assert first.headers["etag"] == f'W/"{first.json()["version"]}-0"', "the version and the place in the queue"
    again = client.get(run["links"]["self"], headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    worker.claim(run["id"])
    assert client.get(run["links"]["self"], headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_show__place_in_the_queue(client, submit, worker):
    ahead, run = (submit(name=name, train={"steps": 10, "seed": seed}) for seed, name in enumerate(("ahead", "behind")))
    worker.beat()
    before = client.get(run["links"]["self"])
    assert (ahead["queue_position"], before.json()["queue_position"]) == (0, 1)
    worker.claim(ahead["id"])
    after = client.get(run["links"]["self"], headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, after.json()["queue_position"]) == (200, 0), "the body has changed, the version has not"
    assert after.json()["version"] == before.json()["version"]
    assert client.get(ahead["links"]["self"]).json()["queue_position"] is None
    places = {shown["id"]: shown["queue_position"] for shown in client.get("/v1/runs").json()["runs"]}
    assert places == {ahead["id"]: None, run["id"]: 0}


def test_show__304_builds_nothing(client, submit, monkeypatch):
    run = submit()
    etag = client.get(run["links"]["self"]).headers["etag"]
    monkeypatch.setattr("api.runs.describe.describe", None)
    answer = client.get(run["links"]["self"], headers={"If-None-Match": etag})
    assert (answer.status_code, answer.headers["etag"]) == (304, etag)


def test_show__notice_while_no_worker_is_there(client, submit, worker):
    run = submit()
    assert "gpu queue" in run["notice"]
    assert "make serve" in run["notice"]
    waiting = client.get(run["links"]["self"]).headers["etag"]
    worker.beat("cpu")
    assert client.get(run["links"]["self"]).json()["notice"] is not None
    worker.worker_id = "other"
    worker.beat("gpu")
    served = client.get(run["links"]["self"], headers={"If-None-Match": waiting})
    assert served.status_code == 200, "the notice has gone, so the body has changed"
    assert served.json()["notice"] is None


def test_show__progress(client, submit, worker):
    run = submit()
    held = worker.claim(run["id"])
    worker.progress(held, 4, 10)
    worker.embed(held, held.task.parts[0], 0)
    shown = client.get(run["links"]["self"]).json()
    fine_tune, embed = shown["stages"][:2]
    assert shown["status"] == "running"
    assert fine_tune["progress"] == {"done": 4, "total": 10}
    assert (fine_tune["status"], fine_tune["attempt"]) == ("running", 1)
    assert (embed["status"], embed["progress"]) == ("running", {"done": 1, "total": 3})
    assert embed["finished_at"] is None
    assert shown["eta_seconds"] >= 0


def test_show__succeeded(gallery, exhibit):
    run = gallery.get(f"/v1/runs/{exhibit}").json()
    assert run["status"] == "succeeded"
    assert {stage["status"] for stage in run["stages"]} == {"succeeded"}
    assert all(stage["progress"]["done"] == stage["progress"]["total"] for stage in run["stages"])
    assert run["links"]["film"] == f"/v1/runs/{exhibit}/film.gif"
    assert run["finished_at"] >= run["started_at"] >= run["created_at"]
    assert run["eta_seconds"] is None
    assert run["notice"] is None


def test_show__failed(client, submit, worker):
    run = submit()
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("The loss became NaN.", field="train.learning_rate"))
    shown = client.get(run["links"]["self"]).json()
    assert shown["status"] == "failed"
    assert shown["error"] == {
        "type": "/problems/training-diverged",
        "title": "The training diverged",
        "detail": "The loss became NaN.",
        "field": "train.learning_rate",
    }
    assert [stage["status"] for stage in shown["stages"]] == ["failed"] + ["cancelled"] * 5


@pytest.mark.parametrize(
    "run_id", ["run_00000000000000000000000000", "x", "run_%00", "..%2f..%2fetc%2fpasswd", "run_" + "9" * 500]
)
@pytest.mark.parametrize(
    ("method", "below"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("POST", "/renders"),
        ("GET", "/events"),
        ("GET", "/stream"),
        ("GET", "/checkpoints"),
        ("GET", "/film.gif"),
        ("GET", "/frames/0.png"),
        ("GET", "/log.csv"),
        ("GET", "/projection"),
        ("GET", "/outliers"),
    ],
)
def test_unknown_run(idle, problem, method, below, run_id):
    body = {"json": {}} if below == "/renders" else {}
    problem(idle.request(method, f"/v1/runs/{run_id}{below}", **body), 404, "not-found")


def test_cancel__queued_and_again(client, submit):
    run = submit()
    first, second = (client.post(run["links"]["cancel"]) for _ in range(2))
    assert first.status_code == second.status_code == 202
    assert first.json()["status"] == second.json()["status"] == "cancelled"
    assert first.json()["version"] == second.json()["version"]


def test_cancel__running(client, submit, worker):
    run = submit()
    worker.claim(run["id"])
    assert client.post(run["links"]["cancel"]).json()["status"] == "cancelling"


def test_cancel__a_finished_run_is_unchanged(gallery, exhibit):
    assert gallery.post(f"/v1/runs/{exhibit}/cancel").json()["status"] == "succeeded"


def test_retry(client, submit, problem):
    run = submit()
    problem(client.post(run["links"]["retry"]), 409, "conflict")
    client.post(run["links"]["cancel"])
    retried = client.post(run["links"]["retry"])
    assert retried.status_code == 202
    assert retried.json()["status"] == "queued"
    assert retried.headers["location"] == run["links"]["self"]


def test_delete(client, finished, process, submit, problem):
    objects = process.store.scratch / "objects"
    assert any(path.is_file() for path in objects.rglob("*"))
    assert client.delete(f"/v1/runs/{finished}").status_code == 204
    assert not any(path.is_file() for path in objects.rglob("*"))
    problem(client.get(f"/v1/runs/{finished}"), 404, "not-found")
    problem(client.delete(submit()["links"]["self"]), 409, "conflict")


def test_retry__of_what_was_lost(client, finished, process, worker, film, problem):  # noqa: PLR0917 - fixtures
    problem(client.post(f"/v1/runs/{finished}/retry"), 409, "conflict")
    shutil.rmtree(process.store.scratch / "objects")
    problem(client.get(f"/v1/runs/{finished}/film.gif"), 409, "not-ready")
    assert client.post(f"/v1/runs/{finished}/retry").json()["status"] == "queued"
    worker.work(finished)
    assert client.get(f"/v1/runs/{finished}/film.gif").content == film


def lose(process, name):
    """Delete one file of an artifact without the service."""
    (path,) = (process.store.scratch / "objects").rglob(name)
    path.unlink()


@pytest.mark.parametrize("name", ["film.gif", "curves.png"])
def test_retry__makes_a_single_lost_file_again(client, finished, process, worker, problem, name):  # noqa: PLR0917 - fixtures
    made = client.get(f"/v1/runs/{finished}/{name}").content
    lose(process, name)
    told = problem(client.get(f"/v1/runs/{finished}/{name}"), 409, "not-ready")
    assert told["detail"] == f"{name} is not stored any more. Retry the run to make it again."
    assert client.post(f"/v1/runs/{finished}/retry").json()["status"] == "queued"
    worker.work(finished)
    assert client.get(f"/v1/runs/{finished}/{name}").content == made


def test_submit__a_damaged_artifact_is_not_counted_on(client, finished, small, process, worker, film):  # noqa: PLR0917 - fixtures
    lose(process, "film.gif")
    again = client.post("/v1/runs", json=small).json()
    assert {stage["name"]: stage["status"] for stage in again["stages"]}["render"] == "queued"
    worker.work(again["id"])
    for run_id in (finished, again["id"]):
        assert client.get(f"/v1/runs/{run_id}/film.gif").content == film


def test_submit__what_was_lost_is_not_counted_on(client, finished, small, process, worker, film):  # noqa: PLR0917 - fixtures
    shutil.rmtree(process.store.scratch / "objects")
    again = client.post("/v1/runs", json=small).json()
    assert again["status"] == "queued"
    worker.work(again["id"])
    assert client.get(f"/v1/runs/{again['id']}/film.gif").content == film


def test_delete__shared_artifacts_stay(client, finished, film):
    drawn = client.post(f"/v1/runs/{finished}/renders", json={}).json()
    assert client.delete(f"/v1/runs/{finished}").status_code == 204
    assert client.get(drawn["links"]["film"]).content == film


def test_submit__wake_ups_are_sent_after_the_commit(process, small):
    seen = []

    def notify(wake_ups):
        for wake_up in wake_ups:
            with process.database.reading() as session:
                seen.append((wake_up.task_id, wake_up.queue, len(lifecycle.tasks_of(session, wake_up.run_id))))

    replace(process.services.of(RunService, OPERATOR), notify=notify).submit(RunCreate(**small))
    assert seen == [("fine_tune", "gpu", 8)]


def test_submit__without_the_broker(serve, small, caplog):
    client = serve(broker_url="redis://127.0.0.1:1/0")
    run = client.post("/v1/runs", json=small)
    assert run.status_code == 202
    client.app.state.process.notifier.stop()
    assert f"wake-up for {run.json()['id']} fine_tune not sent" in caplog.text
    assert client.get(run.json()["links"]["self"]).json()["status"] == "queued"
