import difflib
import json

import pytest

from api.http.errors import STATUS
from testing import generate


@pytest.fixture(scope="module")
def document(idle):
    return idle.get("/openapi.json").json()


def test_openapi__every_operation_is_named_tagged_and_explained(document):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids))
    for operation in operations:
        assert operation["tags"]
        assert operation["summary"]
        assert operation["description"]
        assert "application/json" not in operation["responses"].get("422", {}).get("content", {})
        assert operation["responses"]["default"] == {"$ref": "#/components/responses/Problemdefault"}


def test_openapi__every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            yield from references(child)

    for reference in references(document):
        *_, kind, name = reference.split("/")
        assert name in document["components"][kind]


def test_openapi__the_examples_are_accepted(document, client):
    body = document["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"minimal", "complete"}
    for example in body["examples"].values():
        assert client.post("/v1/runs", json=example["value"]).status_code == 202


def test_openapi__both_ways_to_send_the_key(document):
    assert set(document["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    assert document["paths"]["/v1/runs"]["get"]["security"] == [{"HTTPBearer": []}, {"APIKeyHeader": []}]
    assert "security" not in document["paths"]["/livez"]["get"]


def operations(document):
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_openapi__is_the_committed_one():
    made, committed = generate.openapi_text(), generate.OPENAPI.read_text()
    changes = list(
        difflib.unified_diff(committed.splitlines(), made.splitlines(), "committed", "made", n=1, lineterm="")
    )
    if changes:
        pytest.fail("The API has changed. If that is meant, run `make docs` and commit:\n" + "\n".join(changes[:60]))


def test_openapi__is_the_same_wherever_it_is_made(monkeypatch, tmp_path):
    here = generate.openapi_text()
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path))
    monkeypatch.setenv("EMBEDREEL_PORT", "1234")
    monkeypatch.chdir(tmp_path)
    assert generate.openapi_text() == here
    assert json.loads(here)["info"]["version"] == "0.1.0"


@pytest.mark.parametrize(
    ("operation_id", "statuses"),
    [
        ("submitRun", {202, 400, 401, 403, 409, 413, 415, 422, 429, 503, 507}),
        ("getRun", {200, 304, 401, 403, 404, 422, 429, 503}),
        ("getFilm", {200, 206, 304, 401, 403, 404, 409, 416, 429, 503}),
        ("live", {200}),
    ],
)
def test_openapi__problems_that_an_operation_may_meet(document, operation_id, statuses):
    [operation] = [found for found in operations(document) if found["operationId"] == operation_id]
    assert {int(status) for status in operation["responses"] if status != "default"} == statuses


def test_openapi__problems_are_shown_as_they_are_sent(document):
    for name, answer in document["components"]["responses"].items():
        content = answer["content"]["application/problem+json"]
        assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
        if "example" in content:
            assert name == f"Problem{content['example']['status']}"
            assert content["example"]["status"] in STATUS.values()
