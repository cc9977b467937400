"""The database tables. Times are seconds since 1970 by the database's clock."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

DEFAULT_TENANT = "default"
_QUEUED = text("status = 'queued'")


class Base(DeclarativeBase):
    """Base class of all tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, list[dict[str, str]]: JSON, float: Float, str: Text}  # noqa: RUF012


class RunRow(Base):
    """A run. `version` rises with every change that a client can see. `event_seq` rises with every event."""

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


class TaskRow(Base):
    """A task of a run. `token` is the fencing token: only the claim with the newest token may write.

    `state_key` and `state_step` identify the state that a training resumes from after its worker was lost.
    """

    __tablename__ = "tasks"

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
        Index("tasks_by_status", "status", "lease_until", "notify_at"),
        Index("tasks_queued", "queue", "run_id", "status", sqlite_where=_QUEUED, postgresql_where=_QUEUED),
    )


class EventRow(Base):
    """An event of a run. The numbers `seq` of a run have no gaps."""

    __tablename__ = "events"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(40))
    at: Mapped[float]
    data: Mapped[dict[str, Any]]


class ArtifactRow(Base):
    """A published artifact: its kind, its location in the store, its files with size and SHA-256, and its facts.

    `facts` are small values that the API returns without reading the files.
    """

    __tablename__ = "artifacts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    location: Mapped[str] = mapped_column(String(160), default="")
    files: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class ArtifactReferenceRow(Base):
    """A reference from a run to an artifact that its tasks do not name.

    `step` is the step of weights that the run keeps. `step` is None for an artifact that another run made.
    """

    __tablename__ = "artifact_references"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    step: Mapped[int | None]


class DatasetRow(Base):
    """An uploaded dataset: its location in the store, its files, and the `report` of the inspection."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True, default=DEFAULT_TENANT)
    name: Mapped[str]
    location: Mapped[str] = mapped_column(String(160), default="")
    files: Mapped[dict[str, Any]] = mapped_column(default=dict)
    report: Mapped[dict[str, Any]]
    created_at: Mapped[float]


class RevisionRow(Base):
    """The commit that the first download of a hub id resolved to. Every later download uses this commit."""

    __tablename__ = "revisions"

    source: Mapped[str] = mapped_column(String(200), primary_key=True)
    revision: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[float]


class IdempotencyRow(Base):
    """The result of a POST request with an Idempotency-Key."""

    __tablename__ = "idempotency"

    tenant: Mapped[str] = mapped_column(String(40), primary_key=True, default=DEFAULT_TENANT)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    made_id: Mapped[str] = mapped_column(String(40))
    """Id of the run or dataset that the request made."""
    created_at: Mapped[float]


class WorkerRow(Base):
    """The heartbeat of a worker. `doing` lists the tasks that the worker runs, each as `{"run": …, "stage": …}`."""

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
    """An API key: the SHA-256 of the key, its tenant, and its scopes. The key itself is not stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40))
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]]
    created_at: Mapped[float]
    revoked_at: Mapped[float | None]


class WebhookRow(Base):
    """An address that receives events. `secret` signs the deliveries, so it is stored unhashed."""

    __tablename__ = "webhooks"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    tenant: Mapped[str] = mapped_column(String(40), index=True)
    url: Mapped[str]
    secret: Mapped[str] = mapped_column(String(100))
    events: Mapped[list[str]]
    created_at: Mapped[float]
    disabled_at: Mapped[float | None]


class DeliveryRow(Base):
    """The delivery of one event to one webhook.

    The delivery is sent again until the receiver accepts it or the sender gives up. `attempts` counts all attempts.
    `failures` counts the failed attempts since the delivery was last requested. An ended delivery is deleted at
    `forget_at`.
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
    """The identity of the service, in one row, so that the service never deletes files in another service's store.

    `has_store` becomes True when an artifact store is marked with the id. From then on, a store without the mark is
    refused.
    """

    __tablename__ = "service"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    has_store: Mapped[bool]


class CounterRow(Base):
    """The value of a counter, summed over all processes. `labels` has the form `name=value,name=value`."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(String(80), primary_key=True)
    labels: Mapped[str] = mapped_column(String(160), primary_key=True)
    value: Mapped[float]
