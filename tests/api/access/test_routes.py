import pytest


@pytest.fixture
def admin(client):
    """A client with an admin key, on a service that requires keys."""
    made = client.post("/v1/keys", json={"name": "root", "scopes": ["read", "write", "admin"]}).json()
    client.headers["X-API-Key"] = made["key"]
    return client


def test_make(admin):
    response = admin.post("/v1/keys", json={"name": "ann", "tenant": "lab"})
    made = response.json()
    assert response.status_code == 201
    assert response.headers["cache-control"] == "no-store"
    assert (made["name"], made["tenant"], made["scopes"], made["revoked_at"]) == ("ann", "lab", ["read", "write"], None)
    assert admin.get("/v1/runs", headers={"X-API-Key": made["key"]}).status_code == 200
    assert admin.get("/v1/keys", headers={"X-API-Key": made["key"]}).status_code == 403


def test_list(admin):
    admin.post("/v1/keys", json={"name": "ann"})
    response = admin.get("/v1/keys")
    assert {key["name"] for key in response.json()["keys"]} == {"root", "ann"}
    assert "er_" not in response.text


def test_revoke(admin, problem):
    made = admin.post("/v1/keys", json={"name": "ann"}).json()
    for _ in range(2):
        assert admin.delete(f"/v1/keys/{made['id']}").status_code == 204
    problem(admin.get("/v1/runs", headers={"X-API-Key": made["key"]}), 401, "unauthorized")
    for unknown in ("x", "key_" + "0" * 26, "key_%00"):
        problem(admin.delete(f"/v1/keys/{unknown}"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "name"), ({"name": "a", "scopes": ["root"]}, "scopes.0"), ({"name": "a", "tenant": "A"}, "tenant")],
)
def test_make__refused(idle, problem, body, field):
    problem(idle.post("/v1/keys", json=body), 422, "invalid-spec", field)
