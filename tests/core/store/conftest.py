import pytest

from core.domain.ids import new_id
from core.domain.plan import SKIPPED, build
from core.domain.spec import CaptureSpec, EarlyStopping, PinnedSources, RunSpec, TrainSpec
from core.store.engine import claims, publishing
from core.store.engine.sweep import sweep
from core.store.objects.stored import Stored
from core.store.queries import runs


def stored(claim, key):
    return Stored(f"objects/{key[:2]}/{key}-{claim.run_id}-{claim.token}", {"file": {"size": 1, "sha256": "0"}})


CAPTURED_BY_DRIFT = (0, 2, 10)
"""Steps that a training of three frames has chosen."""


class Engine:
    """The functions of the store, each in its own transaction, as API and worker call them."""

    def __init__(self, database):
        self.database = database

    def submit(
        self, *, mode="inline", frames=3, seed=0, name="run", fps=12, keep_weights="none", spacing="even", patience=None
    ):
        spec = RunSpec(
            name=name,
            dataset="digits",
            train=TrainSpec(
                steps=10,
                seed=seed,
                keep_weights=keep_weights,
                early_stopping=patience and EarlyStopping(patience=patience),
            ),
            capture=CaptureSpec(frames=frames, mode=mode, spacing=spacing),
            pinned=PinnedSources(dataset_digest="d"),
        )
        spec = spec.model_copy(update={"render": spec.render.model_copy(update={"fps": fps})})
        with self.database.writing() as session:
            run, wake_ups = runs.accept(session, new_id("run"), spec, build(spec))
        return run.id, [wake_up.task_id for wake_up in wake_ups]

    def sweep(self, **options):
        """Return the wake-ups that a sweep sends."""
        limits = {"max_attempts": 3, "deadline_seconds": 3600.0}
        return sweep(self.database, **(limits | options))

    def call(self, function, *args, **options):
        with self.database.writing() as session:
            return function(session, *args, **options)

    def claim(self, run_id, task_id, *, worker="w1", lease=30.0):
        return self.call(claims.claim, run_id, task_id, worker_id=worker, lease_seconds=lease)

    def part(self, claim, index, *, skipped=False):
        part = claim.task.parts[index]
        facts = {"frame": index, "step": CAPTURED_BY_DRIFT[index] if part.step is None else part.step}
        if skipped:
            facts = {"frame": index, SKIPPED: True}
        published = self.call(publishing.publish_part, claim, part, stored(claim, part.key), facts)
        return [wake_up.task_id for wake_up in published.wake_ups]

    def state(self, claim, step):
        """Return the locations that are not needed after this state is stored."""
        where = Stored(f"objects/state-{claim.token}-{step}", {})
        return list(self.call(publishing.publish_state, claim, where, step=step).unneeded)

    def finish(self, claim):
        published = self.call(publishing.finish, claim, stored(claim, claim.task.key), {})
        return [wake_up.task_id for wake_up in published.wake_ups], list(published.unneeded)

    def run(self, run_id):
        with self.database.reading() as session:
            return runs.get(session, run_id)

    def statuses(self, run_id):
        with self.database.reading() as session:
            from core.store.engine import lifecycle

            return {key: str(row.status) for key, row in lifecycle.tasks_of(session, run_id).items()}

    def events(self, run_id):
        with self.database.reading() as session:
            return [(event.seq, event.type) for event in runs.events(session, run_id, after=0, limit=1000)]

    def film(self, run_id):
        """Run all tasks of the run, like a worker without failures."""
        for task_id in (
            "fine_tune",
            *[s for s in self.statuses(run_id) if s.startswith("embed")],
            "score",
            "project",
            "measure",
            "render",
        ):
            claim = self.claim(run_id, task_id)
            if claim is None:
                continue
            for index in range(len(claim.task.parts)):
                self.part(claim, index)
            self.finish(claim)


@pytest.fixture
def engine(database):
    return Engine(database)
