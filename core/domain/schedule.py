"""At which optimiser steps the probe set is embedded."""

import math
from collections.abc import Sequence
from typing import Literal

CANDIDATES = 4
"""For "drift": so many times as many steps are looked at as are captured."""


def capture_steps(
    steps: int, frames: int, *, spacing: Literal["even", "log"] = "even", through: Sequence[int] = ()
) -> tuple[int, ...]:
    """Distinct, rising steps from 0 (before any training) to `steps`.

    Args:
        steps: optimiser steps of the run, at least 1.
        frames: how many checkpoints, 2 to steps + 1.
        spacing: "even", or "log": equal ratios of step + 1, so that early learning gets more frames.
        through: steps that are among them if there are frames enough; the nearest ones move there.

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
    """The same number of steps, these among them: each takes the place of the nearest that is free."""
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
    """Candidates of adaptive capture: the even steps, CANDIDATES times as dense, the early ones of "log", and these.

    >>> capture_steps(300, 4, spacing="log")
    (0, 6, 44, 300)
    >>> {6, 44} < set(candidate_steps(300, 4))
    True
    """
    dense = capture_steps(steps, min(steps + 1, CANDIDATES * (frames - 1) + 1))
    return tuple(sorted({*dense, *capture_steps(steps, frames, spacing="log"), *through}))
