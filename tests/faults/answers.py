"""Check that an answer is documented in the OpenAPI document."""

import re

from schemathesis.checks import load_all_checks
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)

from tests.faults.checker import LEFT, Finding

PROBLEM = "application/problem+json"
MEMBERS = {"type", "title", "detail", "status", "field", "errors", "request_id"}
REQUIRED = {"type", "title", "detail", "status"}
OPEN = re.compile(r"/(problems(/.*)?|livez|readyz|docs(/.*)?|openapi\.json)?")
CONFORMANCE = [content_type_conformance, response_headers_conformance, response_schema_conformance]
"""Checks of Schemathesis. It accepts any status as `default` and does not know our keys: both are checked here."""


def wrong(case, answer, *, admitted):
    """Return the differences between an answer to a case of Schemathesis and the OpenAPI document, each in a few words.

    Args:
        admitted: True if the request had a key.
    """
    operation, path = case.operation, answer.request.path_url.partition("?")[0]
    if not admitted and not OPEN.fullmatch(path):
        if answer.status_code != 401:
            yield "came in without a key"
    elif answer.status_code >= 500:
        yield f"failed with {answer.status_code}"
    elif _is_of(operation, path) and str(answer.status_code) not in operation.definition.raw["responses"]:
        yield f"status {answer.status_code} is not documented"
    if answer.status_code >= 400:
        yield from _wrong_problem(answer)
    if _is_of(operation, path) and answer.request.method == operation.method.upper():
        yield from _unlike_documented(case, answer)


def unforeseen(world):
    """Return the tracebacks of the log. A traceback is a failure, even if the client got an answer."""
    log = world.service.log("api")
    if (at := log.find("Traceback")) >= 0:
        yield Finding(LEFT, f"the API's log: {log[max(0, at - 300) :][:3000]}")


def _is_of(operation, path):
    """Return True if the path belongs to this operation. An id that contains `..` or `/` leads to another operation."""
    template = re.sub(r"\\\{[^/]*?\\\}", "[^/]+", re.escape(operation.full_path))
    return re.fullmatch(template, path) is not None and not {".", ".."} & set(path.split("/"))


def _wrong_problem(answer):
    if answer.headers.get("Content-Type") != PROBLEM:
        yield f"an error of type {answer.headers.get('Content-Type')}"
        return
    body = answer.json()
    if not isinstance(body, dict) or not REQUIRED <= set(body) <= MEMBERS:
        yield f"a problem with the members {sorted(body)}"
    elif body["status"] != answer.status_code:
        yield "a problem of another status"
    elif not body["type"].startswith("/problems/"):
        yield f"a problem of the type {body['type']}"
    elif answer.status_code == 422 and answer.request.method == "HEAD":
        yield "a problem in an answer to HEAD"


def _unlike_documented(case, answer):
    load_all_checks()
    for check in CONFORMANCE:
        try:
            case.validate_response(answer, checks=[check])
        except* Failure as failures:
            yield from (f"{failure.title}: {failure.message[:200]}" for failure in failures.exceptions)
