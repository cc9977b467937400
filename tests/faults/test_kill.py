"""SIGKILL to the worker in each of the five stages: the run ends in the film that an undisturbed one makes."""

import io

import numpy as np
import pytest
from PIL import Image

from testing.service import stage

SPEC = {
    "dataset": "digits",
    "name": "killed",
    "train": {"steps": 40, "batch_size": 16},
    "capture": {"frames": 5, "probe_size": 200, "mode": "offload"},
    "render": {"width": 960, "height": 960},
}
STAGES = ["fine_tune", "embed", "score", "project", "measure", "render"]


def decoded(gif):
    film = Image.open(io.BytesIO(gif))
    pictures = []
    for index in range(film.n_frames):
        film.seek(index)
        pictures.append(np.asarray(film.convert("RGB")))
    return np.stack(pictures)


@pytest.fixture(scope="module")
def undisturbed(service):
    """The film of a run that nobody disturbed; deleted, so that the next run makes everything anew."""
    run = service.wait(service.submit(**SPEC))
    assert run["status"] == "succeeded", run["error"]
    film = decoded(service.get(f"/v1/runs/{run['id']}/film.gif"))
    service.delete(f"/v1/runs/{run['id']}")
    return film


def kill_in(service, name):
    """Submit a run and kill its worker in the stage; a stage that was faster than the signal gets another chance."""
    for _ in range(5):
        run_id = service.submit(**SPEC)
        service.wait(run_id, until=lambda run: stage(run, name)["status"] == "running", pause=0.01)
        service.kill_worker()
        service.start_worker()
        run = service.wait(run_id)
        assert run["status"] == "succeeded", run["error"]
        events = service.json(f"/v1/runs/{run_id}/events?limit=1000")["events"]
        requeued = [event["data"]["stage"].split("/")[0] for event in events if event["type"] == "stage.requeued"]
        assert len(requeued) <= 1
        if requeued == [name]:
            return run_id
        service.delete(f"/v1/runs/{run_id}")
    raise AssertionError(f"no worker was caught in {name}")


@pytest.mark.parametrize("name", STAGES)
def test_a_worker_killed_in_a_stage(service, undisturbed, name):
    run_id = kill_in(service, name)
    film = decoded(service.get(f"/v1/runs/{run_id}/film.gif"))
    np.testing.assert_array_equal(film, undisturbed)
    service.delete(f"/v1/runs/{run_id}")
    assert list(service.home.glob("artifacts/objects/*/*")) == []
    assert list(service.home.glob("artifacts/attempts/*")) == []
