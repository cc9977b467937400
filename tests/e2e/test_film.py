"""Post a run, poll it and fetch the film: real processes, a real model, both pairs of servers."""

import io

import numpy as np
import pytest
from PIL import Image

from testing.service import stage

SMALL = {
    "dataset": "digits",
    "name": "small",
    "train": {"steps": 20, "batch_size": 16},
    "capture": {"frames": 5, "probe_size": 100},
    "render": {"width": 480, "height": 480},
}


def frames(gif):
    film = Image.open(io.BytesIO(gif))
    for index in range(film.n_frames):
        film.seek(index)
        yield np.asarray(film.convert("RGB"))


def test_post_poll_and_fetch_the_film(service):
    run_id = service.submit(**SMALL)
    run = service.wait(run_id)
    assert run["status"] == "succeeded", run["error"]
    assert [one["name"] for one in run["stages"]] == ["fine_tune", "embed", "score", "project", "measure", "render"]
    assert stage(run, "embed")["progress"] == {"done": 5, "total": 5}
    film = Image.open(io.BytesIO(service.get(f"/v1/runs/{run_id}/film.gif")))
    assert (film.size, film.n_frames, film.info["loop"]) == ((480, 480), 5, 0)
    checkpoints = service.json(f"/v1/runs/{run_id}/checkpoints")["checkpoints"]
    assert [row["step"] for row in checkpoints] == [0, 5, 10, 15, 20]
    log = service.get(f"/v1/runs/{run_id}/log.csv").decode().splitlines()
    assert log[0] == "step,epoch,loss,learning_rate,gradient_norm,accuracy"
    assert len(log) == 1 + 21
    # The run is drawn with other settings: only the stage render runs, and there is no new training.
    otherwise = {"width": 640, "height": 480, "theme": "dark", "tween": 1, "card": True, "formats": ["gif", "mp4"]}
    drawn = service.post(f"/v1/runs/{run_id}/renders", {"render": otherwise})
    again = service.wait(drawn["id"])
    assert [one["reused"] for one in again["stages"]] == [True, True, True, True, True, False]
    film = Image.open(io.BytesIO(service.get(f"/v1/runs/{drawn['id']}/film.gif")))
    assert (film.size, film.n_frames) == ((640, 480), 5 + 4)
    assert service.get(f"/v1/runs/{drawn['id']}/film.mp4")[4:8] == b"ftyp"
    assert Image.open(io.BytesIO(service.get(f"/v1/runs/{drawn['id']}/contact-sheet.png"))).size == (1280, 960)
    assert Image.open(io.BytesIO(service.get(drawn["links"]["curves"]))).size == (640, 480)
    # A comparison of both runs: they share a training, so their representations are equal.
    both = service.post("/v1/comparisons", {"runs": [run_id, drawn["id"]]})
    assert service.wait(both["id"])["status"] == "succeeded"
    compared = service.json(both["links"]["self"])
    assert np.allclose(compared["likeness"]["cka"], 1)
    assert compared["runs"][0]["phases"] == compared["runs"][1]["phases"]
    assert compared["runs"][0]["images_per_second"] > 0
    film = Image.open(io.BytesIO(service.get(compared["links"]["film"])))
    assert (film.size, film.n_frames) == ((1280, 720), 5)
    # The quality of the layout, and the highlights.
    quality = service.json(run["links"]["quality"])
    assert "the representation: r =" in quality["verdict"]
    assert [one["step"] for one in quality["frames"]] == [0, 5, 10, 15, 20]
    assert all(0 < one["trustworthiness"] <= 1 for one in quality["frames"])
    assert all(one["numbers"] for one in service.json(run["links"]["highlights"])["highlights"])
    # The data review: digits have no duplicates, and each issue suggests another class than the label.
    told = service.json(run["links"]["label_issues"])
    assert told["leaks"] == {"count": 0, "leaks": []}
    issues = told["label_issues"]["issues"]
    assert told["label_issues"]["count"] == len(issues)
    assert all(one["suggested_label"] != one["label"] for one in issues)
    assert all(one["thumbnail"].startswith("data:image/png;base64,iVBOR") for one in issues)


def test_two_phases__are_planned_trained_evaluated_and_drawn(service):
    phases = [
        {"name": "head", "trainable": "head", "epochs": 1, "learning_rate": 1e-2},
        {"name": "all", "steps": 9, "layer_decay": {"kind": "exponential", "factor": 0.75}},
    ]
    run_id = service.submit(**SMALL | {"train": {"batch_size": 64, "phases": phases}})
    run = service.wait(run_id)
    assert run["status"] == "succeeded", run["error"]
    assert run["plan"]["steps"][0] == 0
    assert {13, 22} <= set(run["plan"]["steps"])
    told = service.json(run["links"]["evaluation"])["phases"]
    assert [(phase["phase"], phase["step"]) for phase in told] == [("head", 13), ("all", 22)]
    for phase in told:
        right = sum(row[place] for place, row in enumerate(phase["confusion"]))
        assert right / 100 == pytest.approx(phase["accuracy"], abs=1e-4)
        assert 0 < phase["calibration_error"] < 1
    film = Image.open(io.BytesIO(service.get(f"/v1/runs/{run_id}/film.gif")))
    assert film.n_frames == 5


def test_inline_and_offload_give_the_same_film(service):
    films, projections, issues = [], [], []
    for mode in ("inline", "offload"):
        body = SMALL | {"train": {"steps": 20, "batch_size": 16, "seed": 1}}
        captured = SMALL["capture"] | {"mode": mode, "spacing": "drift"}
        run = service.wait(service.submit(**body | {"capture": captured}))
        assert [one["reused"] for one in run["stages"]] == [False] * 6
        films.append(service.get(f"/v1/runs/{run['id']}/film.gif"))
        projections.append(service.json(f"/v1/runs/{run['id']}/projection")["points"])
        issues.append(service.json(run["links"]["label_issues"]))
        service.delete(f"/v1/runs/{run['id']}")  # so that the run of the other mode reuses nothing
    np.testing.assert_allclose(*projections, atol=1e-5)
    rows, again = ([one["row"] for one in told["label_issues"]["issues"]] for told in issues)
    assert sorted(rows) == sorted(again)
    for one, other in zip(*map(frames, films), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("mode", ["inline", "offload"])
def test_cancel_while_training(service, mode):
    run_id = service.submit(dataset="digits", train={"steps": 5000}, capture={"frames": 50, "mode": mode})
    service.wait(run_id, until=lambda run: stage(run, "fine_tune")["status"] == "running")
    service.post(f"/v1/runs/{run_id}/cancel")
    assert service.wait(run_id, seconds=25)["status"] == "cancelled"


def test_a_training_that_diverges_fails_with_advice(service):
    # Decoupled weight decay multiplies each weight by 1 - 10 * 1 = -9 in every step, so the loss diverges.
    doomed = {"steps": 100, "learning_rate": 10, "weight_decay": 1, "warmup": 0, "clip_norm": 1e30}
    run = service.wait(service.submit(dataset="digits", train=doomed, capture={"frames": 5}))
    assert run["status"] == "failed"
    assert run["error"]["type"].endswith("training-diverged")
    assert "learning_rate" in run["error"]["detail"]
    assert run["links"]["film"] is None
