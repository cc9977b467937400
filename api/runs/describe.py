"""Convert a run's database rows to the API's representation: stages, time left and links."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from api.http.errors import as_problem
from api.http.times import optional_timestamp, timestamp
from api.runs.schemas import Links, PlannedOut, PlanOut, Progress, RunOut, StageOut
from core.domain.run import RunStatus, TaskStatus
from core.domain.spec import RunSpec
from core.domain.stages import EMBED, FINE_TUNE, RENDER, STAGES
from core.store.database.session import clock
from core.store.database.tables import RunRow
from core.store.engine import artifact_references
from core.store.queries import progress, runs, waiting
from core.store.queries.progress import TaskGroup
from core.store.queries.waiting import RunState

FIRST_GUESS: Mapping[str, float] = {
    stage.name: stage.seconds_per_frame for stage in STAGES.values() if stage.seconds_per_frame is not None
}
"""Initial estimate of the seconds per frame of each stage, until this service has measured a run. See
`core.domain.stages`.
"""

NO_WORKER = (
    "No worker for the {queues} queue has sent a heartbeat lately. A starting worker takes up to a minute. If none is "
    "starting, start one with `make serve`, or `python -m worker` on any machine that reaches the same database, "
    "broker and artifacts. If a worker is running, its log says why no heartbeat arrives. The run then continues by "
    "itself."
)

_PRECEDENCE = (TaskStatus.FAILED, TaskStatus.RUNNING, TaskStatus.CANCELLED, TaskStatus.QUEUED)


@dataclass(frozen=True, slots=True)
class StageSummary:
    """A stage, summed over its tasks.

    Attributes:
        name: name of the stage.
        queue: queue of its tasks.
        status: status of all tasks together.
        tasks: number of tasks.
        done: finished units of progress: steps or frames.
        total: all units of progress.
        attempt: highest attempt number of its tasks.
        reused: every task reuses an existing artifact.
        started_at: seconds since 1970; None before the first task starts.
        finished_at: seconds since 1970; None until the stage has ended.
    """

    name: str
    queue: str
    status: TaskStatus
    tasks: int
    done: int
    total: int
    attempt: int
    reused: bool
    started_at: float | None
    finished_at: float | None


def describe(session: Session, rows: Sequence[RunRow]) -> list[RunOut]:
    """Return the runs of these rows, in their order, as the API shows them."""
    ids = [row.id for row in rows]
    groups, steps = progress.task_groups(session, ids), progress.captured_steps(session, ids)
    waits = _Waits.of(session, rows)
    skipped = progress.skipped_frames(session, [row.id for row in rows if row.spec["train"]["early_stopping"]])
    trained = artifact_references.with_weights(
        session, [row.id for row in rows if row.spec["train"]["keep_weights"] != "none"]
    )
    running = any(row.status == RunStatus.RUNNING for row in rows)
    pace = {**FIRST_GUESS, **progress.seconds_per_frame(session)} if running else {}
    at = clock(session) if running else 0.0
    described = []
    for row in rows:
        stages = collect(groups[row.id], skipped=skipped.get(row.id, 0))
        inline = row.spec["capture"]["mode"] == "inline"
        left = seconds_left(stages, at=at, pace=pace, inline=inline) if row.status == RunStatus.RUNNING else None
        described.append(_run(row, stages, steps[row.id], left, waits, trained=row.id in trained))
    return described


@dataclass(frozen=True, slots=True)
class _Waits:
    """The reasons why runs wait, by run id.

    Attributes:
        positions: number of queued runs ahead.
        unserved: queues that the run needs and no live worker serves.
    """

    positions: Mapping[str, int]
    unserved: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, session: Session, rows: Sequence[RunRow]) -> "_Waits":
        queued = [row.id for row in rows if row.status == RunStatus.QUEUED]
        going = [row.id for row in rows if not RunStatus(row.status).terminal]
        return cls(waiting.positions(session, queued), waiting.unserved(session, going))

    def notice(self, run_id: str) -> str | None:
        queues = self.unserved.get(run_id)
        return NO_WORKER.format(queues=" and ".join(queues)) if queues else None


def collect(groups: Sequence[TaskGroup], *, skipped: int = 0) -> list[StageSummary]:
    """Sum task groups by stage name, in the order of a run's stages.

    Args:
        groups: task counts by stage name and status.
        skipped: frames that early stopping left out; they are subtracted from the embedding's tasks.
    """
    by_name: dict[str, list[TaskGroup]] = {name: [] for name in STAGES}
    for group in groups:
        by_name[group.name].append(group)
    return [_together(found, skipped=skipped) for found in by_name.values() if found]


def _together(groups: list[TaskGroup], *, skipped: int) -> StageSummary:
    tasks = sum(group.tasks for group in groups)
    finished = sum(group.tasks for group in groups if group.status is TaskStatus.SUCCEEDED)
    starts = [group.started_at for group in groups if group.started_at is not None]
    ends = [group.finished_at for group in groups if group.finished_at is not None]
    several = groups[0].name == EMBED.name
    status = _status(groups, finished=finished)
    return StageSummary(
        name=groups[0].name,
        queue=groups[0].queue,
        status=status,
        tasks=tasks,
        done=finished - skipped if several else groups[0].done,
        total=tasks - skipped if several else groups[0].total,
        attempt=max(group.attempt for group in groups),
        reused=sum(group.reused for group in groups) == tasks,
        started_at=min(starts, default=None),
        finished_at=max(ends, default=None) if status in _ENDED else None,
    )


_ENDED = frozenset({TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED})


def _status(groups: list[TaskGroup], *, finished: int) -> TaskStatus:
    statuses = {group.status for group in groups}
    if len(statuses) == 1:
        return statuses.pop()
    for status in _PRECEDENCE:
        if status in statuses:
            return TaskStatus.RUNNING if status is TaskStatus.QUEUED and finished else status
    return TaskStatus.RUNNING  # some succeeded, the others wait for frames that the training has not made yet


def seconds_left(stages: Sequence[StageSummary], *, at: float, pace: Mapping[str, float], inline: bool) -> float | None:
    """Estimate the seconds until the film is ready, or return None if there is no basis for an estimate.

    A running stage continues at its average rate: elapsed * (total - done) / done. If other workers embed during the
    training, the longer of the two times counts. A stage that has not started takes `pace` seconds per frame.

    Args:
        stages: stages of a running run.
        at: the database's current time, seconds since 1970.
        pace: seconds per frame by stage name: the last measurement on this service, or FIRST_GUESS.
        inline: the training stage embeds the frames itself.
    """
    by_name = {stage.name: stage for stage in stages}
    frames = (by_name.get(EMBED.name) or by_name[RENDER.name]).total  # a comparison has no embedding stage
    if not frames:
        return None
    names = [FINE_TUNE.name] if inline else [FINE_TUNE.name, EMBED.name]
    learning = [by_name[name] for name in names if name in by_name]
    unfinished = [stage for stage in learning if stage.status is not TaskStatus.SUCCEEDED]
    rated = [left for stage in unfinished if (left := _at_its_rate(stage, at)) is not None]
    if unfinished and not rated:
        return None
    seconds = max(rated, default=0.0)
    for name, guess in pace.items():
        stage = by_name.get(name)  # a comparison has only the last of these stages
        if stage and stage.status is not TaskStatus.SUCCEEDED:
            own = _at_its_rate(stage, at)
            seconds += guess * frames if own is None else own
    return round(seconds, 1)


def _at_its_rate(stage: StageSummary, at: float) -> float | None:
    """Return the seconds left of a running stage at its average rate, or None if it has no progress yet."""
    if stage.status is not TaskStatus.RUNNING or not stage.done or stage.started_at is None:
        return None
    return max(0.0, at - stage.started_at) * (stage.total - stage.done) / stage.done


def etag(*, version: int, position: int | None, unserved: bool) -> str:
    """Return the ETag of a run's state. It is weak, because equal states may differ in the estimated time left.

    Args:
        version: the run's version.
        position: number of queued runs ahead; None if the run is not queued.
        unserved: no live worker serves a queue that the run needs.
    """
    place = "" if position is None else f"-{position}"
    return f'W/"{version}{place}{"-waiting" if unserved else ""}"'


def etag_of(run: RunOut) -> str:
    """Return the ETag of a described run."""
    return etag(version=run.version, position=run.queue_position, unserved=run.notice is not None)


def etag_at(seen: RunState) -> str:
    """Return the ETag of a run's state as read for polling."""
    return etag(version=seen.version, position=seen.position, unserved=bool(seen.unserved))


def _run(
    run: RunRow,
    stages: Sequence[StageSummary],
    steps: list[int],
    eta_seconds: float | None,
    waits: _Waits,
    *,
    trained: bool,
) -> RunOut:
    learnt = any(stage.name == FINE_TUNE.name and stage.status is TaskStatus.SUCCEEDED for stage in stages)
    return RunOut(
        id=run.id,
        name=run.name,
        status=RunStatus(run.status),
        version=run.version,
        spec=RunSpec.model_validate(run.spec),
        plan=PlanOut(
            steps=steps,
            stages=[PlannedOut(name=stage.name, tasks=stage.tasks, queue=stage.queue) for stage in stages],
        ),
        stages=[_stage(stage) for stage in stages],
        queue_position=waits.positions.get(run.id),
        eta_seconds=eta_seconds,
        error=as_problem(run.error) if run.error else None,
        notice=waits.notice(run.id),
        drawn_from=run.drawn_from,
        links=links(
            run.id,
            film=run.status == RunStatus.SUCCEEDED,
            model=trained and learnt,
            comparison=runs.is_comparison(run),
        ),
        created_at=timestamp(run.created_at),
        started_at=optional_timestamp(run.started_at),
        finished_at=optional_timestamp(run.finished_at),
    )


def _stage(stage: StageSummary) -> StageOut:
    return StageOut(
        name=stage.name,
        status=stage.status,
        progress=Progress(done=stage.done, total=stage.total),
        unit=STAGES[stage.name].unit,
        attempt=stage.attempt,
        reused=stage.reused,
        started_at=optional_timestamp(stage.started_at),
        finished_at=optional_timestamp(stage.finished_at),
    )


def links(run_id: str, *, film: bool, model: bool, comparison: bool = False) -> Links:
    """Return the paths of a run's resources. `film`, `model` and `comparison`: True if the resource exists."""
    base = f"/v1/runs/{run_id}"
    below = (
        "events",
        "stream",
        "cancel",
        "retry",
        "renders",
        "checkpoints",
        "projection",
        "outliers",
        "quality",
        "highlights",
        "evaluation",
        "figures",
    )
    return Links(
        self=base,
        film=f"{base}/film.gif" if film else None,
        model=f"{base}/model" if model else None,
        comparison=f"/v1/comparisons/{run_id}" if comparison else None,
        label_issues=f"{base}/label-issues",
        log=f"{base}/log.csv",
        curves=f"{base}/curves.png",
        **{name: f"{base}/{name}" for name in below},
    )
