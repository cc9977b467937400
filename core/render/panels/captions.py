"""The captions of each frame: the highlights of that frame and of the frames shortly before it."""

from collections.abc import Sequence

from core.domain.quality import Highlight
from core.draw.text import Style, measure, printable

HELD_SECONDS = 2.0
"""The latest caption disappears after this time, or when the next caption appears. Chosen by hand; not measured."""
READ_SECONDS = 0.7
"""Minimum time of every caption, if the line has room for more than one. Chosen by hand; not measured.

Without a minimum, the most important captions of the digits and CIFAR-10 films were visible for one frame only.
"""
_BETWEEN = "  ·  "


def captions(highlights: Sequence[Highlight], n_frames: int, *, frames_a_second: float) -> list[tuple[str, ...]]:
    """List the captions of each frame.

    A caption stays for READ_SECONDS. The captions of the latest frame with highlights stay for HELD_SECONDS, or until
    the next highlight.

    Args:
        highlights: highlights of the film in any order; of one frame, the most important first.
        n_frames: T, number of checkpoints.
        frames_a_second: checkpoints per second of film.

    Returns:
        For each checkpoint its captions: first those of many images, then those of one image; within both, the latest
        first.
    """
    read, held = (max(1, round(seconds * frames_a_second)) for seconds in (READ_SECONDS, HELD_SECONDS))
    shown: list[tuple[str, ...]] = []
    for frame in range(n_frames):
        latest = max((one.frame for one in highlights if one.frame <= frame), default=-held)
        since = min(latest, frame - read + 1) if latest > frame - held else frame + 1
        told = (one for one in highlights if since <= one.frame <= frame)
        shown.append(tuple(one.caption for one in sorted(told, key=_weight)))
    return shown


def _weight(one: Highlight) -> tuple[bool, int]:
    """Sort key: highlights of many images before highlights of one image, then the latest first."""
    return one.image is not None, -one.frame


def in_one_line(told: Sequence[str], style: Style, width: float) -> str:
    """Join as many captions as fit into a line, and state how many are left out.

    Args:
        told: captions, most important first.
        style: style of the text.
        width: width of the line, pixels.

    Returns:
        The line; the first caption alone, at full length, if even that one does not fit.
    """
    texts = [printable(text) for text in told]
    for count in range(len(texts), 0, -1):
        more = f"{_BETWEEN}+{len(texts) - count} more" if count < len(texts) else ""
        line = _BETWEEN.join(texts[:count]) + more
        if measure(line, style) <= width:
            return line
    return texts[0] if texts else ""
