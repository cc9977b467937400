"""Highlights as captions: what has just happened, while the viewer can still see it."""

from collections.abc import Sequence

from core.domain.quality import Highlight
from core.draw.text import Style, measure, printable

HELD_SECONDS = 2.0
READ_SECONDS = 0.7
"""A caption stays for so long where there is room beside what happens meanwhile: what goes sooner nobody has read."""
_BETWEEN = "  ·  "


def captions(highlights: Sequence[Highlight], n_frames: int, *, frames_a_second: float) -> list[tuple[str, ...]]:
    """Of each frame the captions to be shown: each for READ_SECONDS, the latest for HELD_SECONDS or until the next.

    Args:
        highlights: by frame, what matters most first.
        n_frames: T.
        frames_a_second: checkpoints that go by in a second of film.
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
    """What concerns many images comes before what concerns one, and the latest before the earlier."""
    return one.image is not None, -one.frame


def in_one_line(told: Sequence[str], style: Style, width: float) -> str:
    """As many captions as fit, and how many more there are."""
    texts = [printable(text) for text in told]
    for count in range(len(texts), 0, -1):
        more = f"{_BETWEEN}+{len(texts) - count} more" if count < len(texts) else ""
        line = _BETWEEN.join(texts[:count]) + more
        if measure(line, style) <= width:
            return line
    return texts[0] if texts else ""
