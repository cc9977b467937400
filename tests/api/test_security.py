import pytest
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from api.security import OPEN, api_key, is_loopback
from core.settings import Settings

KEY = "correct horse"


@pytest.fixture
def guarded(serve):
    return serve(api_key=SecretStr(KEY))


def test_every_route_but_the_open_ones_needs_the_key(guarded, problem):
    checked = 0
    for route in iter_route_contexts(guarded.app.routes):
        if route.path in OPEN or route.path.startswith("/problems/"):
            continue
        for method in route.methods:
            response = guarded.request(method, route.path)
            assert response.status_code == 401, (method, route.path)
            assert response.headers["www-authenticate"] == "Bearer"
            checked += 1
    assert checked >= 22
    problem(guarded.get("/nothing/here"), 401, "unauthorized")


@pytest.mark.parametrize("address", [*sorted(OPEN), "/problems/not-found"])
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


def test_api_key__from_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert api_key(Settings(api_key_file=file)) == KEY
    assert api_key(Settings(api_key=SecretStr("other"), api_key_file=file)) == "other"
    assert api_key(Settings()) is None


def test_api_key__unusable(tmp_path):
    file = tmp_path / "key"
    with pytest.raises(ValueError, match="cannot be read"):
        api_key(Settings(api_key_file=file))
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="cannot be read"):
        api_key(Settings(api_key_file=file))
    file.write_text(" \n")
    with pytest.raises(ValueError, match="is empty"):
        api_key(Settings(api_key_file=file))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_is_loopback(host, loopback):
    assert is_loopback(host) is loopback
