from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event

from core.store.database import counters

KINDS = counters.Counter("kinds_total", "Kinds")
SECONDS = counters.Histogram("some_seconds", "Some", (0.5, 1, 10))


def read(database):
    with database.reading() as session:
        return {
            name: {tuple(sorted(labels)): value for labels, value in values.items()}
            for name, values in counters.read(session).items()
        }


def test_add__sums_by_labels(database):
    for kind in ("b", "a"):
        with database.writing() as session:
            KINDS.add(session, kind=kind, colour="red")
            KINDS.add(session, colour="red", kind="a")
            counters.add(session, "plain_total", 2.5)
    assert read(database) == {
        "kinds_total": {(("colour", "red"), ("kind", "a")): 3, (("colour", "red"), ("kind", "b")): 1},
        "plain_total": {(): 5},
    }


def test_add__a_transaction_that_fails_has_counted_nothing(database):
    def fail():
        with database.writing() as session:
            KINDS.add(session, kind="a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert read(database) == {}


def test_add__one_statement_a_transaction(database):
    said = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    with database.writing() as session:
        for kind in "abc":
            KINDS.add(session, kind=kind)
            SECONDS.observe(session, 0.2)
    assert sum("counters" in statement for statement in said) == 1
    said.clear()
    with database.writing():
        pass
    assert not any("counters" in statement for statement in said)


def test_observe__a_bucket_and_the_sum(database):
    with database.writing() as session:
        for seconds in (-1, 0.5, 0.6, 1, 10.5):
            SECONDS.observe(session, seconds)
    assert read(database) == {
        "some_seconds_bucket": {(("le", "0.5"),): 2, (("le", "1"),): 2, (("le", "inf"),): 1},
        "some_seconds_sum": {(): pytest.approx(12.6)},
    }


def test_add__many_at_once_lose_nothing(database):
    """Each thread has another order; there is no deadlock."""

    def count(number):
        with database.writing() as session:
            for kind in sorted("abcd", reverse=number % 2):
                KINDS.add(session, kind=kind)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(80)))
    assert read(database)["kinds_total"] == {(("kind", kind),): 80 for kind in "abcd"}
