"""Counters and histograms that the service stores in its database. docs/observability.md describes each of them."""

from sqlalchemy.orm import Session

from core.domain.run import RunStatus, TaskStatus
from core.domain.stages import STAGES, Queue
from core.store.database.counters import Counter, Histogram
from core.store.database.tables import TaskRow

STAGE_NAMES = {"stage": tuple(STAGES)}
QUEUES = {"queue": tuple(Queue)}
OUTCOMES = ("succeeded", "reused", "failed", "cancelled", "requeued")
FENCED = ("tell", "publish_part", "publish_state", "finish", "fail", "give_up", "give_back", "begin_anew", "renew")

RUNS_ACCEPTED = Counter("embedreel_runs_accepted_total", "Runs that were accepted")
RUNS_RETRIED = Counter("embedreel_runs_retried_total", "Retries that users asked for")
RUNS_ENDED = Counter(
    "embedreel_runs_ended_total",
    "Runs that ended, by how; a retried run ends again",
    {"status": tuple(status for status in RunStatus if status.terminal)},
)
STAGES_ENDED = Counter(
    "embedreel_stages_ended_total",
    "Stages that ended, by how; requeued ones are tried again",
    {**STAGE_NAMES, "outcome": OUTCOMES},
)
LEASE_EXPIRIES = Counter(
    "embedreel_lease_expiries_total", "Stages taken back from workers that stopped renewing their leases", STAGE_NAMES
)
FENCED_WRITES = Counter(
    "embedreel_fenced_writes_total",
    "Writes of a worker that had lost its stage; they changed nothing",
    {"write": FENCED},
)
WAKE_UPS_SENT_AGAIN = Counter(
    "embedreel_bells_rung_again_total", "Wake-ups that the sweep sent again for queued stages", QUEUES
)

STAGE_SECONDS = Histogram(
    "embedreel_stage_duration_seconds",
    "From the start of a stage's last attempt to its success",
    (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400),
    STAGE_NAMES,
)
QUEUE_SECONDS = Histogram(
    "embedreel_queue_wait_seconds",
    "From the time a stage was queued to its start",
    (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600, 14400),
    QUEUES,
)

COUNTERS = (
    RUNS_ACCEPTED,
    RUNS_RETRIED,
    RUNS_ENDED,
    STAGES_ENDED,
    LEASE_EXPIRIES,
    FENCED_WRITES,
    WAKE_UPS_SENT_AGAIN,
)
HISTOGRAMS = (STAGE_SECONDS, QUEUE_SECONDS)


def started(session: Session, *, queue: str, queued_at: float, at: float) -> None:
    """Count the queue wait of a task that was claimed."""
    QUEUE_SECONDS.observe(session, at - queued_at, queue=queue)


def succeeded(session: Session, task: TaskRow, *, at: float, reused: bool) -> None:
    """Count a succeeded task. A task that never started, because the training made its frame, adds no duration."""
    STAGES_ENDED.add(session, stage=task.name, outcome="reused" if reused else TaskStatus.SUCCEEDED)
    if task.started_at is not None and not reused:
        STAGE_SECONDS.observe(session, at - task.started_at, stage=task.name)
