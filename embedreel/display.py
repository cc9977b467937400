"""Show a run's progress: bars on a terminal, lines elsewhere."""

import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from embedreel.connection import Json
from embedreel.progress import ENDED, Clock, Rates, Stage, clock, headline, measures, speed, stages

LINE_SECONDS = 10.0
"""Longest time without a progress line. Chosen by hand; not measured."""

BEGUN = ENDED | {"running"}
"""Statuses of a stage that has started."""


class Display(AbstractContextManager["Display"], Protocol):
    """Shows a run. `show` is called after a poll that found a change, `tick` after any other poll."""

    def show(self, run: Json, checkpoint: Json | None) -> None:
        """Show a changed run and its newest checkpoint."""

    def tick(self) -> None:
        """Refresh the display; the run has not changed."""

    def say(self, text: str) -> None:
        """Print a permanent line."""


def on(console: Console) -> Display:
    """Return bars for a terminal, lines for any other console."""
    return Bars(console) if console.is_terminal else Lines(console)


class Lines(Display):
    """Prints a line when a stage starts or ends, and every LINE_SECONDS in between. The output suits a log file."""

    def __init__(self, console: Console, *, now: Clock = time.monotonic) -> None:
        self._console = console
        self._now = now
        self._rates = Rates(now)
        self._began = self._last_line = now()
        self._stages: dict[str, Stage] = {}
        self._notice: str | None = None
        self._measures = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is nothing to close."""

    def show(self, run: Json, checkpoint: Json | None) -> None:
        """Print the changes since the last call."""
        self._measures = measures(checkpoint)
        if run.get("notice") != self._notice:
            self._notice = run.get("notice")
            if self._notice:
                self._line(self._notice)
        for stage in stages(run):
            before = self._stages.get(stage.name)
            self._stages[stage.name] = stage
            self._rates.add(stage)
            if stage.status in BEGUN and (before is None or before.status != stage.status):
                self._line(_change(stage))
        self.tick()

    def tick(self) -> None:
        """Print the progress of the running stages if no line was printed for LINE_SECONDS."""
        if self._now() - self._last_line < LINE_SECONDS:
            return
        running = [stage for stage in self._stages.values() if stage.status == "running"]
        for stage in running:
            self._line(self._how_far(stage))
        if running and self._measures:
            self._line(self._measures)
        if not running:
            self._line(self._notice or "waiting for a worker")

    def say(self, text: str) -> None:
        """Print a line."""
        self._line(text)

    def _how_far(self, stage: Stage) -> str:
        words = [f"{stage.name} {stage.done}/{stage.total} {stage.unit}"]
        if rate := self._rates.of(stage):
            words.append(speed(rate, stage.unit))
        if (left := self._rates.left_seconds(stage)) is not None:
            words.append(f"{clock(left)} left")
        return ", ".join(words)

    def _line(self, text: str) -> None:
        self._last_line = self._now()
        since = clock(self._last_line - self._began)
        self._console.print(f"[{since}] {text}", markup=False, highlight=False, soft_wrap=True)


def _change(stage: Stage) -> str:
    if stage.status == "running":
        return f"{stage.name} started" + (f": {stage.total} {stage.unit}" if stage.total else "")
    took = f" after {clock(stage.elapsed_seconds)}" if stage.elapsed_seconds is not None else ""
    return f"{stage.name} {stage.outcome}{took}: {stage.done}/{stage.total} {stage.unit}"


class _Cell(ProgressColumn):
    """A column that shows one custom field of a task."""

    def __init__(self, field: str) -> None:
        super().__init__()
        self._field = field

    def render(self, task: Task) -> Text:
        """Return the field's text, right-aligned."""
        return Text(str(task.fields[self._field]), justify="right")


class Bars(Display):
    """Draws a bar for each stage with rate, time left and elapsed time, and the newest checkpoint below the bars."""

    def __init__(self, console: Console, *, now: Clock = time.monotonic) -> None:
        self._rates = Rates(now)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            *(_Cell(field) for field in ("count", "rate", "left", "taken")),
            console=console,
            auto_refresh=False,
        )
        self._tasks: dict[str, TaskID] = {}
        self._run: Json = {"stages": []}
        self._checkpoint: Json | None = None
        self._live = Live(get_renderable=self._picture, console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, run: Json, checkpoint: Json | None) -> None:
        """Redraw the bars."""
        self._run, self._checkpoint = run, checkpoint
        self.tick()

    def tick(self) -> None:
        """Redraw the clocks. A background thread of `Live` also redraws them between polls."""
        self._live.refresh()

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _bar(self, stage: Stage) -> None:
        rate, left = self._rates.of(stage), self._rates.left_seconds(stage)
        fields: dict[str, Any] = {
            "count": f"{stage.done}/{stage.total}" if stage.total else "",
            "rate": speed(rate, stage.unit) if rate and not stage.reused else "",
            "left": f"{clock(left)} left" if left is not None else stage.outcome,
            "taken": clock(stage.elapsed_seconds),
        }
        if stage.name not in self._tasks:
            self._tasks[stage.name] = self._progress.add_task(stage.name, **fields)
        total = stage.total or 1  # rich animates a bar without a total, which would look like progress
        self._progress.update(self._tasks[stage.name], completed=stage.done, total=total, **fields)

    def _picture(self) -> Group:
        """Return the current content. `Live` calls this in one thread at a time."""
        run = self._run
        for stage in stages(run):
            self._rates.add(stage)
            self._bar(stage)
        below = [Text(measures(self._checkpoint))] if self._checkpoint else []
        notice = [Text(run["notice"], style="yellow")] if run.get("notice") else []
        return Group(Text(headline(run), style="bold"), self._progress, *below, *notice)
