"""Datasets of a tenant. On PostgreSQL, no dataset is deleted while a run on it is accepted."""

import threading

import pytest

from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, PinnedSources, RunSpec, TrainSpec
from core.errors import ConflictError, NotFoundError
from core.store.objects.stored import Stored
from core.store.queries import datasets, runs


@pytest.fixture
def dataset(database):
    with database.writing() as session:
        return datasets.add(
            session, new_id("ds"), tenant="lab", name="pets", report={}, stored=Stored("datasets/x", {})
        ).id


def accept(session, dataset, tenant="lab"):
    spec = RunSpec(
        name="run",
        dataset=dataset,
        train=TrainSpec(steps=4),
        capture=CaptureSpec(frames=2),
        pinned=PinnedSources(dataset_digest="d"),
    )
    return runs.accept(session, new_id("run"), spec, build(spec), tenant=tenant)[0].id


def test_get__of_its_tenant_only(database, dataset):
    with database.reading() as session:
        assert datasets.get(session, dataset, tenant="lab").name == "pets"
        with pytest.raises(NotFoundError):
            datasets.get(session, dataset, tenant="other")
        assert [row.id for row in datasets.every(session, tenant="lab")] == [dataset]
        assert datasets.every(session, tenant="other") == []
        assert (datasets.count(session, tenant="lab"), datasets.count(session, tenant="other")) == (1, 0)


def test_remove__not_while_a_run_reads_it(database, dataset):
    with database.writing() as session:
        run_id = accept(session, dataset)
        accept(session, "digits")
        with pytest.raises(ConflictError, match=run_id):
            datasets.remove(session, dataset, tenant="lab")
        runs.cancel(session, run_id)
        datasets.remove(session, dataset, tenant="lab")
    with database.reading() as session, pytest.raises(NotFoundError):
        datasets.get(session, dataset, tenant="lab")


def test_remove__of_its_tenant_only(database, dataset):
    with database.writing() as session, pytest.raises(NotFoundError):
        datasets.remove(session, dataset, tenant="other")


def start(function):
    """Run in a thread. After the thread has ended, the list contains the result or the error."""
    answers = []

    def work():
        try:
            answers.append(function())
        except (ConflictError, NotFoundError) as error:
            answers.append(type(error))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, answers


def test_delete_waits_for_a_run_that_is_being_accepted(database, dataset):
    def delete():
        with database.writing() as session:
            datasets.remove(session, dataset, tenant="lab")

    with database.writing() as session:
        datasets.get(session, dataset, tenant="lab", hold="to_read")
        thread, answers = start(delete)
        thread.join(0.3)
        assert answers == [], "it waits for our commit"
        accept(session, dataset)
    thread.join()
    assert answers == [ConflictError]


def test_a_run_waits_for_a_delete_and_is_not_accepted(database, dataset):
    def submit():
        with database.writing() as session:
            datasets.get(session, dataset, tenant="lab", hold="to_read")
            return accept(session, dataset)

    with database.writing() as session:
        datasets.remove(session, dataset, tenant="lab")
        session.flush()
        thread, answers = start(submit)
        thread.join(0.3)
        assert answers == [], "it waits for our commit"
    thread.join()
    assert answers == [NotFoundError]


@pytest.mark.parametrize("database", [pytest.param("postgresql", marks=pytest.mark.services)], indirect=True)
def test_runs_that_are_accepted_together_do_not_wait_for_each_other(database, dataset):
    with database.writing() as first:
        datasets.get(first, dataset, tenant="lab", hold="to_read")
        with database.writing() as second:
            assert datasets.get(second, dataset, tenant="lab", hold="to_read").id == dataset
