"""Report why a stage restarts. The run's events are read only if its JSON shows signs of a restart."""

from collections.abc import Callable, Iterator
from typing import Any

from embedreel.progress import Stage, stages

Events = Callable[[int], list[dict[str, Any]]]
"""Returns the run's events after the event with the given number."""


class RestartNotices:
    """Detects that a stage was lost, and reads the reason from the run's events."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._after = 0
        self._last: dict[str, Stage] = {}
        self._lost: set[str] = set()

    def new_lines(self, run: dict[str, Any]) -> list[str]:
        """Return a line for each restart since the last call. The first call covers all earlier restarts."""
        signs = [self._sign(stage) for stage in stages(run)]
        if not any(signs):
            return []
        events = self._events(self._after)
        self._after = events[-1]["seq"] if events else self._after
        return [line for event in events for line in _lines(event)]

    def _sign(self, stage: Stage) -> bool:
        """Return True if the stage was lost, has restarted after a loss, or has a larger total than before."""
        before = self._last.get(stage.name)
        self._last[stage.name] = stage
        if before is not None and 0 < before.total < stage.total:
            return True
        if _was_lost(before, stage):
            self._lost.add(stage.name)
            return True
        if (
            stage.name in self._lost and stage.status == "running"
        ):  # an event may name the step at which the stage continues
            self._lost.remove(stage.name)
            return before is not None and before.status != "running"
        return False


def _was_lost(before: Stage | None, stage: Stage) -> bool:
    if before is None:
        return stage.attempt > 1
    back_in_the_queue = before.status == "running" and stage.status == "queued"
    return stage.attempt > max(1, before.attempt) or stage.done < before.done or back_in_the_queue


def _lines(event: dict[str, Any]) -> Iterator[str]:
    data = event.get("data") or {}
    name = data.get("stage", "a stage")
    if event.get("type") == "stage.requeued":
        yield f"{name} starts again: {data.get('reason') or 'no reason is known'}"
    elif event.get("type") == "stage.started" and data.get("resumed_step") is not None:
        yield f"{name} continues at step {data['resumed_step']}"
    elif event.get("type") == "stage.redrawn":
        yield f"{name} draws the film again, {data.get('width')} x {data.get('height')}: {data.get('reason')}"
