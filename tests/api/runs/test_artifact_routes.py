import csv
import hashlib
import io
import shutil

import pytest

from core.domain.formats import FORMATS
from core.errors import TrainingDivergedError


def test_film(gallery, exhibit, film):
    response = gallery.get(f"/v1/runs/{exhibit}/film.gif")
    assert response.status_code == 200
    assert response.content == film
    assert response.headers["content-type"] == "image/gif"
    assert response.headers["etag"] == f'"{hashlib.sha256(film).hexdigest()}"'
    assert response.headers["accept-ranges"] == "bytes"
    assert "immutable" in response.headers["cache-control"]


@pytest.mark.parametrize("film_format", FORMATS.values(), ids=FORMATS)
def test_film__in_every_format(gallery, exhibit, film, film_format):
    response = gallery.get(f"/v1/runs/{exhibit}/{film_format.file}")
    assert (response.status_code, response.content) == (200, film)
    assert response.headers["content-type"] == film_format.media_type


def test_film__head(gallery, exhibit, film):
    response = gallery.head(f"/v1/runs/{exhibit}/film.gif")
    assert (response.status_code, response.content) == (200, b"")
    assert response.headers["content-length"] == str(len(film))
    assert response.headers["content-type"] == "image/gif"


def test_film__not_modified(gallery, exhibit):
    address = f"/v1/runs/{exhibit}/film.gif"
    etag = gallery.get(address).headers["etag"]
    for wanted in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        response = gallery.get(address, headers={"If-None-Match": wanted})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == etag
    assert gallery.get(address, headers={"If-None-Match": '"x"'}).status_code == 200


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=10-19", 10, 19),
        ("bytes=10000-", 10000, 10239),
        ("bytes=-5", 10235, 10239),
        ("bytes=-99999", 0, 10239),
        ("bytes=10000-99999", 10000, 10239),
    ],
)
def test_film__range(gallery, exhibit, film, asked, first, last):  # noqa: PLR0917 - fixtures and cases
    response = gallery.get(f"/v1/runs/{exhibit}/film.gif", headers={"Range": asked})
    assert response.status_code == 206
    assert response.content == film[first : last + 1]
    assert response.headers["content-range"] == f"bytes {first}-{last}/{len(film)}"
    assert response.headers["content-length"] == str(last - first + 1)
    assert response.headers["content-type"] == "image/gif"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=9-3", "bytes=a-b", "lines=0-1", "bytes=" + "9" * 5000 + "-"]
)
def test_film__range_that_is_ignored(gallery, exhibit, film, asked):
    response = gallery.get(f"/v1/runs/{exhibit}/film.gif", headers={"Range": asked})
    assert (response.status_code, response.content) == (200, film)


@pytest.mark.parametrize("asked", ["bytes=10240-", "bytes=99999-100000", "bytes=-0"])
def test_film__range_beyond_the_end(gallery, exhibit, problem, asked):
    response = gallery.get(f"/v1/runs/{exhibit}/film.gif", headers={"Range": asked})
    problem(response, 416, "range-not-satisfiable", "Range")
    assert response.headers["content-range"] == "bytes */10240"


def test_film__if_range(gallery, exhibit):
    address = f"/v1/runs/{exhibit}/film.gif"
    etag = gallery.get(address).headers["etag"]
    assert gallery.get(address, headers={"Range": "bytes=0-0", "If-Range": etag}).status_code == 206
    assert gallery.get(address, headers={"Range": "bytes=0-0", "If-Range": '"x"'}).status_code == 200


@pytest.mark.parametrize("below", ["film.gif", "curves.png", "frames/0.png", "log.csv", "projection", "outliers"])
def test_not_there_yet(client, submit, worker, problem, below):
    run = submit()
    waiting = client.get(f"{run['links']['self']}/{below}")
    assert "not done yet" in problem(waiting, 409, "not-ready")["detail"]
    assert waiting.headers["retry-after"] == "5"
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("NaN"))
    assert "Retry the run" in problem(client.get(f"{run['links']['self']}/{below}"), 409, "not-ready")["detail"]


@pytest.mark.parametrize("below", ["film.gif", "curves.png", "frames/0.png", "log.csv", "projection", "outliers"])
def test_lost_from_the_store(client, finished, process, problem, below):
    shutil.rmtree(process.store.scratch / "objects")
    problem(client.get(f"/v1/runs/{finished}/{below}"), 409, "not-ready")


def test_frame(gallery, exhibit, problem):
    response = gallery.get(f"/v1/runs/{exhibit}/frames/2.png")
    assert response.content == b"frame 2"
    assert response.headers["content-type"] == "image/png"
    for index in ("3", "-1", "x", "601", "9" * 5000, "..%2F..%2Ffilm", "%00"):
        problem(gallery.get(f"/v1/runs/{exhibit}/frames/{index}.png"), 404, "not-found")


def test_checkpoints(client, submit, worker):
    run = submit()
    held = worker.claim(run["id"])
    assert client.get(run["links"]["checkpoints"]).json() == {"checkpoints": []}
    worker.finish(held)
    assert client.get(run["links"]["checkpoints"]).json()["checkpoints"] == [
        {"index": 0, "step": 0, "epoch": 0.0, "loss": 2.5, "accuracy": 0.5},
        {"index": 1, "step": 5, "epoch": 0.5, "loss": 1.5, "accuracy": 0.5},
        {"index": 2, "step": 10, "epoch": 1.0, "loss": 0.5, "accuracy": 0.5},
    ]


def test_log(gallery, exhibit):
    response = gallery.get(f"/v1/runs/{exhibit}/log.csv")
    assert response.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert rows[0] == {
        "step": "0",
        "epoch": "0.0",
        "loss": "2.5",
        "learning_rate": "0.001",
        "gradient_norm": "",
        "accuracy": "0.5",
    }
    assert [row["accuracy"] for row in rows] == ["0.5", "", ""]  # captured steps are 0, 5 and 10


def test_projection(gallery, exhibit):
    body = gallery.get(f"/v1/runs/{exhibit}/projection").json()
    assert body["class_names"] == ["cat", "dog"]
    assert body["labels"] == [0, 1, 0, 1, 0]
    assert body["rows"] == [0, 10, 20, 30, 40]
    assert body["explained_variance"] == [0.5] * 3
    assert body["smoothing"] is None
    assert [frame["step"] for frame in body["frames"]] == [0, 5, 10]
    assert body["points"][0][:2] == [[0.0, 0.125], [0.25, 0.375]]
    assert [len(body["points"]), len(body["points"][0])] == [3, 5]


def test_projection__one_frame(gallery, exhibit, problem):
    body = gallery.get(f"/v1/runs/{exhibit}/projection?frame=1").json()
    assert [frame["index"] for frame in body["frames"]] == [1]
    assert body["points"][0][0] == [1.25, 1.375]
    problem(gallery.get(f"/v1/runs/{exhibit}/projection?frame=3"), 404, "not-found")
    problem(gallery.get(f"/v1/runs/{exhibit}/projection?frame=-1"), 422, "invalid-spec", "frame")


def test_outliers(gallery, exhibit, problem):
    address = f"/v1/runs/{exhibit}/outliers"
    body = gallery.get(f"{address}?frame=1").json()  # distances of frame 1: 5 6 0 1 2
    assert (body["frame"], body["frames"]) == (1, 3)
    assert [outlier["distance"] for outlier in body["outliers"]] == [6, 5, 2, 1, 0]
    image = {"image": 1, "row": 10, "label": 1, "class": "dog"}
    assert body["outliers"][0] == {**image, "distance": 6.0, "cleanlab": 0.25, "trajectory": [1.0, 6.0, 4.0]}
    assert gallery.get(f"{address}?limit=1001").json()["outliers"][0]["trajectory"] is None
    assert gallery.get(address).json()["frame"] == 2
    assert len(gallery.get(f"{address}?limit=2").json()["outliers"]) == 2
    problem(gallery.get(f"{address}?frame=3"), 404, "not-found")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("quality", {"verdict": "nothing moves", "k": 1}), ("highlights", {})],
)
def test_quality_and_highlights(gallery, exhibit, name, expected):
    response = gallery.get(f"/v1/runs/{exhibit}/{name}")
    body = response.json()
    assert expected.items() <= body.items()
    assert len(body["frames" if name == "quality" else "highlights"]) == (3 if name == "quality" else 1)
    assert response.headers["content-type"] == "application/json"
    again = gallery.get(f"/v1/runs/{exhibit}/{name}", headers={"If-None-Match": response.headers["etag"]})
    assert again.status_code == 304


def test_evaluation(gallery, exhibit):
    (phase,) = gallery.get(f"/v1/runs/{exhibit}/evaluation").json()["phases"]
    assert (phase["phase"], phase["step"], phase["accuracy"]) == ("fine tune", 2, 0.6)
    assert phase["confusion"] == [[2, 1], [1, 1]]


def test_label_issues(gallery, exhibit):
    links = gallery.get(f"/v1/runs/{exhibit}").json()["links"]
    told = gallery.get(links["label_issues"]).json()
    (issue,) = told["label_issues"]["issues"]
    assert (issue["row"], issue["class_name"], issue["suggested_class"]) == (30, "dog", "cat")
    assert issue["thumbnail"].startswith("data:image/png;base64,")
    assert told["leaks"] == {"count": 1, "leaks": [{"image": 2, "row": 20, "training_row": 7, "difference": 0.5}]}


def test_label_issues__not_measured_yet(client, submit, problem):
    problem(client.get(submit()["links"]["label_issues"]), 409, "not-ready")


def test_quality__not_measured_yet(client, submit, worker, problem):
    run = submit()
    problem(client.get(run["links"]["quality"]), 409, "not-ready")
    worker.work(run["id"], until="measure")
    problem(client.get(run["links"]["highlights"]), 409, "not-ready")
