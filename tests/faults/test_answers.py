"""Each answer that differs from the OpenAPI document is reported."""

import json

import pytest
import requests
import schemathesis
import urllib3

from testing import generate
from tests.faults import answers

GOOD = {"type": "/problems/not-found", "title": "t", "detail": "d", "status": 404}


@pytest.fixture(scope="module")
def case():
    schema = schemathesis.openapi.from_dict(json.loads(generate.openapi_text()))
    found = (found.ok() for found in schema.get_all_operations())
    operation = next(one for one in found if one.definition.raw["operationId"] == "listEvents")
    return operation.Case(path_parameters={"run_id": "run_1"})


def answered(status, body, *, kind="application/problem+json"):
    answer = requests.Response()
    answer.status_code, answer._content = status, json.dumps(body).encode()  # noqa: SLF001 - as requests fills it
    answer.headers["Content-Type"] = kind
    answer.raw = urllib3.HTTPResponse(headers={"Content-Type": kind})  # Schemathesis reads these attributes
    answer.request = requests.Request("GET", "http://localhost/v1/runs/run_1/events").prepare()
    answer.url = answer.request.url
    return answer


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (answered(404, GOOD), []),
        (answered(200, {"events": [], "last": 0}, kind="application/json"), []),
        (answered(500, GOOD | {"status": 500}), ["failed with 500"]),
        (answered(503, GOOD | {"status": 503}), ["failed with 503"]),
        (answered(418, GOOD | {"status": 418}), ["status 418 is not documented"]),
        (answered(404, GOOD | {"status": 422}), ["a problem of another status"]),
        (answered(404, {"detail": "d"}), ["a problem with the members ['detail']"]),
        (answered(404, GOOD | {"more": 1}), ["a problem with the members"]),
        (answered(404, GOOD, kind="application/json"), ["an error of type application/json"]),
        (answered(200, {"events": 5, "last": 0}, kind="application/json"), ["violates schema"]),
        (answered(200, {}, kind="text/html"), ["ndocumented"]),
    ],
)
def test_wrong(case, answer, expected):
    found = list(answers.wrong(case, answer, admitted=True))
    assert bool(found) == bool(expected), found
    for what in expected:
        assert any(what in one for one in found), found


def test_wrong__without_a_key(case):
    unauthorized = GOOD | {"status": 401, "type": "/problems/unauthorized"}
    assert list(answers.wrong(case, answered(401, unauthorized), admitted=False)) == []
    assert "came in without a key" in list(answers.wrong(case, answered(404, GOOD), admitted=False))
