"""Figures that only rise, of all processes together: changed in the transaction of what they count.

What a transaction adds is gathered and written by one statement just before its commit, so that it costs one round trip
and holds the rows, which everybody writes, as briefly as possible. They are written last and in one order: no two
transactions wait for each other in a circle. A transaction that is rolled back has counted nothing.
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
    """A figure that only rises; `labels` lists the values of each label."""

    name: str
    help: str
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def add(self, session: Session, **labels: str) -> None:
        """Count one more."""
        add(session, self.name, **labels)


@dataclass(frozen=True)
class Histogram:
    """How long something took, seconds: how often up to each bound, and all together.

    A row a bucket, which holds what fell between its bound and the one below, and a row for the sum: an observation
    changes two rows, however many bounds there are.
    """

    name: str
    help: str
    bounds: Sequence[float]
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def buckets(self) -> tuple[float, ...]:
        """The bounds, and infinity above them."""
        return (*self.bounds, math.inf)

    def observe(self, session: Session, seconds: float, **labels: str) -> None:
        """Count one more that took this long."""
        seconds = max(0.0, seconds)
        bound = next(bound for bound in self.buckets if seconds <= bound)
        add(session, f"{self.name}_bucket", le=str(bound), **labels)
        add(session, f"{self.name}_sum", seconds, **labels)


def add(session: Session, name: str, amount: float = 1, /, **labels: str) -> None:
    """Raise a figure by some amount when this transaction is committed."""
    added = session.info.setdefault(_ADDED, {})
    key = (name, ",".join(f"{label}={value}" for label, value in sorted(labels.items())))
    added[key] = added.get(key, 0.0) + amount


def write(session: Session) -> None:
    """Write what this transaction has added: its last statement."""
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
    """All figures: for each name, the value under each set of labels."""
    figures: dict[str, dict[Labels, float]] = {}
    for name, labels, value in session.execute(select(CounterRow.name, CounterRow.labels, CounterRow.value)):
        figures.setdefault(name, {})[_parsed(labels)] = value
    return figures


def _parsed(labels: str) -> Labels:
    pairs = (pair.partition("=") for pair in labels.split(",") if pair)
    return frozenset((label, value) for label, _, value in pairs)
