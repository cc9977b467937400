"""For each address of the service, another tenant's run or dataset looks as if it did not exist."""

import re
from pathlib import Path

import pytest
from fastapi.routing import iter_route_contexts

from api.access.caller import NOBODY, OPERATOR, Caller
from api.access.keys import KeyCreate, KeyService
from api.runs.service import RunService
from core.store.objects.stored import Stored
from core.store.queries import datasets
from tests.api.conftest import FakeWorker, browse

REPORT = {"digest": "d", "class_names": ["cat", "dog"], "train_size": 40, "evaluation_size": 10}
NONE_SUCH = {
    "run_id": "run_" + "0" * 26,
    "dataset_id": "ds_" + "0" * 26,
    "webhook_id": "wh_" + "0" * 26,
    "delivery_id": "dlv_" + "0" * 26,
}
BODIES = {"/v1/runs/{run_id}/renders": {}}
OTHERS = {"name": "curves", "suffix": "png"}
"""Parameters of addresses that are no ids; any other is 0."""
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def app(request, serve):
    changes = {}
    if request.param == "postgresql":
        changes = {"database_url": request.getfixturevalue("postgres_url")}
    return serve(**changes).app


@pytest.fixture
def client_of(app):
    """Return a client with a key of a tenant. The application runs already."""

    def make(tenant):
        key = app.state.process.services.of(KeyService, OPERATOR).make(KeyCreate(name=tenant, tenant=tenant)).key
        return browse(app, **{"X-API-Key": key})

    return make


@pytest.fixture
def lab(client_of):
    return client_of("lab")


@pytest.fixture
def other(client_of):
    return client_of("other")


@pytest.fixture
def owned(app, lab, small):
    """Return the ids that the tenant owns: a finished run with its weights, and a dataset."""
    run = lab.post("/v1/runs", json=small | {"train": {"steps": 10, "keep_weights": "last"}}).json()["id"]
    FakeWorker(app.state.process).work(run)
    dataset = "ds_" + "1" * 26
    with app.state.process.database.writing() as session:
        stored = Stored(f"datasets/{dataset}", {"contact_sheet.png": {"size": 1, "sha256": "0"}})
        datasets.add(session, dataset, tenant="lab", name="pets", report=REPORT, stored=stored)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("api.webhooks.targets.find", lambda *_, **__: None)
        webhook = lab.post("/v1/webhooks", json={"url": "https://hooks.example.com/"}).json()["id"]
    lab.post(f"/v1/webhooks/{webhook}/test")
    (delivery,) = lab.get(f"/v1/webhooks/{webhook}/deliveries").json()["deliveries"]
    return {"run_id": run, "dataset_id": dataset, "webhook_id": webhook, "delivery_id": delivery["id"]}


def routes_with_an_id(app):
    for route in iter_route_contexts(app.routes):
        if set(re.findall(r"{(\w+)", route.path)) & set(NONE_SUCH):
            for method in sorted(route.methods):
                yield method, route.path


def ask(client, method, path, ids):
    address = re.sub(r"{(\w+)[^}]*}", lambda found: ids.get(found[1], OTHERS.get(found[1], "0")), path)
    return client.request(method, address, json=BODIES.get(path))


def test_every_address_of_another_tenant_answers_404(app, other, owned):
    """Routes that are added later are found here by the names of their parameters."""
    asked = 0
    for method, path in routes_with_an_id(app):
        anothers, missing = ask(other, method, path, owned), ask(other, method, path, NONE_SUCH)
        assert anothers.status_code == 404, (method, path, anothers.text)
        said = anothers.text
        for name, value in owned.items():
            said = said.replace(value, NONE_SUCH[name])
        assert said == missing.text, (method, path)
        asked += 1
    assert asked >= 22


def test_every_address_exists_for_its_owner(app, lab, owned):
    """The addresses above exist, so the 404 are answers to correct addresses. Deletes come last."""
    listed = sorted(routes_with_an_id(app), key=lambda route: route[0] == "DELETE")
    for method, path in listed:
        assert ask(lab, method, path, owned).status_code != 404, (method, path)


def test_nothing_of_it_was_changed(app, lab, other, owned):
    for method, path in routes_with_an_id(app):
        ask(other, method, path, owned)
    assert lab.get(f"/v1/runs/{owned['run_id']}").json()["status"] == "succeeded"
    assert lab.get(f"/v1/datasets/{owned['dataset_id']}").json()["name"] == "pets"


def test_lists_show_ones_own(app, lab, other, owned, small):
    assert [run["id"] for run in lab.get("/v1/runs").json()["runs"]] == [owned["run_id"]]
    assert other.get("/v1/runs").json() == {"runs": [], "next_cursor": None}
    mine = other.post("/v1/runs", json=small).json()["id"]
    assert [run["id"] for run in other.get("/v1/runs").json()["runs"]] == [mine]
    assert {dataset["id"] for dataset in lab.get("/v1/datasets").json()["datasets"]} > {owned["dataset_id"]}
    assert owned["dataset_id"] not in other.get("/v1/datasets").text
    assert app.state.services.of(RunService, NOBODY).page(cursor=None, limit=9).runs == []


def test_a_cursor_leads_to_ones_own_runs_only(lab, other, owned, small):
    mine = [other.post("/v1/runs", json=small).json()["id"] for _ in range(3)]
    lab.post("/v1/runs", json=small)
    seen, cursor = [], None
    for _ in range(3):
        page = other.get("/v1/runs", params={"limit": 1} | ({"cursor": cursor} if cursor else {})).json()
        seen += [run["id"] for run in page["runs"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(mine)
    assert cursor is None


def test_a_run_cannot_name_anothers_dataset(lab, other, owned, problem):
    body = {"dataset": owned["dataset_id"]}
    refused = problem(other.post("/v1/runs", json=body), 422, "unknown-dataset", "dataset")
    assert owned["dataset_id"] not in refused["detail"].partition(". Existing datasets")[2]
    assert lab.post("/v1/runs", json=body).status_code == 202


def test_a_run_cannot_begin_with_anothers_weights(lab, other, owned, small, problem):
    body = small | {"model": f"run:{owned['run_id']}"}
    problem(other.post("/v1/runs", json=body), 422, "unknown-model", "model")
    assert lab.post("/v1/runs", json=body).status_code == 202


def test_an_idempotency_key_is_ones_own(lab, other, small):
    headers = {"Idempotency-Key": "one"}
    first, second = (client.post("/v1/runs", json=small, headers=headers).json()["id"] for client in (lab, other))
    assert first != second
    assert other.post("/v1/runs", json=small, headers=headers).json()["id"] == second


def test_what_a_run_is_drawn_into_is_the_same_tenants(app, lab, other, owned):
    drawn = lab.post(f"/v1/runs/{owned['run_id']}/renders", json={}).json()["id"]
    assert lab.get(f"/v1/runs/{drawn}").status_code == 200
    assert other.get(f"/v1/runs/{drawn}").status_code == 404


def test_an_upload_is_ones_own(app, client_of, monkeypatch):
    def inspect(source, destination, **options):
        destination.mkdir()
        return REPORT

    monkeypatch.setattr("core.data.intake.inspect_in_subprocess", inspect)
    lab, other = client_of("lab"), client_of("other")
    dataset = lab.post("/v1/datasets", files={"file": ("a.parquet", b"abc")}).json()["id"]
    assert lab.get(f"/v1/datasets/{dataset}").status_code == 200
    assert other.get(f"/v1/datasets/{dataset}").status_code == 404
    stored = app.state.process.store.scratch / "datasets" / dataset
    assert other.delete(f"/v1/datasets/{dataset}").status_code == 404
    assert stored.is_dir()
    assert lab.delete(f"/v1/datasets/{dataset}").status_code == 204
    assert not stored.exists()


def test_two_keys_of_a_tenant_share_what_it_has(lab, client_of, owned):
    assert client_of("lab").get(f"/v1/runs/{owned['run_id']}").status_code == 200


def test_the_services_of_a_caller(app, owned):
    found = app.state.services.of(RunService, Caller("lab", frozenset())).page(cursor=None, limit=9)
    assert [run.id for run in found.runs] == [owned["run_id"]]


@pytest.mark.parametrize("way", [r"\bruns\.get\(", r"\bsession\.get\(", r"\bRunRow\b.*select|select\(.*RunRow"])
def test_the_api_reaches_runs_by_their_tenant_only(way):
    found = [str(path) for path in sorted((ROOT / "api").rglob("*.py")) if re.search(way, path.read_text())]
    assert found == []
