"""POST /v1/runs/{id}/renders: a finished run is drawn with other settings."""

from api.runs.schemas import RenderCreate
from core.domain.spec import RunSpec


def test_render__no_stage_before_the_changed_one_runs_again(client, finished, worker):
    response = client.post(f"/v1/runs/{finished}/renders", json={"name": "slow", "render": {"fps": 5}})
    run = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{run['id']}"
    assert run["drawn_from"] == finished
    assert run["name"] == "slow"
    assert (run["spec"]["render"]["fps"], run["spec"]["render"]["width"]) == (5, 960)
    assert {stage["name"]: stage["reused"] for stage in run["stages"]} == {
        "fine_tune": True,
        "embed": True,
        "score": True,
        "project": True,
        "measure": True,
        "render": False,
    }
    worker.work(run["id"])
    assert client.get(run["links"]["self"]).json()["status"] == "succeeded"


def test_render__omitted_fields_keep_their_values(client, submit, worker):
    run = submit(render={"fps": 5, "leaderboard": 3}, align={"method": "none"})
    worker.work(run["id"])
    drawn = client.post(run["links"]["renders"], json={"render": {"fps": 6}, "score": None}).json()
    assert drawn["spec"]["render"] == run["spec"]["render"] | {"fps": 6}
    assert drawn["spec"] | {"render": 0} == run["spec"] | {"render": 0}


def test_null_inside_a_section_is_a_value(client, submit):
    run = submit(project={"smoothing": 5.0}, render={"max_bytes": 50_000, "fps": 5})
    drawn = RunSpec.model_validate(run["spec"])
    body = RenderCreate.model_validate({"project": {"smoothing": None}, "render": {"max_bytes": None}, "name": None})
    spec = body.to_spec(drawn)
    assert (spec.project.smoothing, spec.render.max_bytes) == (None, None)
    assert (spec.name, spec.render.fps) == (drawn.name, 5)


def test_null_inside_a_section__over_http(client, submit, worker):
    run = submit(project={"smoothing": 5.0})
    worker.work(run["id"])
    drawn = client.post(run["links"]["renders"], json={"project": {"smoothing": None}}).json()
    assert (run["spec"]["project"]["smoothing"], drawn["spec"]["project"]["smoothing"]) == (5.0, None)


def test_same_drawing_is_there_at_once(client, finished):
    assert client.post(f"/v1/runs/{finished}/renders", json={}).json()["status"] == "succeeded"


def test_refused(client, finished, submit, problem):
    renders = f"/v1/runs/{finished}/renders"
    problem(client.post(renders, json={"score": {"k": 5}}), 422, "invalid-spec", "score.k")
    problem(client.post(renders, json={"render": {"trails": [3, 99]}}), 422, "invalid-spec", "render.trails")
    problem(client.post(renders, json={"train": {"steps": 5}}), 422, "invalid-spec", "train")
    problem(client.post(renders, json={"render": {"fps": 0}}), 422, "invalid-spec", "render.fps")
    waiting = submit(name="waiting", train={"steps": 11})
    problem(client.post(waiting["links"]["renders"], json={}), 409, "conflict")


def test_idempotency(client, finished, small, problem):
    headers = {"Idempotency-Key": "one"}
    body = {"render": {"fps": 5}}
    first, second = (client.post(f"/v1/runs/{finished}/renders", json=body, headers=headers).json() for _ in range(2))
    assert first["id"] == second["id"]
    problem(client.post("/v1/runs", json=small, headers=headers), 422, "invalid-spec", "Idempotency-Key")


def test_idempotency__the_run_that_was_drawn_is_deleted(client, finished):
    renders, headers = f"/v1/runs/{finished}/renders", {"Idempotency-Key": "one"}
    first = client.post(renders, json={}, headers=headers)
    assert client.delete(f"/v1/runs/{finished}").status_code == 204
    again = client.post(renders, json={}, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["id"] == first.json()["id"]
