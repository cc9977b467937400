"""The quality card in the film: four measures of the projection's fidelity, as a panel or in one line."""

import numpy as np
from numpy.typing import NDArray

from core.domain.quality import Number, QualityCard, percent
from core.draw.canvas import TextColors, write
from core.draw.text import Style, shorten
from core.render.page.run_page import Page

_PANEL_FROM = 48
"""Minimum height of the panel, in pixels at scale 1; a lower box has one line of text. Chosen by hand; not measured."""


def draw_quality(frame: NDArray[np.uint8], page: Page, text_colors: TextColors, card: QualityCard, index: int) -> None:
    """Write the film's motion correlation, and three measures of one frame.

    The measures are trustworthiness, the fraction of nearest neighbours kept, and the shown variance relative to the
    frame's own best plane. Unknown values are written as "-".

    Args:
        frame: (H, W) uint8 index image, changed in place.
        page: layout of the frame; the numbers are in its `card` box.
        text_colors: palette indices of text.
        card: quality card of the film.
        index: checkpoint, from 0.
    """
    box, style = page.card, Style(max(9, round(11 * page.scale)))
    one = card.frames[index]
    rows = (
        ("motion follows, r", "r", _number(card.motion.pearson)),
        ("trustworthiness", "trust", _number(one.trustworthiness)),
        ("neighbours kept", "kept", _percent(one.neighbors_kept)),
        ("own variance shown", "shown", _percent(one.relative_variance)),
    )
    if box.height < _PANEL_FROM * page.scale:
        text = " · ".join(f"{short} {value}" for _, short, value in rows)
        write(frame, shorten(text, style, box.width), (box.left, box.top + style.size), style, text_colors.muted)
        return
    baseline = box.top + style.size
    write(frame, "How far to trust it", (box.left, baseline), style, text_colors.muted)
    step = min(style.size * 1.75, (box.height - style.size * 1.6) / len(rows))
    for number, (name, _, value) in enumerate(rows, start=1):
        y = baseline + number * step + style.size * 0.35
        room = box.width - style.size * 4
        write(frame, shorten(name, style, room), (box.left, y), style, text_colors.ink)
        write(frame, value, (box.right, y), Style(style.size, bold=True), text_colors.ink, align="right")


def _number(value: Number) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: Number) -> str:
    return "-" if value is None else percent(value)
