"""Every example of the OpenAPI document conforms to the schema of its operation, field by field."""

import copy
import json

import jsonschema_rs
import pytest

from api.openapi import examples

TEXTS = {"application/json", "text/csv", "text/event-stream"}
DIALECT = jsonschema_rs.Draft202012Validator


@pytest.fixture(scope="module")
def document(idle):
    return idle.get("/openapi.json").json()


def operations(document):
    return {operation["operationId"]: operation for path in document["paths"].values() for operation in path.values()}


def answers(document):
    """Return operation id, media type and Media Type Object of each response that has an example."""
    for name, operation in operations(document).items():
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "206":
                for media_type, content in answer.get("content", {}).items():
                    if media_type in TEXTS:
                        yield name, media_type, content


def strict(schema, *, complete):
    """Return the schema without additional properties. With `complete`, all listed properties are required."""
    if isinstance(schema, list):
        return [strict(child, complete=complete) for child in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: strict(child, complete=complete) for name, child in schema.items()}
    if isinstance(made.get("properties"), dict):
        made["additionalProperties"] = False
        if complete:
            made["required"] = list(made["properties"])
    return made


def faults(document, schema, value, *, complete):
    """Return each difference between the value and the schema, with its place."""
    schemas = strict({"schemas": document["components"]["schemas"]}, complete=complete)
    validator = DIALECT({**strict(schema, complete=complete), "components": schemas})
    return [f"{'.'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]


def test_every_operation_with_a_text_has_an_example(document):
    found = list(answers(document))
    for name, _, content in found:
        assert examples.NAME in content.get("examples", {}), f"{name}: add it to testing/record_examples.py"
    assert {name for name, *_ in found} == set(examples.ANSWERS), "an example has no operation"


def test_every_body_has_an_example(document):
    for name, operation in operations(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        assert content is None or {"example", "examples"} & set(content), name
    assert set(examples.REQUESTS) <= set(operations(document)), "an example has no operation"


def test_an_answer_has_exactly_the_fields_of_its_schema(document):
    checked = 0
    for name, media_type, content in answers(document):
        if media_type == "application/json" and "schema" in content:
            value = content["examples"][examples.NAME]["value"]
            assert faults(document, content["schema"], value, complete=True) == [], f"{name}: run `make examples`"
            checked += 1
    assert checked > 30


def test_a_request_has_only_fields_of_its_schema(document):
    checked = 0
    for name, operation in operations(document).items():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        named = [one["value"] for one in content.get("examples", {}).values()]
        for value in named + ([content["example"]] if "example" in content else []):
            assert faults(document, content["schema"], value, complete=False) == [], name
            checked += 1
    assert checked >= 7


def test_a_problem_has_only_fields_of_its_schema(document):
    problem = document["components"]["schemas"]["Problem"]
    for status, value in examples.PROBLEMS.items():
        assert faults(document, problem, value, complete=False) == []
        assert value["status"] == int(status)
        [content] = document["components"]["responses"][f"Problem{status}"]["content"].values()
        assert content["example"] == value


def test_an_example_with_a_field_more_or_less_is_noticed(document):
    schema, value = {"$ref": "#/components/schemas/RunOut"}, examples.ANSWERS["getRun"]["value"]
    more, less = copy.deepcopy(value), copy.deepcopy(value)
    more["spec"]["train"]["momentum"] = 0.9
    del less["stages"][0]["unit"]
    assert faults(document, schema, value, complete=True) == []
    assert faults(document, schema, more, complete=True)
    assert faults(document, schema, less, complete=True)


@pytest.mark.parametrize(("name", "path"), [("getProjection", "projection"), ("listOutliers", "outliers")])
def test_an_answer_without_a_schema_has_the_fields_of_a_real_answer(gallery, exhibit, name, path):
    def fields(value):
        if isinstance(value, list):
            return fields(value[0]) if value else None
        return {key: fields(child) for key, child in value.items()} if isinstance(value, dict) else None

    assert fields(examples.ANSWERS[name]["value"]) == fields(gallery.get(f"/v1/runs/{exhibit}/{path}").json())


def test_the_log_has_the_columns_of_a_real_log(gallery, exhibit):
    example = examples.ANSWERS["getLog"]["value"].splitlines()[0]
    assert example == gallery.get(f"/v1/runs/{exhibit}/log.csv").text.splitlines()[0]


def test_the_stream_is_in_the_format_of_a_real_stream(gallery, exhibit):
    def form(text):
        lines = text.split("\n\n")[1].splitlines()
        return [line.partition(":")[0] for line in lines], list(json.loads(lines[1].removeprefix("data: ")))

    example = form(examples.ANSWERS["streamEvents"]["value"])
    assert example == form(gallery.get(f"/v1/runs/{exhibit}/stream").text)


def test_examples__a_shortened_one_is_marked():
    projection = examples.ANSWERS["getProjection"]
    assert projection["description"].startswith("Shortened: `labels` has 2 of 1,000 elements; ")
    assert len(projection["value"]["points"][0]) == 2
    assert "description" not in examples.ANSWERS["getRun"]


def test_request_examples_are_accepted(client, finished):
    assert client.post(f"/v1/runs/{finished}/renders", json=examples.REQUESTS["drawRun"]).status_code == 202
    assert client.post("/v1/keys", json=examples.REQUESTS["makeKey"]).status_code == 201
