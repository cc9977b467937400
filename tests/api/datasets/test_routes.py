import io
import json
import shutil
import subprocess
import zipfile
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from api.access.caller import OPERATOR
from api.datasets.service import DatasetService
from api.runs.service import RunService
from core.data import intake
from core.errors import InvalidDatasetError, StorageUnavailableError
from core.store.database.tables import DEFAULT_TENANT
from core.store.objects import collect

REPORT = {
    "format": 1,
    "digest": "sha256-of-it",
    "class_names": ["cat", "dog"],
    "train_size": 40,
    "evaluation_size": 10,
    "image_size": 8,
    "image_sizes": {"least": 8, "most": 8},
    "images_per_class": {"train": [20, 20], "evaluation": [5, 5]},
    "splits": {"rule": "file names", "train": [], "evaluation": [], "unused": []},
    "duplicates": {"train": 0, "evaluation": 0, "across": 0},
    "columns": {"image": "image", "label": "label"},
    "broken": {"count": 0, "first": []},
    "ignored": {"count": 0, "first": []},
}


@pytest.fixture
def inspected(monkeypatch):
    """Replaces the intake: it records its arguments and returns a report."""
    given = {}

    def inspect(source, destination, *, names, max_pixels, max_entries, allow_broken):
        given.update(max_pixels=max_pixels, max_entries=max_entries, allow_broken=allow_broken)
        given["files"] = {path.name: path.read_bytes() for path in source.iterdir()}
        given["names"] = names
        destination.mkdir()
        (destination / "train.arrow").write_bytes(b"images")
        return REPORT

    monkeypatch.setattr(intake, "inspect_in_subprocess", inspect)
    return given


def upload(client, *files, **fields):
    return client.post("/v1/datasets", files=[("file", file) for file in files], data=fields)


def test_upload(client, inspected, process):
    response = upload(client, ("a train.parquet", b"one"), ("../../test.parquet", b"two"), name=" my pets ")
    dataset = response.json()
    assert response.status_code == 201, response.text
    assert response.headers["location"] == f"/v1/datasets/{dataset['id']}"
    assert dataset["name"] == "my pets"
    assert dataset["kind"] == "upload"
    assert (dataset["classes"], dataset["train_size"], dataset["evaluation_size"]) == (["cat", "dog"], 40, 10)
    assert dataset["report"] == REPORT
    assert inspected["files"] == {"00000.upload": b"one", "00001.upload": b"two"}
    assert inspected["names"] == {"00000.upload": "a train.parquet", "00001.upload": "test.parquet"}
    assert client.get(response.headers["location"]).json() == dataset
    assert (process.store.scratch / "datasets" / dataset["id"] / "train.arrow").is_file()
    assert list(process.store.incoming.iterdir()) == []


def test_upload__without_a_name(client, inspected):
    assert upload(client, ("pets.parquet", b"one")).json()["name"] == "pets.parquet"


def test_upload__then_a_run(client, inspected, problem):
    dataset = upload(client, ("pets.parquet", b"one"), name="pets").json()["id"]
    run = client.post("/v1/runs", json={"dataset": dataset}).json()
    assert run["name"] == "pets, vit-tiny"
    assert run["spec"]["capture"]["probe_size"] == 10
    assert run["spec"]["score"]["k"] == 9
    assert run["spec"]["pinned"]["dataset_digest"] == "sha256-of-it"
    too_many = {"dataset": dataset, "train": {"train_size": 41}}
    problem(client.post("/v1/runs", json=too_many), 422, "invalid-spec", "train.train_size")
    body = problem(client.post("/v1/runs", json={"dataset": "x"}), 422, "unknown-dataset", "dataset")
    assert dataset in body["detail"]


def test_upload__real_parquet(client):
    colours = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    images = []
    for colour in colours:
        file = io.BytesIO()
        Image.fromarray(colour).save(file, "PNG")
        images.append({"bytes": file.getvalue(), "path": None})
    table = pa.table({"image": images, "label": pa.array([index % 2 for index in range(40)])})
    file = io.BytesIO()
    pq.write_table(table, file)
    response = upload(client, ("pets.parquet", file.getvalue()))
    assert response.status_code == 201, response.text
    assert response.json()["train_size"] == 32
    run = client.post("/v1/runs", json={"dataset": response.json()["id"]})
    assert run.status_code == 202, run.text


def pictures(count):
    """Return different PNG images."""
    for index in range(count):
        file = io.BytesIO()
        Image.new("RGB", (8, 8), (index, 0, 9)).save(file, "PNG")
        yield file.getvalue()


def a_zip(*, broken=()):
    """Return a ZIP with forty images in two classes. The images at `broken` are truncated."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for index, image in enumerate(pictures(40)):
            name = f"{('cat', 'dog')[index % 2]}/{index:02}.png"
            archive.writestr(name, image[:20] if index in broken else image)
    return file.getvalue()


def test_upload__real_zip(client):
    response = upload(client, ("pets.zip", a_zip()))
    assert response.status_code == 201, response.text
    dataset = response.json()
    assert (dataset["classes"], dataset["train_size"], dataset["evaluation_size"]) == (["cat", "dog"], 32, 8)
    run = client.post("/v1/runs", json={"dataset": dataset["id"]})
    assert run.status_code == 202, run.text


def test_upload__broken_images(client, problem):
    content = a_zip(broken=(3, 4))
    refusal = problem(upload(client, ("pets.zip", content)), 422, "invalid-dataset")
    assert "cat/04.png" in refusal["detail"]
    assert "dog/03.png" in refusal["detail"]
    taken = upload(client, ("pets.zip", content), allow_broken="true").json()
    assert taken["report"]["broken"]["count"] == 2
    assert taken["train_size"] + taken["evaluation_size"] == 38


def test_upload__limits_reach_the_intake(serve, inspected):
    upload(serve(max_zip_entries=7), ("a.zip", b"one"), allow_broken="1")
    assert (inspected["max_entries"], inspected["max_pixels"], inspected["allow_broken"]) == (7, 25_000_000, True)


@pytest.mark.parametrize("text", ["yes", "", "TRUE FALSE", "x" * 300])
def test_upload__allow_broken_is_yes_or_no(client, inspected, problem, text):
    refused = problem(upload(client, ("a.zip", b"one"), allow_broken=text), 422, "invalid-spec", "allow_broken")
    assert "run" not in refused["title"].split()


def test_upload__truncated_parquet(client, process, problem):
    problem(upload(client, ("pets.parquet", b"PAR1 and then nothing")), 422, "invalid-dataset")
    assert list(process.store.incoming.iterdir()) == []
    assert list((process.store.scratch / "datasets").iterdir()) == []


@pytest.mark.parametrize("size", [1001, 3_000_000])
def test_upload__too_large(serve, problem, size):
    client = serve(max_upload_bytes=1000)
    problem(upload(client, ("a.parquet", bytes(size))), 413, "upload-too-large")
    assert list(client.app.state.process.store.incoming.iterdir()) == []


def test_upload__as_large_as_it_may_be(serve, inspected):
    assert upload(serve(max_upload_bytes=1000), ("a.parquet", bytes(1000))).status_code == 201


PART = b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.parquet"\r\n\r\nabc\r\n'


@pytest.mark.parametrize(
    ("body", "status", "kind", "field"),
    [
        (b"", 400, "malformed-body", None),
        (b"no multipart", 400, "malformed-body", None),
        (PART % b"file", 400, "malformed-body", None),
        (PART % b"other" + b"--x--\r\n", 422, "invalid-spec", "other"),
        (PART % b"" + b"--x--\r\n", 422, "invalid-spec", None),
        (b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\nabc\r\n--x--\r\n', 422, "invalid-dataset", "file"),
        (PART % b"name" + b"--x--\r\n", 422, "invalid-dataset", "file"),
        (
            b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n' + b"x" * 500 + b"\r\n--x--\r\n",
            422,
            "invalid-spec",
            "name",
        ),
        ((PART % b"file") * 257 + b"--x--\r\n", 422, "invalid-dataset", "file"),
        (b"--x\r\n" + b"a: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n", 400, "malformed-body", None),
    ],
    ids=[
        "empty",
        "text",
        "cut",
        "other field",
        "no field",
        "no file",
        "name as a file",
        "long name",
        "many",
        "headers",
    ],
)
def test_upload__malformed_body(idle, problem, body, status, kind, field):  # noqa: PLR0917 - fixtures and cases
    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(idle.post("/v1/datasets", content=body, headers=headers), status, kind, field)


@pytest.mark.parametrize(
    "media_type", ["application/json", "multipart/form-data", "multipart/form-data; boundary=", "", "multipart/mixed"]
)
def test_upload__wrong_content_type(idle, problem, media_type):
    problem(
        idle.post("/v1/datasets", content=b"{}", headers={"content-type": media_type}), 415, "unsupported-media-type"
    )


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (InvalidDatasetError("Row 3 is no image."), 422, "invalid-dataset"),
        (StorageUnavailableError("The disk is full."), 503, "storage-unavailable"),
        (RuntimeError("a secret path"), 500, "unexpected"),
        (subprocess.SubprocessError("a secret path"), 500, "unexpected"),
    ],
)
def test_upload__intake_fails(client, process, problem, monkeypatch, error, status, kind):  # noqa: PLR0917 - fixtures and cases
    def inspect(*args, **options):
        raise error

    monkeypatch.setattr(intake, "inspect_in_subprocess", inspect)
    response = upload(client, ("a.parquet", b"abc"))
    problem(response, status, kind)
    assert "secret" not in response.text
    assert list(process.store.incoming.iterdir()) == []


def test_upload__without_the_database_its_files_are_collected(client, process, problem, inspected, monkeypatch):
    def away(*args, **options):
        raise StorageUnavailableError("away")

    monkeypatch.setattr("core.store.queries.datasets.add", away)
    problem(upload(client, ("a.parquet", b"abc")), 503, "storage-unavailable")
    collect.collect(process.database, process.store, older_than_seconds=-1)
    assert list((process.store.scratch / "datasets").iterdir()) == []


def test_upload__names_with_control_characters(client, inspected):
    response = upload(client, ("a\tb.parquet", b"abc"), name="tab\tnul\x00 ok")
    assert response.json()["name"] == "tabnul ok"
    assert json.dumps(inspected["names"]).isprintable()


def test_list(client, inspected):
    known = client.get("/v1/datasets").json()["datasets"]
    assert [(dataset["id"], dataset["kind"]) for dataset in known] == [
        ("digits", "builtin"),
        ("hub:uoft-cs/cifar10", "hub"),
    ]
    assert known[0]["train_size"] == 797
    assert known[1]["classes"] is None
    uploaded = upload(client, ("a.parquet", b"abc")).json()["id"]
    assert client.get("/v1/datasets").json()["datasets"][-1]["id"] == uploaded


def test_show(idle, problem):
    assert idle.get("/v1/datasets/digits").json()["evaluation_size"] == 1000
    hub = idle.get("/v1/datasets/hub:uoft-cs/cifar10").json()
    assert hub["kind"] == "hub"
    assert hub["links"] == {"self": "/v1/datasets/hub:uoft-cs/cifar10", "contact_sheet": None}
    assert idle.get(hub["links"]["self"]).json() == hub
    for dataset in ("x", "ds_00000000000000000000000000", "ds_%00", "..%2f..%2fetc", "hub:a/b"):
        problem(idle.get(f"/v1/datasets/{dataset}"), 404, "not-found")


def test_contact_sheet(client, problem):
    uploaded = upload(client, ("pets.zip", a_zip())).json()
    dataset, links = uploaded["id"], uploaded["links"]
    assert links == {"self": f"/v1/datasets/{dataset}", "contact_sheet": f"/v1/datasets/{dataset}/contact-sheet.png"}
    assert client.get(links["self"]).json() == uploaded
    response = client.get(links["contact_sheet"])
    assert response.headers["content-type"] == "image/png"
    assert Image.open(io.BytesIO(response.content)).height > 100
    etag = {"If-None-Match": response.headers["etag"]}
    assert client.get(f"/v1/datasets/{dataset}/contact-sheet.png", headers=etag).status_code == 304
    assert client.head(f"/v1/datasets/{dataset}/contact-sheet.png").headers["etag"] == response.headers["etag"]
    client.delete(f"/v1/datasets/{dataset}")
    problem(client.get(f"/v1/datasets/{dataset}/contact-sheet.png"), 404, "not-found")


def test_contact_sheet__none(client, inspected, problem):
    uploaded = upload(client, ("a.parquet", b"abc")).json()
    assert uploaded["links"]["contact_sheet"] is None, "stored before contact sheets were drawn"
    old = uploaded["id"]
    for dataset in (old, "digits", "hub:uoft-cs/cifar10", "ds_00000000000000000000000000", "x/y"):
        problem(client.get(f"/v1/datasets/{dataset}/contact-sheet.png"), 404, "not-found")


def test_delete(client, inspected, process, problem):
    dataset = upload(client, ("a.parquet", b"abc")).json()["id"]
    run = client.post("/v1/runs", json={"dataset": dataset}).json()
    problem(client.delete(f"/v1/datasets/{dataset}"), 409, "conflict")
    client.post(run["links"]["cancel"])
    assert client.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert not (process.store.scratch / "datasets" / dataset).exists()
    problem(client.get(f"/v1/datasets/{dataset}"), 404, "not-found")
    problem(client.delete(f"/v1/datasets/{dataset}"), 404, "not-found")
    problem(client.delete("/v1/datasets/digits"), 409, "conflict")


def test_delete__while_a_run_on_it_is_being_submitted(client, inspected, process, problem, monkeypatch):
    dataset = upload(client, ("a.parquet", b"abc")).json()["id"]
    datasets = process.services.of(DatasetService, OPERATOR)
    monkeypatch.setattr("api.access.quotas.check_training", lambda *_: datasets.remove(dataset))
    problem(client.post("/v1/runs", json={"dataset": dataset}), 422, "unknown-dataset", "dataset")
    assert client.get("/v1/runs").json()["runs"] == []


KEY = {"Idempotency-Key": "one"}


def upload_once(client, *files, **fields):
    return client.post("/v1/datasets", files=[("file", file) for file in files], data=fields, headers=KEY)


def test_upload__same_key_and_body(client, inspected, process):
    first, again = (upload_once(client, ("a.parquet", b"one"), name="pets") for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert not list(process.store.incoming.iterdir())
    kinds = [dataset["kind"] for dataset in client.get("/v1/datasets").json()["datasets"]]
    assert kinds.count("upload") == 1


def test_upload__same_key_where_no_more_datasets_are_allowed(serve, inspected, problem):
    client = serve(max_datasets=1)
    first = upload_once(client, ("a.parquet", b"one"))
    assert upload_once(client, ("a.parquet", b"one")).json()["id"] == first.json()["id"]
    problem(upload(client, ("a.parquet", b"one")), 429, "quota-exceeded")


def test_upload__same_key_on_a_disk_that_is_nearly_full(client, inspected, problem, monkeypatch):
    first = upload_once(client, ("a.parquet", b"one"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1))
    assert upload_once(client, ("a.parquet", b"one")).json() == first.json()
    problem(upload(client, ("a.parquet", b"one")), 507, "insufficient-storage")


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        (("a.parquet", b"two"), {"name": "pets"}),
        (("b.parquet", b"one"), {"name": "pets"}),
        (("a.parquet", b"one"), {"name": "plants"}),
        (("a.parquet", b"one"), {}),
        (("a.parquet", b"one"), {"name": "pets", "allow_broken": "true"}),
    ],
)
def test_upload__same_key_and_another_body(client, inspected, problem, file, fields):
    upload_once(client, ("a.parquet", b"one"), name="pets")
    problem(upload_once(client, file, **fields), 422, "invalid-spec", "Idempotency-Key")


def test_upload__key_of_a_run(client, inspected, small, problem):
    client.post("/v1/runs", json=small, headers=KEY)
    problem(upload_once(client, ("a.parquet", b"one")), 422, "invalid-spec", "Idempotency-Key")


def test_upload__key_of_a_deleted_dataset_is_free_again(client, inspected):
    first = upload_once(client, ("a.parquet", b"one"))
    assert client.delete(first.headers["location"]).status_code == 204
    assert upload_once(client, ("a.parquet", b"one")).json()["id"] != first.json()["id"]


def test_upload__same_key_while_the_first_is_under_way(client, inspected, monkeypatch, problem):
    inspect, seen = intake.inspect_in_subprocess, []

    def meanwhile(*args, **options):
        seen.append(upload_once(client, ("a.parquet", b"one")))
        return inspect(*args, **options)

    monkeypatch.setattr(intake, "inspect_in_subprocess", meanwhile)
    assert upload_once(client, ("a.parquet", b"one")).status_code == 201
    problem(seen[0], 409, "idempotency-in-flight")


def test_upload__another_process_was_quicker(client, inspected, monkeypatch, process):
    inspect, made = intake.inspect_in_subprocess, []

    def meanwhile(*args, **options):
        report = inspect(*args, **options)
        if not made:
            made.append(None)
            process.services.of(RunService, OPERATOR).in_flight._keys.clear()  # noqa: SLF001 - as another process has its own
            made.append(upload_once(client, ("a.parquet", b"one")))
            process.services.of(RunService, OPERATOR).in_flight._keys.add((DEFAULT_TENANT, "one"))  # noqa: SLF001
        return report

    monkeypatch.setattr(intake, "inspect_in_subprocess", meanwhile)
    taken = upload_once(client, ("a.parquet", b"one"))
    assert taken.json() == made[1].json()
    assert taken.headers["idempotency-replayed"] == "true"
    assert len(list((process.store.scratch / "datasets").iterdir())) == 1
