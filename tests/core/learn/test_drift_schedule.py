"""The selection of candidates by their movements."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.phases import learning_rate_factor
from core.learn.drift_schedule import DriftSchedule


def choose(moved: Sequence[float], frames: int, *, rates: Sequence[float] | None = None) -> list[int]:
    schedule = DriftSchedule([1.0] * len(moved) if rates is None else rates, frames)
    for one in moved:
        schedule.selects(one)
    return schedule.selected


def longest(moved: Sequence[float], captured: Sequence[int]) -> float:
    """Return the longest movement between two captures, divided by the mean. 1 is best."""
    way = np.concatenate([[0.0], np.cumsum(moved)])[list(captured)]
    return float(np.diff(way).max() / np.diff(way).mean())


movements = st.lists(st.floats(0, 1e6), min_size=1, max_size=80)


@given(movements, st.data())
def test_select__the_requested_number_with_the_first_and_the_last(moved: list[float], data: st.DataObject) -> None:
    frames = data.draw(st.integers(2, len(moved) + 1))
    captured = choose(moved, frames)
    assert (captured[0], captured[-1], len(captured)) == (0, len(moved), frames)
    assert all(before < after for before, after in pairwise(captured))


@given(movements, st.data())
def test_a_schedule_that_is_restored_chooses_as_one_that_was_never_stopped(
    moved: list[float], data: st.DataObject
) -> None:
    frames, stop = data.draw(st.integers(2, len(moved) + 1)), data.draw(st.integers(0, len(moved)))
    first, second = DriftSchedule([1.0] * len(moved), frames), DriftSchedule([1.0] * len(moved), frames)
    for one in moved[:stop]:
        first.selects(one)
    second.restore(first.movements, first.selected)
    for one in moved[stop:]:
        second.selects(one)
    assert second.selected == choose(moved, frames)


FADING = [learning_rate_factor(step, steps=240, warmup=0.1) for step in range(1, 241)]


@pytest.mark.parametrize(
    ("moved", "rates"),
    [
        pytest.param((1 / (1 + np.arange(240) / 10)).tolist(), None, id="a burst that dies away"),
        pytest.param(FADING, FADING, id="a movement that follows the learning rate"),
        pytest.param(
            (0.05 + np.exp(-0.5 * ((np.arange(240) - 90) / 12) ** 2)).tolist(), None, id="a jump in the middle"
        ),
    ],
)
def test_select__large_movements_get_more_frames(moved: list[float], rates: list[float] | None) -> None:
    even = np.linspace(0, 240, 41).round().astype(int).tolist()
    assert longest(moved, choose(moved, 41, rates=rates)) < 0.85 * longest(moved, even)


def test_a_plateau_gets_few_frames_but_never_none() -> None:
    rates = [1.0] * 120 + [0.001] * 120
    on_plateau = sum(index > 120 for index in choose(rates, 41, rates=rates))
    assert 4 <= on_plateau <= 12  # with even spacing it would have 20


def test_select__late_unexpected_movement_gets_frames() -> None:
    moved = [1.0] * 60 + [0.001] * 120 + [1.0] * 60
    captured = choose(moved, 41, rates=[1.0] * 60 + [0.001] * 180)
    assert sum(index > 180 for index in captured) >= 3


def test_select__a_span_without_movement_gets_few_frames() -> None:
    captured = choose([0.0] * 30 + [1.0] * 210, 41)
    assert sum(index <= 30 for index in captured) <= 3
    assert choose([0.0] * 20, 5)[-1] == 20


@pytest.mark.parametrize("moves", [0.0, 1.0])
def test_select__required_candidates_are_always_selected(moves: float) -> None:
    schedule = DriftSchedule([1.0] * 20, 5, always=[7, 13])
    taken = [0] + [number for number in range(1, 21) if schedule.selects(moves)]
    assert {0, 7, 13, 20} <= set(taken)
    assert len(taken) == 5 == len(schedule.selected)


def test_select__too_few_frames_for_the_required_candidates() -> None:
    with pytest.raises(ValueError, match="are fewer than candidate 0"):
        DriftSchedule([1.0] * 20, 3, always=[7, 13])
    exact = DriftSchedule([1.0] * 20, 4, always=[7, 13])
    assert [number for number in range(1, 21) if exact.selects(1.0)] == [7, 13, 20]
