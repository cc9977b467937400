"""The tables. Times are seconds since 1970 by the database's clock."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DEFAULT_TENANT = "default"
_QUEUED = text("status = 'queued'")


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[dict[str, str]]: JSON, float: Float, str: Text}  # noqa: RUF012


class RunRow(Base):
    """A run; `version` rises with every change that a poller can see, `event_seq` with every event."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), default=DEFAULT_TENANT)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(String(16), index=True)
    version: Mapped[int] = mapped_column(default=1)
    event_seq: Mapped[int] = mapped_column(default=0)
    spec: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]] = mapped_column(deferred=True)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    drawn_from: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]

    __table_args__ = (
        Index("runs_of_tenant", "tenant", "id"),
        Index("runs_of_tenant_by_status", "tenant", "status"),
    )


class StageRow(Base):
    """A stage of a run; `token` fences: only who holds the newest one may write.

    `state_key` and `state_step` name the artifact that a training continues from after its worker was lost.
    """

    __tablename__ = "stages"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(16))
    position: Mapped[int]
    queue: Mapped[str] = mapped_column(String(16))
    key: Mapped[str] = mapped_column(String(64), index=True)
    status: Mapped[str] = mapped_column(String(16))
    token: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    reused: Mapped[bool] = mapped_column(default=False)
    lease_until: Mapped[float | None]
    worker_id: Mapped[str | None] = mapped_column(String(80))
    done: Mapped[int] = mapped_column(default=0)
    total: Mapped[int] = mapped_column(default=0)
    queued_at: Mapped[float | None]
    notify_at: Mapped[float | None]
    notifications: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    state_key: Mapped[str | None] = mapped_column(String(64))
    state_step: Mapped[int | None]

    __table_args__ = (
        Index("stages_by_status", "status", "lease_until", "notify_at"),
        Index("stages_queued", "queue", "run_id", "status", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    )


class EventRow(Base):
    """Something that happened to a run; `seq` has no gaps."""

    __tablename__ = "events"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(40))
    at: Mapped[float]
    data: Mapped[dict[str, Any]]


class ArtifactRow(Base):
    """A published artifact: where it is in the store, its files with size and SHA-256, and facts for quick answers."""

    __tablename__ = "artifacts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    stage: Mapped[str] = mapped_column(String(40))
    location: Mapped[str] = mapped_column(String(160), default="")
    files: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class ArtifactReferenceRow(Base):
    """What a run counts on beyond its stages' artifacts: weights of a step; without a step, what another has made."""

    __tablename__ = "artifact_references"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    step: Mapped[int | None]


class DatasetRow(Base):
    """An uploaded dataset: where it is in the store, its files, and in `report` what the intake found."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True, default=DEFAULT_TENANT)
    name: Mapped[str]
    location: Mapped[str] = mapped_column(String(160), default="")
    files: Mapped[dict[str, Any]] = mapped_column(default=dict)
    report: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class RevisionRow(Base):
    """The commit that a hub id's first download resolved to; required from then on."""

    __tablename__ = "revisions"

    source: Mapped[str] = mapped_column(String(200), primary_key=True)
    revision: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[float]


class IdempotencyRow(Base):
    """A POST that was answered, by its Idempotency-Key."""

    __tablename__ = "idempotency"

    tenant: Mapped[str] = mapped_column(String(40), primary_key=True, default=DEFAULT_TENANT)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    made_id: Mapped[str] = mapped_column(String(40))
    """Id of the run or dataset that the request made."""
    created_at: Mapped[float]


class WorkerRow(Base):
    """A worker's heartbeat; `doing` lists the stages that it runs now, as `{"run": …, "stage": …}`."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    queues: Mapped[list[str]]
    device: Mapped[str]
    version: Mapped[str] = mapped_column(String(40), default="")
    concurrency: Mapped[int] = mapped_column(default=1)
    doing: Mapped[list[dict[str, str]]] = mapped_column(default=list)
    started_at: Mapped[float]
    heartbeat_at: Mapped[float]


class ApiKeyRow(Base):
    """An API key: its SHA-256 only, whose it is, and what it allows."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class WebhookRow(Base):
    """An address that hears of events; `secret` signs, so it is kept as it is."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    url: Mapped[str]
    secret: Mapped[str] = mapped_column(String(100))
    events: Mapped[list[str]]
    created_at: Mapped[float]
    disabled_at: Mapped[float | None]


class DeliveryRow(Base):
    """One event on its way to one webhook: written with the event, sent until it is answered or given up.

    `attempts` counts all, `failures` those since it was last asked for; an ended one is deleted at `forget_at`.
    """

    __tablename__ = "deliveries"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), index=True)
    type: Mapped[str] = mapped_column(String(40))
    payload: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    failures: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[float | None]
    forget_at: Mapped[float | None] = mapped_column(index=True)
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    created_at: Mapped[float]
    delivered_at: Mapped[float | None]

    __table_args__ = (Index("deliveries_due", "status", "next_at"),)


class ServiceRow(Base):
    """Which service this database is of: one row, so that it never cleans up a store that is another's.

    `has_store` from when an artifact store bears its mark: one without the mark is another then.
    """

    __tablename__ = "service"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    has_store: Mapped[bool]


class CounterRow(Base):
    """A figure that only rises, of all processes together; `labels` as `name=value,name=value`."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    labels: Mapped[str] = mapped_column(String(160), primary_key=True)
    value: Mapped[float]
