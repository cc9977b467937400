"""Counters and histograms of all processes, stored in the database.

A counter changes in the transaction of the event that it counts. A transaction that is rolled back counts nothing. All
increments of a transaction are written by one statement just before the commit. This costs one round trip and locks the
shared rows briefly. The rows are written last and in a fixed order, so that transactions do not deadlock.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from core.store.database.tables import CounterRow

Labels = frozenset[tuple[str, str]]

_ADDED = "embedreel_counters"


@dataclass(frozen=True)
class Counter:
    """A counter. `labels` lists the values of each label."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def add(self, session: Session, **labels: str) -> None:
        """Add one."""
        add(session, self.name, **labels)


@dataclass(frozen=True)
class Histogram:
    """A histogram of durations in seconds.

    Each bucket has a row with the number of durations between its bound and the next lower bound. One more row has the
    sum of the durations. So an observation changes two rows, however many bounds there are.
    """

    name: str
    help: str
    bounds: Sequence[float]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def buckets(self) -> tuple[float, ...]:
        """The upper bounds of the buckets, in seconds; the last one is infinity."""
        return (*self.bounds, math.inf)

    def observe(self, session: Session, seconds: float, **labels: str) -> None:
        """Add one duration."""
        seconds = max(0.0, seconds)
        bound = next(bound for bound in self.buckets if seconds <= bound)
        add(session, f"{self.name}_bucket", le=str(bound), **labels)
        add(session, f"{self.name}_sum", seconds, **labels)


def add(session: Session, name: str, amount: float = 1, /, **labels: str) -> None:
    """Add an amount to a counter when this transaction is committed."""
    added = session.info.setdefault(_ADDED, {})
    key = (name, ",".join(f"{label}={value}" for label, value in sorted(labels.items())))
    added[key] = added.get(key, 0.0) + amount


def write(session: Session) -> None:
    """Write the increments of this transaction. This is the last statement of the transaction."""
    added = session.info.pop(_ADDED, None)
    if not added:
        return
    session.flush()
    rows = [{"name": name, "labels": labels, "value": value} for (name, labels), value in sorted(added.items())]
    session.execute(_RAISE[session.get_bind().dialect.name], rows)


def _raise(insert: postgresql.Insert | sqlite.Insert) -> postgresql.Insert | sqlite.Insert:
    raised = {"value": CounterRow.value + insert.excluded.value}
    return insert.on_conflict_do_update(index_elements=[CounterRow.name, CounterRow.labels], set_=raised)


_RAISE = {"postgresql": _raise(postgresql.insert(CounterRow)), "sqlite": _raise(sqlite.insert(CounterRow))}


def read(session: Session) -> dict[str, dict[Labels, float]]:
    """Return all counters: for each name, the value for each set of labels."""
    figures: dict[str, dict[Labels, float]] = {}
    for name, labels, value in session.execute(select(CounterRow.name, CounterRow.labels, CounterRow.value)):
        figures.setdefault(name, {})[_parsed(labels)] = value
    return figures


def _parsed(labels: str) -> Labels:
    pairs = (pair.partition("=") for pair in labels.split(",") if pair)
    return frozenset((label, value) for label, _, value in pairs)
