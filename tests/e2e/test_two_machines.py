"""A worker on another host shares only the broker, the database and the artifact store with the API."""

import io
import subprocess
import sys
import time
import urllib.error
import urllib.request

import boto3
import pytest
from PIL import Image

from testing.service import Service, free_port
from tests.conftest import s3_variables

SPEC = {
    "dataset": "digits",
    "train": {"steps": 8, "batch_size": 16, "train_size": 64, "keep_weights": "last"},
    "capture": {"frames": 3, "probe_size": 60, "mode": "offload"},
    "render": {"width": 480, "height": 480},
}


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """Variables of an S3 server in its own process, with an empty bucket."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    with (tmp_path_factory.mktemp("s3") / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
        )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
            break
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    variables = s3_variables(address)
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        region_name=variables["AWS_DEFAULT_REGION"],
    )
    client.create_bucket(Bucket="films")
    yield variables, client
    server.terminate()
    server.wait(20)


@pytest.fixture(scope="module")
def machines(s3, servers, tmp_path_factory):
    """An API and two workers, each with its own home folder."""
    variables, bucket = s3
    shared = {**variables, **servers, "EMBEDREEL_ARTIFACTS_URL": "s3://films/embedreel"}
    running = [Service(tmp_path_factory.mktemp(name), free_port(), shared) for name in ("api", "one", "two")]
    try:
        running[0].start_api()
        for worker in running[1:]:
            worker.start_worker()
        yield running, bucket
    finally:
        for one in running:
            one.stop()


def stored(bucket):
    return [item["Key"] for item in bucket.list_objects_v2(Bucket="films").get("Contents", [])]


@pytest.mark.services
def test_a_film_made_on_other_machines(machines):
    (api, *workers), bucket = machines
    run = api.wait(api.submit(**SPEC), seconds=240)
    assert run["status"] == "succeeded", (run["error"], workers[0].log("worker")[-2000:])
    film = Image.open(io.BytesIO(api.get(f"/v1/runs/{run['id']}/film.gif")))
    assert (film.size, film.n_frames) == ((480, 480), 3)
    events = api.json(f"/v1/runs/{run['id']}/events?limit=1000")["events"]
    started = [event["data"]["worker"] for event in events if event["type"] == "stage.started"]
    assert len(started) == 1 + 3 + 4
    assert sum("/objects/" in key for key in stored(bucket)) > 3
    assert not (api.home / "artifacts").exists()
    assert not any((worker.home / "embedreel.db").exists() for worker in workers)
    api.delete(f"/v1/runs/{run['id']}")
    assert [key for key in stored(bucket) if "/objects/" in key] == []
