"""The trained model of a run over HTTP, and runs that start from it."""

import io
import json
from zipfile import ZipFile

import pytest

from api.runs.schemas import RunCreate
from tests.small_results import MODEL


def model(run_id):
    return f"/v1/runs/{run_id}/model"


def test_model__is_a_folder_in_hugging_face_format(client, trained):
    response = client.get(model(trained))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/zip"
    assert response.headers["content-disposition"] == f'attachment; filename="{trained}.zip"'
    assert int(response.headers["content-length"]) == len(response.content)
    with ZipFile(io.BytesIO(response.content)) as packed:
        assert packed.testzip() is None
        assert packed.namelist() == ["README.md", "config.json", "preprocessor_config.json", "model.safetensors"]
        assert {name: packed.read(name) for name in MODEL} == MODEL


def test_model__its_card_describes_the_run(client, trained, small):
    with ZipFile(io.BytesIO(client.get(model(trained)).content)) as packed:
        card = packed.read("README.md").decode()
    assert "# digits, vit-tiny\n" in card
    assert "| 0 | 50.0 % | 2.5 |\n| 10 | 50.0 % | 0.5 |\n" in card
    assert f"http://localhost/v1/runs/{trained}/film.gif" in card
    [command] = [line for line in card.splitlines() if line.startswith("curl")]
    body = RunCreate.model_validate(json.loads(command.partition(" -d '")[2].removesuffix("'")))
    assert (body.dataset, body.train.keep_weights) == ("digits", "last")
    assert client.post("/v1/runs", json=body.model_dump(mode="json")).json()["status"] == "succeeded"


def test_model__not_modified(client, trained):
    first = client.get(model(trained))
    seen = client.get(model(trained), headers={"If-None-Match": first.headers["etag"]})
    assert (seen.status_code, seen.content) == (304, b"")
    assert client.get(model(trained)).content == first.content


def test_model__head(client, trained):
    response = client.head(model(trained))
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == client.get(model(trained)).headers["content-length"]


def test_model__the_link_is_there_when_the_weights_are(client, submit, worker, finished):
    run = submit(train={"steps": 10, "keep_weights": "last", "seed": 1})
    assert run["links"]["model"] is None
    worker.work(run["id"], until="render")
    shown = client.get(f"/v1/runs/{run['id']}").json()
    assert (shown["status"], shown["links"]["model"]) == ("running", model(run["id"]))
    assert client.get(shown["links"]["model"]).status_code == 200
    assert client.get(f"/v1/runs/{finished}").json()["links"]["model"] is None


def test_model__of_a_run_that_keeps_none(client, problem, finished):
    body = problem(client.get(model(finished)), 404, "not-found")
    assert 'train.keep_weights "last"' in body["detail"]


def test_model__before_the_training_is_done(client, problem, submit):
    run = submit(train={"steps": 10, "keep_weights": "last"})
    problem(client.get(model(run["id"])), 409, "not-ready")


def test_model__whose_files_are_lost(client, problem, process, trained):
    for location in process.store.objects.everything():
        process.store.delete([location.location])
    problem(client.get(model(trained)), 409, "not-ready")


def test_model__of_nobody(client, problem):
    problem(client.get(model("run_" + 26 * "0")), 404, "not-found")


def test_submit__a_run_as_the_model(client, submit, worker, trained):
    run = submit(model=f"run:{trained}")
    assert run["spec"]["model"] == f"run:{trained}"
    assert run["spec"]["pinned"]["model_revision"]
    assert submit(model=f"run:{trained}", name="again")["spec"]["pinned"] == run["spec"]["pinned"]
    worker.work(run["id"])
    assert client.get(f"/v1/runs/{run['id']}").json()["status"] == "succeeded"


def test_submit__a_run_as_the_model__one_that_draws_it_otherwise_has_the_same_weights(client, submit, worker, trained):
    drawn = client.post(f"/v1/runs/{trained}/renders", json={"render": {"fps": 5}}).json()["id"]
    worker.work(drawn)
    pinned = [submit(model=f"run:{run_id}")["spec"]["pinned"] for run_id in (trained, drawn)]
    assert pinned[0] == pinned[1]


def test_submit__a_run_as_the_model__which_may_be_deleted_then(client, submit, worker, trained):
    later = submit(model=f"run:{trained}", train={"steps": 10, "keep_weights": "last"})["id"]
    assert client.delete(f"/v1/runs/{trained}").status_code == 204
    worker.work(later)
    assert client.get(model(later)).status_code == 200
    drawn = client.post(f"/v1/runs/{later}/renders", json={"render": {"fps": 5}})
    assert drawn.status_code == 202, drawn.text


def test_submit__a_run_without_weights_as_the_model(client, problem, small, finished):
    body = problem(client.post("/v1/runs", json=small | {"model": f"run:{finished}"}), 422, "invalid-spec", "model")
    assert 'Run it again with train.keep_weights "last"' in body["detail"]


def test_submit__a_run_that_still_trains_as_the_model(client, problem, submit, small):
    run = submit(train={"steps": 10, "keep_weights": "last"})["id"]
    problem(client.post("/v1/runs", json=small | {"model": f"run:{run}"}), 422, "invalid-spec", "model")


@pytest.mark.parametrize("model", ["run:", "run:run_1", "run:" + "run_" + 26 * "0", "run:run_\x00"])
def test_submit__an_unknown_run_as_the_model(idle, problem, model):
    problem(idle.post("/v1/runs", json={"dataset": "digits", "model": model}), 422, "unknown-model", "model")
