"""The audit file that the stub stages write: which process ran which task, and when."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Attempt:
    """A process that ran a task. Times are seconds of the monotonic clock of the machine."""

    run: str
    stage: str
    maker: str
    pid: int
    supervisor: int
    began_at: float
    ended_at: float | None


def read(path):
    """Return the attempts, ordered by their start."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    ends = {line["maker"]: line["at"] for line in lines if line["what"] == "end"}
    return [
        Attempt(
            line["run"],
            line["stage"],
            line["maker"],
            line["pid"],
            line["supervisor"],
            line["at"],
            ends.get(line["maker"]),
        )
        for line in lines
        if line["what"] == "begin"
    ]
