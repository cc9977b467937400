import pytest
from pydantic import SecretStr

from api.access.hosts import is_loopback

KEY = {"X-API-Key": "key"}


def post(client, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/v1/runs", json={"dataset": "digits"}, headers=headers)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1234", "[::1]", "[::1]:8000"])
def test_host__this_machine(idle, host):
    assert idle.get("/v1/runs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "192.168.1.7", "", "[::1", "a b"]
)
def test_host__another(idle, problem, host):
    problem(idle.get("/v1/runs", headers={"Host": host}), 421, "unknown-host")
    problem(post(idle, Host=host), 421, "unknown-host")
    assert idle.get("/livez", headers={"Host": host}).status_code == 200, "whoever looks after a service"


def test_host__allowed(serve, problem):
    client = serve(allowed_hosts=("Films.example",))
    assert client.get("/v1/runs", headers={"Host": "films.example:443"}).status_code == 200
    assert client.get("/v1/runs").status_code == 200
    problem(client.get("/v1/runs", headers={"Host": "evil.example"}), 421, "unknown-host")


def test_host__with_a_key_any_name_will_do_unless_some_are_listed(serve, problem):
    client = serve(api_key=SecretStr("key"))
    assert client.get("/v1/runs", headers=KEY | {"Host": "anything.example"}).status_code == 200
    problem(client.get("/v1/runs", headers={"Host": "anything.example"}), 401, "unauthorized")
    strict = serve(api_key=SecretStr("key"), allowed_hosts=("films.example",))
    assert strict.get("/v1/runs", headers=KEY | {"Host": "films.example"}).status_code == 200
    problem(strict.get("/v1/runs", headers=KEY | {"Host": "anything.example"}), 421, "unknown-host")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://[::1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "http://localhost", "Sec_Fetch_Site": "cross-site"},
    ],
)
def test_origin__another_site(idle, problem, headers):
    problem(post(idle, **headers), 403, "cross-site")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "http://LOCALHOST", "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
    ],
)
def test_origin__our_own_page_or_none(client, headers):
    assert post(client, **headers).status_code == 202


def test_origin__reading_is_left_to_the_browser(idle):
    response = idle.get("/v1/runs", headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert "access-control-allow-origin" not in response.headers


def test_origin__an_allowed_host_behind_a_proxy_that_changes_the_host(serve):
    client = serve(allowed_hosts=("films.example",))
    assert post(client, Origin="https://films.example", Sec_Fetch_Site="same-origin").status_code == 202


def test_origin__with_a_key_it_is_of_no_matter(serve):
    client = serve(api_key=SecretStr("key"))
    assert post(client, Origin="https://films.example", **{"X-API-Key": "key"}).status_code == 202


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
