import shutil

import pytest


@pytest.fixture
def pair(submit, worker):
    """Two succeeded runs."""
    run_ids = [submit()["id"], submit(model="vit-small", name="the larger one")["id"]]
    for run_id in run_ids:
        worker.work(run_id)
    return run_ids


@pytest.fixture
def compare(client):
    def post(*run_ids, key=None, **body):
        headers = {"Idempotency-Key": key} if key else {}
        return client.post("/v1/comparisons", json={"runs": run_ids, **body}, headers=headers)

    return post


def test_compare__the_table_is_there_at_once_and_the_film_when_it_is_drawn(client, compare, pair, worker):
    answer = compare(*pair)
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (202, f"/v1/comparisons/{made['id']}")
    assert (made["status"], made["likeness"], made["links"]["film"]) == ("queued", None, None)
    assert made["name"] == "digits, vit-tiny · the larger one"
    assert [(row["run"], row["name"], row["model"]) for row in made["runs"]] == [
        (pair[0], "digits, vit-tiny", "vit-tiny"),
        (pair[1], "the larger one", "vit-small"),
    ]
    assert made["runs"][0]["phases"] == [{"phase": "fine tune", "step": 2, "accuracy": 0.6, "loss": 0.5}]

    worker.work(made["id"])
    shown = client.get(made["links"]["self"]).json()
    assert (shown["status"], shown["runs"]) == ("succeeded", made["runs"])
    assert shown["likeness"] == {"cka": [[1.0, 0.5], [0.5, 1.0]]}
    assert client.get(shown["links"]["film"]).status_code == 200


def test_compare__its_run_is_marked_as_a_comparison(client, compare, pair, worker):
    made = compare(*pair, name="both", render={"theme": "dark"}).json()
    run = client.get(made["links"]["run"]).json()
    assert run["links"]["comparison"] == made["links"]["self"]
    assert run["plan"]["stages"] == [{"name": "render", "tasks": 1, "queue": "cpu"}]
    assert [one["run"] for one in run["spec"]["compared"]] == pair
    assert {field: run["spec"]["render"][field] for field in ("width", "height", "theme")} == {
        "width": 1280,
        "height": 720,
        "theme": "dark",
    }
    held = worker.claim(made["id"], "render")
    assert client.get(made["links"]["run"]).json()["eta_seconds"] is None
    worker.progress(held, 1, 3)
    assert client.get(made["links"]["run"]).json()["eta_seconds"] is not None
    worker.finish(held)
    for below in ("projection", "outliers", "quality", "label-issues", "model", "log.csv"):
        answer = client.get(f"{made['links']['run']}/{below}")
        assert (answer.status_code, "is a comparison" in answer.json()["detail"]) == (404, True), below
    assert client.get(f"/v1/runs/{pair[0]}").json()["links"]["comparison"] is None


def test_compare__the_same_again(compare, pair):
    first, again, other = compare(*pair, key="k"), compare(*pair, key="k"), compare(*pair[::-1], key="k")
    assert first.json()["id"] == again.json()["id"]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.json()["field"]) == (422, "Idempotency-Key")


def test_compare__the_same_again_when_its_runs_are_deleted(client, compare, pair):
    first = compare(*pair, key="k").json()
    for run_id in pair:
        assert client.delete(f"/v1/runs/{run_id}").status_code == 204
    again = compare(*pair, key="k")
    assert (again.status_code, again.json()) == (202, first)


@pytest.mark.parametrize(
    "changes", [{"train": {"steps": 10, "seed": 1}}, {"capture": {"frames": 3, "probe_size": 4}, "score": {"k": 2}}]
)
def test_compare__other_images_are_refused(compare, submit, worker, changes):
    run_ids = [submit()["id"], submit(**changes)["id"]]
    for run_id in run_ids:
        worker.work(run_id)
    answer = compare(*run_ids)
    assert (answer.status_code, answer.json()["field"]) == (422, "runs.1")


def test_compare__an_unfinished_run(compare, finished, submit):
    answer = compare(finished, submit(model="vit-small")["id"])
    assert (answer.status_code, "is queued" in answer.json()["detail"]) == (409, True)


def test_compare__a_run_that_is_not_there(compare, finished):
    for nobody in ("run_00000000000000000000000000", "no id", ""):
        answer = compare(finished, nobody)
        assert (answer.status_code, answer.json()["field"]) == (422, "runs.1")
        assert "There is no" in answer.json()["detail"]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_compare__too_few_or_too_many(compare, finished, count):
    answer = compare(*[finished] * count)
    assert (answer.status_code, answer.json()["field"]) == (422, "runs")


def test_compare__one_run_twice_or_a_comparison(compare, pair, worker):
    assert compare(pair[0], pair[0]).json()["field"] == "runs.1"
    both = compare(*pair).json()["id"]
    worker.work(both)
    answer = compare(pair[0], both)
    assert (answer.status_code, answer.json()["field"]) == (422, "runs.1")


def test_compare__its_runs_may_be_deleted(client, compare, pair, worker):
    made = compare(*pair).json()
    for run_id in pair:
        assert client.delete(f"/v1/runs/{run_id}").status_code == 204
    worker.work(made["id"])
    shown = client.get(made["links"]["self"]).json()
    assert (shown["status"], shown["runs"]) == ("succeeded", made["runs"])
    assert client.delete(made["links"]["run"]).status_code == 204
    assert client.get(made["links"]["self"]).status_code == 404


def test_compare__missing_files_are_an_error_before_any_write(client, compare, pair, process):
    shutil.rmtree(process.settings.root / "artifacts" / "objects")
    answer = compare(*pair, key="k")
    assert (answer.status_code, f"Files of run {pair[0]} are gone" in answer.json()["detail"]) == (409, True)
    assert len(client.get("/v1/runs").json()["runs"]) == 2
    assert client.post(f"/v1/runs/{pair[0]}/retry").status_code == 202


def test_show__results_with_missing_files(client, compare, pair, process):
    made = compare(*pair).json()
    shutil.rmtree(process.settings.root / "artifacts" / "objects")
    answer = client.get(made["links"]["self"])
    assert (answer.status_code, "Retry" in answer.json()["detail"]) == (409, True)


def test_show__a_run_that_is_no_comparison(client, finished):
    answer = client.get(f"/v1/comparisons/{finished}")
    assert (answer.status_code, "is no comparison" in answer.json()["detail"]) == (404, True)


def test_draw__a_comparison_otherwise(client, compare, pair, worker):
    made = compare(*pair).json()
    worker.work(made["id"])
    answer = client.post(f"{made['links']['run']}/renders", json={"render": {"theme": "dark"}})
    assert (answer.status_code, answer.json()["spec"]["render"]["theme"]) == (202, "dark")
    assert client.get(f"/v1/comparisons/{answer.json()['id']}").json()["runs"] == made["runs"]
    refused = client.post(f"{made['links']['run']}/renders", json={"score": {"k": 1}})
    assert (refused.status_code, refused.json()["field"]) == (422, "score")
