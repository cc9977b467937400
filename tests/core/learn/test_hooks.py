"""When a training calls its hooks."""

from pathlib import Path

import pytest

from core.domain.spec import TrainSpec
from core.learn.fine_tune import fine_tune
from core.learn.hooks import Checkpoint, HookList, TrainingHook
from core.learn.training_state import LiveState, StoredState
from tests.core.learn.small_training import backbone, blobs, weights

SPEC = TrainSpec(steps=30, batch_size=8)


class Recording(TrainingHook):
    """Records each call except on_step. It skips the steps of `skipped`, ends after `ends_at`, and pauses after
    `pauses`.
    """

    def __init__(
        self, *, skipped: tuple[int, ...] = (), ends_at: int | None = None, pauses: tuple[int, ...] = ()
    ) -> None:
        self.calls: list[tuple[object, ...]] = []
        self._step, self._skipped, self._ends_at, self._pauses = -1, skipped, ends_at, pauses

    @property
    def ended(self) -> bool:
        return self._step == self._ends_at

    def on_step(self, step: int) -> None:
        self._step = step

    def select(self, step: int, index: int) -> int | None:
        self.calls.append(("select", step, index))
        return None if step in self._skipped else index

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.calls.append(("checkpoint", checkpoint.step))

    def wants_pause(self) -> bool:
        return self._step in self._pauses

    def on_pause(self, state: LiveState) -> None:
        self.calls.append(("pause", state.step))

    def save(self, folder: Path) -> None:
        (folder / "steps.txt").write_text(str(self._step))

    def restore(self, folder: Path) -> None:
        self.calls.append(("restore", (folder / "steps.txt").read_text()))


def train(*hooks: TrainingHook, **options):
    model = backbone(width=16, layers=1)
    found = [
        one.step for one in fine_tune(model, blobs(8), spec=SPEC, capture_steps=(0, 4, 30), hooks=hooks, **options)
    ]
    return found, model


def test_calls__come_in_this_order() -> None:
    hook = Recording(skipped=(4,), pauses=(7,))
    assert train(hook)[0] == [0, 30]
    assert hook.calls == [
        *[("select", 0, 0), ("checkpoint", 0), ("pause", 0), ("select", 4, 1), ("pause", 7), ("pause", 25)],
        *[("select", 30, 2), ("checkpoint", 30), ("pause", 30)],
    ]


@pytest.mark.parametrize(("at", "steps"), [(0, [0]), (4, [0, 4]), (9, [0, 4])])
def test_ended__is_called_before_each_step(at: int, steps: list[int]) -> None:
    hook = Recording(ends_at=at)
    assert train(hook)[0] == steps
    assert hook.calls[-1] == ("pause", steps[-1])


def test_state__is_saved_with_the_hooks_and_restores_them(tmp_path: Path) -> None:
    class Saver(TrainingHook):
        def on_pause(self, state: LiveState) -> None:
            state.save(tmp_path / str(state.step))

    train(Recording(), Saver())
    resumed = Recording()
    assert train(resumed, resume_from=StoredState.load(tmp_path / "25"))[0] == [30]
    assert resumed.calls == [("restore", "25"), ("select", 30, 2), ("checkpoint", 30), ("pause", 30)]


def test_hooks__do_not_change_the_training() -> None:
    (_, plain), (_, watched) = train(), train(Recording(skipped=(4,), pauses=(7, 8)))
    assert weights(plain).equal(weights(watched))


def test_select__passes_the_index_on_until_one_gives_none() -> None:
    class Renumbering(TrainingHook):
        def select(self, step: int, index: int) -> int | None:
            return index + step

    last = Recording(skipped=(5,))
    hooks = HookList([Renumbering(), last, Renumbering()])
    assert hooks.select(3, 1) == 7
    assert hooks.select(5, 1) is None
    assert last.calls == [("select", 3, 4), ("select", 5, 6)]
