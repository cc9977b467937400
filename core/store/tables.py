"""The tables. Times are seconds since 1970 by the database's clock."""

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSON, list[str]: JSON, float: Float, str: Text}  # noqa: RUF012


class RunRow(Base):
    """A run; `version` rises with every change that a poller can see, `event_seq` with every event."""

    __tablename__ = "runs"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
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


class StageRow(Base):
    """A stage of a run; `token` fences: only who holds the newest one may write."""

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
    ring_at: Mapped[float | None]
    rings: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]

    __table_args__ = (Index("stages_by_status", "status", "lease_until", "ring_at"),)


class EventRow(Base):
    """Something that happened to a run; `seq` has no gaps."""

    __tablename__ = "events"

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    type: Mapped[str] = mapped_column(String(40))
    at: Mapped[float]
    data: Mapped[dict[str, Any]]


class ArtifactRow(Base):
    """A published artifact: its files with size and SHA-256, and the facts asked for without opening it."""

    __tablename__ = "artifacts"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    stage: Mapped[str] = mapped_column(String(40))
    files: Mapped[dict[str, Any]]
    facts: Mapped[dict[str, Any]]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float]


class DatasetRow(Base):
    """An uploaded dataset; `report` is what the intake found."""

    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str]
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

    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    run_id: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[float]


class WorkerRow(Base):
    """A worker's heartbeat."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    queues: Mapped[list[str]]
    device: Mapped[str]
    started_at: Mapped[float]
    heartbeat_at: Mapped[float]
