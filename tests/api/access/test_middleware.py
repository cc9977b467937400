import re

import pytest
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from api.access.caller import NOBODY, OPERATOR
from api.access.keys import KeyCreate, KeyService
from api.access.middleware import OPEN, is_open
from api.runs.service import RunService
from core.errors import EmbedreelError
from core.store.database.tables import DEFAULT_TENANT
from core.store.queries import keys

KEY = "correct horse"


@pytest.fixture
def guarded(serve):
    return serve(api_key=SecretStr(KEY))


def test_every_route_but_the_open_ones_needs_the_key(guarded, problem):
    checked = 0
    for route in iter_route_contexts(guarded.app.routes):
        if is_open(route.path):
            continue
        for method in route.methods:
            response = guarded.request(method, route.path)
            assert response.status_code == 401, (method, route.path)
            assert response.headers["www-authenticate"] == "Bearer"
            checked += 1
    assert checked >= 25
    problem(guarded.get("/nothing/here"), 401, "unauthorized")


@pytest.mark.parametrize("address", [*sorted(OPEN), "/problems/not-found", "/docs/start.js"])
def test_open_ones_do_not(guarded, address):
    assert guarded.get(address).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer  {KEY}"}, {"X-API-Key": KEY}]
)
def test_with_the_key(guarded, headers):
    assert guarded.get("/v1/runs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": KEY},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong"},
        {"X-API-Key": ""},
        {"X-API-Key": b"\xff"},
        {"Cookie": f"X-API-Key={KEY}"},
    ],
)
def test_with_another_key(guarded, problem, headers):
    problem(guarded.get("/v1/runs", headers=headers), 401, "unauthorized")


def test_the_key_is_checked_before_the_body(guarded, problem):
    response = guarded.post("/v1/runs", content=b"{", headers={"content-type": "application/json"})
    problem(response, 401, "unauthorized")


def test_a_key_of_the_table_needs_the_scope(guarded, problem):
    """Each route of the service is requested with a key of each scope: only keys with the right scope are accepted."""
    made = {
        scope: guarded.app.state.process.services.of(KeyService, OPERATOR)
        .make(KeyCreate(name=scope, scopes={scope}))
        .key
        for scope in ("read", "write", "admin")
    }
    for route in iter_route_contexts(guarded.app.routes):
        if is_open(route.path):
            continue
        for method in route.methods:
            needed = "read" if method in {"GET", "HEAD"} else "write"
            needed = "admin" if route.path.startswith(("/v1/keys", "/v1/workers", "/metrics")) else needed
            for scope, key in made.items():
                response = guarded.request(method, route.path, headers={"X-API-Key": key})
                assert (response.status_code == 403) == (scope != needed), (method, route.path, scope)
    refused = guarded.delete("/v1/runs/x", headers={"X-API-Key": made["read"]})
    assert "the scope write. The key that was sent has: read" in problem(refused, 403, "missing-scope")["detail"]
    for address in ("/v1/workers", "/metrics", "/v1/keys/"):
        problem(guarded.get(address, headers={"X-API-Key": made["read"]}), 403, "missing-scope")


def test_both_headers_are_tried(guarded):
    made = guarded.app.state.process.services.of(KeyService, OPERATOR).make(KeyCreate(name="ann")).key
    for headers in ({"X-API-Key": made}, {"Authorization": f"Bearer {made}"}, {"X-API-Key": "x"} | bearer(made)):
        assert guarded.get("/v1/runs", headers=headers).status_code == 200


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def test_loopback_is_closed_with_the_first_key_in_the_table(client, problem):
    assert client.get("/v1/runs").status_code == 200
    made = client.post("/v1/keys", json={"name": "ann", "scopes": ["admin", "read"]}).json()
    problem(client.get("/v1/runs"), 401, "unauthorized")
    assert client.get("/v1/runs", headers=bearer(made["key"])).status_code == 200
    assert client.delete(f"/v1/keys/{made['id']}", headers=bearer(made["key"])).status_code == 204
    problem(client.get("/v1/runs"), 401, "unauthorized")
    problem(client.get("/v1/runs", headers=bearer(made["key"])), 401, "unauthorized")


def test_a_host_beyond_loopback_is_closed_without_any_key(serve, problem):
    """`python -m api` would not start. Another server that runs the application must refuse requests too."""
    problem(serve(host="0.0.0.0").get("/v1/runs"), 401, "unauthorized")


def test_database_away(serve, problem, monkeypatch):
    client = serve()

    def away(*args, **options):
        raise OperationalError("SELECT", {}, Exception("no route to host"))

    monkeypatch.setattr(client.app.state.process.database.engine, "connect", away)
    problem(client.get("/v1/runs", headers=bearer("er_of_the_table")), 503, "storage-unavailable")


def test_rate_limit__announced_with_every_answer(serve, problem):
    client = serve(rate_limit=100)
    for left, address in enumerate(["/v1/runs", "/v1/runs/x", "/v1/nothing", "/v1/runs?limit=x", "/v1/models"]):
        response = client.get(address)
        assert response.headers["ratelimit-policy"] == '"default";q=100;w=60'
        assert re.fullmatch(rf'"default";r={99 - left};t=\d+', response.headers["ratelimit"])
    assert "ratelimit" not in client.get("/livez").headers


def test_rate_limit__headers_on_an_unexpected_error(client, monkeypatch):
    monkeypatch.setattr("core.store.queries.runs.page", None)
    response = client.get("/v1/runs")
    assert response.status_code == 500
    assert response.headers["ratelimit"].startswith('"default";r=29999;')


def test_rate_limit__exceeded(serve, problem):
    client = serve(rate_limit=2, api_key=SecretStr(KEY))
    assert [client.get("/v1/runs", headers=bearer(KEY)).status_code for _ in range(3)] == [200, 200, 429]
    refused = client.get("/v1/runs", headers=bearer(KEY))
    problem(refused, 429, "rate-limited")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith('"default";r=0;t=')
    problem(client.get("/v1/runs"), 401, "unauthorized")
    assert client.get("/livez").status_code == 200


def test_rate_limit__a_wrong_key_is_counted_before_the_database_is_read(serve, problem, monkeypatch):
    client = serve(rate_limit=2, api_key=SecretStr(KEY))
    asked, valid = [], keys.valid
    monkeypatch.setattr(keys, "valid", lambda *given: asked.append(None) or valid(*given))
    for address in ("/v1/runs", "/metrics"):
        problem(client.get(address, headers=bearer("er_wrong")), 401, "unauthorized")
    for address in ("/v1/runs", "/metrics", "/v1/runs"):
        problem(client.get(address, headers=bearer("er_wrong")), 429, "rate-limited")
    assert len(asked) == 2


def test_rate_limit__a_valid_key_is_not_counted_for_its_address(serve, problem):
    client = serve(rate_limit=1, api_key=SecretStr(KEY))
    made = [client.app.state.process.services.of(KeyService, OPERATOR).make(KeyCreate(name=name)).key for name in "ab"]
    assert [client.get("/v1/runs", headers=bearer(key)).status_code for key in made] == [200, 200]
    problem(client.get("/v1/runs"), 401, "unauthorized")
    problem(client.get("/v1/runs"), 429, "rate-limited")
    problem(client.get("/v1/runs", headers=bearer(made[0])), 429, "rate-limited")


def test_rate_limit__of_each_key(serve):
    client = serve(rate_limit=1, api_key=SecretStr(KEY))
    made = [client.app.state.process.services.of(KeyService, OPERATOR).make(KeyCreate(name=name)).key for name in "ab"]
    answers = [client.get("/v1/runs", headers=bearer(key)).status_code for key in (KEY, *made, *made)]
    assert answers == [200, 200, 200, 429, 429]


def test_rate_limit__off(serve):
    assert "ratelimit" not in serve(rate_limit=0).get("/v1/runs").headers


def test_routes_get_the_parts_of_their_caller_only(client):
    """The wired services have no caller. A service that is not limited to a caller finds nothing."""
    process = client.app.state.process
    run = client.post("/v1/runs", json={"dataset": "digits"}).json()["id"]
    nobodys, operators = (process.services.of(RunService, caller) for caller in (NOBODY, OPERATOR))
    assert (nobodys.tenant, operators.tenant) == ("", DEFAULT_TENANT)
    with pytest.raises(EmbedreelError):
        nobodys.cancel(run)
    operators.cancel(run)
    assert client.get(f"/v1/runs/{run}").json()["status"] == "cancelled"
