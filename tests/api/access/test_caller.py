import pytest

from api.access.caller import LOCAL_CALLER, NOBODY, OPERATOR, Scope, scope_needed


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/runs", "read"),
        ("HEAD", "/v1/runs/x/film.gif", "read"),
        ("POST", "/v1/runs", "write"),
        ("DELETE", "/v1/datasets/x", "write"),
        ("PATCH", "/v1/anything", "write"),
        ("GET", "/v1/keys", "admin"),
        ("DELETE", "/v1/keys/x", "admin"),
        ("GET", "/v1/workers", "admin"),
        ("GET", "/metrics", "admin"),
        ("GET", "/v1/keystones", "read"),
    ],
)
def test_scope_needed(method, path, scope):
    assert scope_needed(method, path) is Scope(scope)


def test_middleware__requests_that_need_no_key():
    assert OPERATOR.scopes == LOCAL_CALLER.scopes == set(Scope)
    assert (NOBODY.tenant, NOBODY.scopes) == ("", frozenset())
