"""Waiting runs: their queue positions, and the queues that no worker serves."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import BindParameter, bindparam, func, select
from sqlalchemy.orm import Session, aliased

from core.domain.run import RunStatus, TaskStatus
from core.store.database.tables import RunRow, TaskRow
from core.store.engine.lifecycle import QUEUED
from core.store.queries import workers

MOST_AHEAD = 1000
"""Upper limit of a reported position. Chosen by hand: a higher limit makes the query longer."""

_THESE: BindParameter[str] = bindparam("run_ids", expanding=True)
_STATUS = TaskRow.status + ""  # the expression makes SQLite search by run id, not scan all queued tasks
_Ahead = aliased(TaskRow)

# Statements are built once and bypass the session: both would take longer than SQLite takes to execute a statement.
_NEEDED = (
    select(TaskRow.run_id, TaskRow.queue)
    .where(TaskRow.run_id.in_(_THESE), _STATUS.in_([TaskStatus.QUEUED, TaskStatus.RUNNING]))
    .distinct()
    .order_by(TaskRow.run_id, TaskRow.queue.desc())
)
_RUNS_AHEAD = (
    select(_Ahead.run_id)
    .distinct()
    .where(_Ahead.status == QUEUED, _Ahead.queue == TaskRow.queue, _Ahead.run_id < TaskRow.run_id)
    .correlate(TaskRow)
    .limit(bindparam("most"))
    .subquery()
)
_POSITIONS = (
    select(TaskRow.run_id, select(func.count()).select_from(_RUNS_AHEAD).scalar_subquery())
    .where(_STATUS == QUEUED, TaskRow.run_id.in_(_THESE))
    .order_by(TaskRow.run_id, TaskRow.position.desc())
)
_VERSIONS = select(RunRow.id, RunRow.tenant, RunRow.status, RunRow.version).where(RunRow.id.in_(_THESE))


@dataclass(frozen=True, slots=True)
class RunState:
    """The values that decide whether a client has the current state of a run.

    Attributes:
        version: rises with every change of the run.
        position: number of earlier runs in the queue, see `positions`; None unless the run is queued.
        unserved: needed queues that no worker serves, see `unserved`.
    """

    tenant: str
    status: RunStatus
    version: int
    position: int | None
    unserved: tuple[str, ...]


def run_states(session: Session, run_ids: Collection[str]) -> dict[str, RunState]:
    """Return the state of each run without reading its spec and plan; unknown ids are left out."""
    rows = session.connection().execute(_VERSIONS, {"run_ids": list(run_ids)}).all()
    places = positions(session, [row.id for row in rows if row.status == RunStatus.QUEUED])
    missing = unserved(session, [row.id for row in rows if not RunStatus(row.status).terminal])
    return {
        row.id: RunState(row.tenant, RunStatus(row.status), row.version, places.get(row.id), missing.get(row.id, ()))
        for row in rows
    }


def positions(session: Session, run_ids: Collection[str]) -> dict[str, int]:
    """Return the number of earlier runs in the queue of each run's first queued task; 0 means next.

    At most MOST_AHEAD runs are counted.
    """
    if not run_ids:
        return {}
    found = session.connection().execute(_POSITIONS, {"run_ids": list(run_ids), "most": MOST_AHEAD})
    return {run_id: ahead for run_id, ahead in found}  # noqa: C416 - mypy does not accept rows as pairs


def unserved(session: Session, run_ids: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """Return, for each run, the queues that it needs now and no live worker serves. Other runs are left out."""
    if not run_ids:
        return {}
    served = workers.served(session)
    missing: dict[str, tuple[str, ...]] = {}
    for run_id, queue in session.connection().execute(_NEEDED, {"run_ids": list(run_ids)}):
        if queue not in served:
            missing[run_id] = (*missing.get(run_id, ()), queue)
    return missing
