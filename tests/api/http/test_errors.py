import pytest

from api.http import errors
from core.domain.families import require_family
from core.errors import EmbedreelError, UnusableModelError


@pytest.mark.parametrize("kind", list(errors.known()), ids=lambda kind: kind.__name__)
def test_every_error_has_a_status_a_type_and_a_meaning(kind):
    assert 400 <= errors.STATUS[kind] < 600
    assert kind.__doc__
    same_type = [other.__name__ for other in errors.known() if other.type == kind.type]
    assert same_type == [kind.__name__]


def test_an_unusable_model_is_the_users_error_and_not_worth_a_retry():
    with pytest.raises(UnusableModelError) as caught:
        require_family("beit")
    answer = errors.respond(caught.value)
    assert answer.status_code == 422
    assert "retry-after" not in answer.headers


def test_every_status_is_of_a_known_error():
    assert set(errors.STATUS) == set(errors.known())
    assert EmbedreelError in errors.STATUS


@pytest.mark.parametrize(
    ("method", "address", "allowed"),
    [
        ("PUT", "/v1/runs", "GET, POST"),
        ("POST", "/livez", "GET"),
        ("PATCH", "/v1/runs/x", "DELETE, GET"),
        ("POST", "/v1/runs/x/film.gif", "GET, HEAD"),
        ("GET", "/v1/runs/x/cancel", "POST"),
    ],
)
def test_method_not_allowed(idle, problem, method, address, allowed):
    response = idle.request(method, address)
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("address", ["/v1", "/v1/nothing", "/v1/runs/", "/v2/runs", "/%00", "/v1/runs/a/b/c"])
def test_nothing_there(idle, problem, address):
    problem(idle.get(address), 404, "not-found")


def test_unexpected__leaks_nothing(client, process, problem, monkeypatch, caplog):
    def broken(*args, **options):
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("core.store.queries.runs.page", broken)
    response = client.get("/v1/runs")
    problem(response, 500, "unexpected")
    assert "secret" not in response.text
    assert "GET /v1/runs failed: ZeroDivisionError" in caplog.text


def test_as_problem__keeps_everything_but_the_type():
    described = EmbedreelError("what", field="where").describe()
    assert errors.as_problem(described) == described | {"type": "/problems/error"}
