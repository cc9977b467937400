"""Texts of the quality card: the verdict in one line, and the advice to use another layout."""

from collections.abc import Iterable, Sequence

import numpy as np

from core.domain.quality import Alternative, FrameQuality, MotionQuality, Number, QualityCard, SingleFrameTsne, percent

FOLLOWS, PARTLY = 0.7, 0.4
"""Least Pearson correlations of motion for the words "follows" and "partly follows". Chosen by hand; not measured."""
WELL_SHOWN = 0.75
"""The verdict names frames whose layout has less than this fraction of the variance of the frame's best plane. Chosen
by hand; not measured."""
BETTER = 0.05
"""Least gain in Pearson correlation of motion for which another layout is recommended. Chosen by hand; not measured."""
TRUST_LOSS = 0.01
"""Largest loss of trustworthiness at which another layout is recommended. Chosen by hand; not measured."""
MORE_KEPT = 0.1
"""Least gain in k-NN recall for which t-SNE is recommended for single frames. Chosen by hand; not measured."""


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
    """Assemble the quality card of a film.

    Args:
        motion: measures over the film.
        frames: measures of each frame, T of them.
        k: number of neighbours in a neighbourhood.
        points: number of evaluated points.
        method: name of the film's layout for readers, for example "pca, procrustes".
        alternatives: measures of other layouts of the same frames.
        closer_look: k-NN recall of t-SNE in one frame; None if it was not measured.
    """
    tried = tuple(alternatives)
    advice = (_advice(motion, frames, method, tried), _single_frame_advice(closer_look, method))
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
    """Summarise a film in one line: correlation of motion, neighbourhood preservation, and variance of the layout.

    Neighbourhood preservation is reported as mean trustworthiness and mean k-NN recall.

    Args:
        motion: measures over the film.
        frames: measures of each frame, T of them.
    """
    said = [_of_motion(motion.pearson), _of_neighbors(frames), _of_variance(frames)]
    return "; ".join(part for part in said if part)


def is_better(own: tuple[Number, Number], other: tuple[Number, Number]) -> bool:
    """True if another layout is worth recommending.

    Args:
        own: Pearson correlation of motion and mean trustworthiness of the film's layout.
        other: the same two numbers of the other layout.

    Returns:
        True if the correlation is higher by at least BETTER and the trustworthiness is lower by at most TRUST_LOSS.
        False if a number is None.
    """
    if None in (*own, *other):
        return False
    (r, trust), (other_r, other_trust) = np.array(own, dtype=float), np.array(other, dtype=float)
    return bool(other_r >= r + BETTER and other_trust >= trust - TRUST_LOSS)


def mean(values: Iterable[Number]) -> float:
    """Mean of the values that are not None; NaN if all values are None."""
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
    fractions = np.array([np.nan if one.relative_variance is None else one.relative_variance for one in frames])
    if not np.isfinite(fractions).any():
        return ""
    worst = int(np.nanargmin(fractions))
    if fractions[worst] >= WELL_SHOWN:
        return f"each frame shows {percent(fractions[worst])} or more of what a plane can show of it"
    first = last = worst
    while first > 0 and fractions[first - 1] < WELL_SHOWN:
        first -= 1
    while last + 1 < len(fractions) and fractions[last + 1] < WELL_SHOWN:
        last += 1
    fraction = percent(float(fractions[first : last + 1].mean()))
    if first == last:
        return f"frame {first} shows {fraction} of what a plane can show of it"
    return f"frames {first}-{last} show {fraction} of what a plane can show of them"


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
        f"{best.trustworthiness:.2f}, where {method} has {motion.pearson:.2f} and {own:.2f}. Redraw with "
        f'{{"project": {{"method": "{best.method}"}}}}; no training is needed.'
    )


def _single_frame_advice(tsne: SingleFrameTsne | None, method: str) -> str | None:
    if tsne is None or not tsne.better:
        return None
    return (
        f"For single frames, {tsne.method} keeps {percent(tsne.neighbors_kept or 0)} of nearest neighbours "
        f"(frame {tsne.frame}, {tsne.points} of its points), where {method} keeps {percent(tsne.kept_here or 0)}; "
        f'motion between t-SNE frames means little. Redraw with {{"project": {{"method": "{tsne.method}"}}}}.'
    )
