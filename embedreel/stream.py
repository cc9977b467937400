"""Server-sent events, as far as this service sends them: each event's data is one JSON object."""

import json
from collections.abc import Iterable, Iterator
from typing import Any


def parse(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The data of each event; comments (pings) and an event that broke off are left out.

    >>> list(parse(["id: 1", 'data: {"seq": 1}', "", ": ping", "", 'data: {"seq":']))
    [{'seq': 1}]
    """
    data: list[str] = []
    for line in lines:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []
