"""The revision of a hub dataset that a stage loads, and the name under which the revision is pinned."""

from types import SimpleNamespace

import pytest

from core.domain.ids import new_id
from core.domain.plan import build
from core.domain.spec import CaptureSpec, DatasetFacts, PinnedSources, RunSpec, TrainSpec
from core.learn import datasets as opened
from core.store.queries import datasets, runs
from worker import child
from worker.loading import open_source

COMMIT, OTHER = "a" * 40, "b" * 40
CHOSEN = "hub:owner/name?evaluation=test"


def spec(digest):
    return RunSpec(
        name="chosen",
        dataset=CHOSEN,
        train=TrainSpec(steps=2),
        capture=CaptureSpec(frames=2),
        pinned=PinnedSources(dataset_digest=digest),
    )


@pytest.mark.parametrize(
    ("pins", "digest", "expected"),
    [
        ({}, "hub:owner/name@unresolved", "hub:owner/name@unresolved"),
        ({}, f"hub:owner/name@{COMMIT}", f"hub:owner/name@{COMMIT}"),
        ({"hub:owner/name": OTHER}, "hub:owner/name@unresolved", OTHER),
        ({CHOSEN: OTHER}, f"hub:owner/name@{COMMIT}", f"hub:owner/name@{COMMIT}"),
    ],
)
def test_open_source__pinned_by_id_alone(monkeypatch, pins, digest, expected):
    asked, pinned = [], []

    def load(dataset, *, expected_digest, **_):
        asked.append((dataset, expected_digest))
        facts = DatasetFacts(digest=COMMIT, class_names=("a", "b"), train_size=9, evaluation_size=3)
        return SimpleNamespace(facts=facts)

    monkeypatch.setattr(opened, "open_source", load)
    settings = SimpleNamespace(allowed_datasets=("owner/name",))
    ctx = SimpleNamespace(
        spec=spec(digest), pins=pins, dataset=None, settings=settings, pin=lambda *p: pinned.append(p)
    )
    open_source(ctx)
    assert asked == [(CHOSEN, expected)]
    assert pinned == [("hub:owner/name", COMMIT)]


def test_job__has_the_commit_of_the_id(make, database, monkeypatch):
    supervisor, jobs, start = make(), [], child.Child.start
    chosen = spec("hub:owner/name@unresolved")
    with database.writing() as session:
        datasets.pin_revision(session, "hub:owner/name", COMMIT)
        runs.accept(session, new_id("run"), chosen, build(chosen))
    monkeypatch.setattr(child.Child, "start", lambda job: jobs.append(job) or start(job))
    supervisor.wake()
    assert [job.pins for job in jobs] == [{"hub:owner/name": COMMIT}] * len(jobs)
    assert jobs
