"""The quality card's words: a verdict in one line, and what would serve better."""

from collections.abc import Iterable, Sequence

import numpy as np

from core.domain.quality import Alternative, FrameQuality, MotionQuality, Number, QualityCard, SingleFrameTsne, percent

FOLLOWS, PARTLY = 0.7, 0.4
"""Correlations of motion from which on it is said to follow the representation, or to follow it in part."""
WELL_SHOWN = 0.75
"""Of the variance that a frame's best plane shows: below it, the verdict names the frames."""
BETTER = 0.05
"""So much more correlation is worth another layout."""
TRUST_LOSS = 0.01
MORE_KEPT = 0.1
"""So many more of the nearest neighbours are worth a closer look."""


def quality_card(
    motion: MotionQuality,
    frames: Sequence[FrameQuality],
    *,
    k: int,
    points: int,
    method: str,
    alternatives: Iterable[Alternative] = (),
    closer_look: SingleFrameTsne | None = None,
) -> QualityCard:
    """Put the card together; `method` is the film's own layout, in the user's words for it."""
    tried = tuple(alternatives)
    advice = (_advice(motion, frames, method, tried), _to_look_closer(closer_look, method))
    return QualityCard(
        verdict=verdict(motion, frames),
        advice=" ".join(said for said in advice if said) or None,
        k=k,
        points=points,
        motion=motion,
        frames=tuple(frames),
        alternatives=tried,
        closer_look=closer_look,
    )


def verdict(motion: MotionQuality, frames: Sequence[FrameQuality]) -> str:
    """One line: does motion follow, are neighbours kept, and where is little of the representation to be seen?"""
    said = [_of_motion(motion.pearson), _of_neighbors(frames), _of_variance(frames)]
    return "; ".join(part for part in said if part)


def is_better(own: tuple[Number, Number], other: tuple[Number, Number]) -> bool:
    """Whether another layout's (correlation, trustworthiness) are worth a change."""
    if None in (*own, *other):
        return False
    (r, trust), (other_r, other_trust) = np.array(own, dtype=float), np.array(other, dtype=float)
    return bool(other_r >= r + BETTER and other_trust >= trust - TRUST_LOSS)


def mean(values: Iterable[Number]) -> float:
    """Of those that are known; NaN where none is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else float("nan")


def _of_motion(r: Number) -> str:
    if r is None:
        return "nothing moves"
    follows = "follows" if r >= FOLLOWS else "partly follows" if r >= PARTLY else "hardly follows"
    return f"motion on the screen {follows} the representation: r = {r:.2f}"


def _of_neighbors(frames: Sequence[FrameQuality]) -> str:
    trust = mean(frame.trustworthiness for frame in frames)
    kept = mean(frame.neighbors_kept for frame in frames)
    return f"trustworthiness {trust:.2f}, {percent(kept)} of nearest neighbours kept" if np.isfinite(trust) else ""


def _of_variance(frames: Sequence[FrameQuality]) -> str:
    shares = np.array([np.nan if one.relative_variance is None else one.relative_variance for one in frames])
    if not np.isfinite(shares).any():
        return ""
    worst = int(np.nanargmin(shares))
    if shares[worst] >= WELL_SHOWN:
        return f"each frame shows {percent(shares[worst])} or more of what a plane can show of it"
    first = last = worst
    while first > 0 and shares[first - 1] < WELL_SHOWN:
        first -= 1
    while last + 1 < len(shares) and shares[last + 1] < WELL_SHOWN:
        last += 1
    share = percent(float(shares[first : last + 1].mean()))
    if first == last:
        return f"frame {first} shows {share} of what a plane can show of it"
    return f"frames {first}-{last} show {share} of what a plane can show of them"


def _advice(
    motion: MotionQuality, frames: Sequence[FrameQuality], method: str, tried: Sequence[Alternative]
) -> str | None:
    better = [one for one in tried if one.better]
    if not better:
        return None
    best = max(better, key=lambda one: one.pearson or 0.0)
    own = mean(frame.trustworthiness for frame in frames)
    return (
        f"{best.method} would serve this run better: r = {best.pearson:.2f} with trustworthiness "
        f"{best.trustworthiness:.2f}, where {method} has {motion.pearson:.2f} and {own:.2f}. Draw it anew with "
        f'{{"project": {{"method": "{best.method}"}}}}; no training is needed.'
    )


def _to_look_closer(look: SingleFrameTsne | None, method: str) -> str | None:
    if look is None or not look.better:
        return None
    return (
        f"To look at single frames, {look.method} keeps {percent(look.neighbors_kept or 0)} of nearest neighbours "
        f"(frame {look.frame}, {look.points} of its points), where {method} keeps {percent(look.kept_here or 0)}; "
        f'motion on its screen means little. Draw it anew with {{"project": {{"method": "{look.method}"}}}}.'
    )
