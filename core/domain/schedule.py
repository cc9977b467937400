"""The optimiser steps at which the probe set is embedded."""

import math
from collections.abc import Sequence
from typing import Literal

CANDIDATES = 4
"""For "drift": number of candidate steps divided by the number of captured steps. Chosen by hand; not measured."""


def capture_steps(
    steps: int, frames: int, *, spacing: Literal["even", "log"] = "even", through: Sequence[int] = ()
) -> tuple[int, ...]:
    """Return distinct rising steps from 0 (before the training) to `steps`.

    Args:
        steps: number of optimiser steps of the run, at least 1.
        frames: number of checkpoints, 2 to steps + 1.
        spacing: "even"; or "log": equal ratios of step + 1, so that the beginning gets more frames.
        through: steps that the result contains if there are enough frames; the nearest steps move there.

    Returns:
        `frames` steps.

    >>> capture_steps(300, 4)
    (0, 100, 200, 300)
    >>> capture_steps(300, 6, spacing="log")
    (0, 2, 9, 30, 95, 300)
    >>> capture_steps(300, 4, through=[120])
    (0, 120, 200, 300)
    """
    return _through(_spaced(steps, frames, spacing), through)


def _through(spaced: tuple[int, ...], through: Sequence[int]) -> tuple[int, ...]:
    """Move steps to the steps of `through`. Each takes the place of the nearest step that is not fixed."""
    fixed = {spaced[0], spaced[-1]} | (set(through) & set(spaced))
    chosen = set(spaced)
    for step in through:
        free = chosen - fixed
        if step not in chosen and free:
            chosen.remove(min(free, key=lambda other: (abs(other - step), other)))
            chosen.add(step)
        fixed.add(step)
    return tuple(sorted(chosen))


def _spaced(steps: int, frames: int, spacing: Literal["even", "log"]) -> tuple[int, ...]:
    last = frames - 1
    if spacing == "even":
        return tuple((2 * steps * index + last) // (2 * last) for index in range(frames))
    wanted = [math.expm1(index / last * math.log1p(steps)) for index in range(frames)]
    chosen: list[int] = []
    for index, step in enumerate(wanted):
        earliest = chosen[-1] + 1 if chosen else 0
        latest = steps - (last - index)
        chosen.append(min(max(round(step), earliest), latest))
    return tuple(chosen)


def candidate_steps(steps: int, frames: int, *, through: Sequence[int] = ()) -> tuple[int, ...]:
    """Return the candidates of adaptive capture: dense even steps, the steps of "log", and the steps of `through`.

    Args:
        steps: number of optimiser steps of the run.
        frames: number of checkpoints that are captured.
        through: steps that are always candidates.

    >>> capture_steps(300, 4, spacing="log")
    (0, 6, 44, 300)
    >>> {6, 44} < set(candidate_steps(300, 4))
    True
    """
    dense = capture_steps(steps, min(steps + 1, CANDIDATES * (frames - 1) + 1))
    return tuple(sorted({*dense, *capture_steps(steps, frames, spacing="log"), *through}))
