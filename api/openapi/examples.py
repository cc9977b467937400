"""The examples of the OpenAPI document. All of them are recorded from a real service.

`python -m testing.record_examples` (`make examples`) writes the file. Tests compare every example with the schema of
its operation.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("examples.json")
_RECORDED = json.loads(FILE.read_text())

REQUESTS: Mapping[str, Any] = _RECORDED["requests"]
"""Bodies of requests by operation id. The routes of the other operations declare their own examples."""

ANSWERS: Mapping[str, Mapping[str, Any]] = _RECORDED["answers"]
"""OpenAPI Example Objects by operation id. `description` says which parts of `value` are shortened."""

PROBLEMS: Mapping[str, Any] = _RECORDED["problems"]
"""Problems by status."""

NAME = "recorded"
"""Name of the example among the `examples` of a response."""

_MEDIA_TYPES = frozenset({"application/json", "text/event-stream", "text/csv"})
_PARTIAL = "206"


def add(operation: Mapping[str, Any]) -> None:
    """Add the examples of one operation to its request body and its successful responses, in place.

    A response with status 206 gets no example, because its body is a part of a file.

    Args:
        operation: an Operation Object of the OpenAPI document.
    """
    name = operation["operationId"]
    if name in REQUESTS:
        operation["requestBody"]["content"]["application/json"]["example"] = REQUESTS[name]
    if name not in ANSWERS:
        return
    for status, response in operation["responses"].items():
        if status.startswith("2") and status != _PARTIAL:
            for media_type, content in response.get("content", {}).items():
                if media_type in _MEDIA_TYPES:
                    content["examples"] = {NAME: ANSWERS[name]}
