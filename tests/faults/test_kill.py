"""SIGKILL to the worker in each stage: the film of the run equals the film of an undisturbed run."""

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
    """The film of an undisturbed run. The run is deleted, so that the next run makes everything again."""
    run = service.wait(service.submit(**SPEC))
    assert run["status"] == "succeeded", run["error"]
    film = decoded(service.get(f"/v1/runs/{run['id']}/film.gif"))
    service.delete(f"/v1/runs/{run['id']}")
    return film


def kill_in(service, run_id, name):
    """Kill the worker while it runs the stage, and start another worker. A fast stage may end before the signal."""
    service.wait(run_id, until=lambda run: stage(run, name)["status"] in {"running", "succeeded"}, pause=0.01)
    service.kill_worker()
    service.start_worker()


def requeued(service, run_id):
    events = service.json(f"/v1/runs/{run_id}/events?limit=1000")["events"]
    return [event["data"]["stage"].split("/")[0] for event in events if event["type"] == "stage.requeued"]


def test_a_worker_killed_in_each_stage(service, undisturbed):
    missed = STAGES
    for _ in range(5):
        run_id = service.submit(**SPEC)
        for name in missed:
            kill_in(service, run_id, name)
        run = service.wait(run_id)
        assert run["status"] == "succeeded", run["error"]
        np.testing.assert_array_equal(decoded(service.get(f"/v1/runs/{run_id}/film.gif")), undisturbed)
        missed = [name for name in missed if name not in requeued(service, run_id)]
        service.delete(f"/v1/runs/{run_id}")
        assert list(service.home.glob("artifacts/objects/*/*")) == []
        assert list(service.home.glob("artifacts/attempts/*")) == []
        if not missed:
            return
    raise AssertionError(f"no worker was caught in {missed}")
