"""The numbers at the top of a frame: step, epoch and accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.domain.arrays import FrameFacts
from core.draw.canvas import TextColors, write
from core.draw.text import Style, measure
from core.render.page.run_page import Page

_STACKED_FROM = 40
"""Least height of a box with numbers below the titles, pixels at scale 1. Chosen by hand; not measured."""
_TITLES = ("Step", "Epoch", "Accuracy")
_UNKNOWN = "n/a"
_WHOLE_EPOCHS = 1000
"""From this epoch on, epochs have no decimal."""


@dataclass(frozen=True, slots=True)
class Stats:
    """Styles and widths of the three numbers; their positions are the same in all frames.

    Attributes:
        stacked: True if numbers are below their titles; False if numbers follow their titles on one line.
        label: style of the titles.
        value: style of the numbers.
        widths: maximum width of each title and number in this film, pixels, without gaps.
        total: last step.
    """

    stacked: bool
    label: Style
    value: Style
    widths: tuple[float, ...]
    total: int


def plan_stats(page: Page, embedded: Sequence[FrameFacts], *, total: int) -> Stats:
    """Choose the largest text size at which the numbers of every frame fit into the page's box.

    Args:
        page: layout of the frame; the numbers are in its `stats` box.
        embedded: T checkpoints.
        total: last step.

    Returns:
        Styles and widths. The smallest size, 8 pixels, is returned even if the numbers do not fit.
    """
    scale = page.scale
    stacked = page.stats.height > _STACKED_FROM * scale
    label = Style(max(9, round(11 * scale)))
    longest = [max(texts, key=len) for texts in zip(*(_texts(f, total) for f in embedded), strict=True)]
    for size in range(max(8, round((20 if stacked else 14) * scale)), 7, -1):
        value = Style(size, bold=True)
        stats = Stats(stacked, label, value, _widths(longest, label, value, stacked=stacked), total)
        if sum(stats.widths) + 2 * _gap(stats) <= page.stats.width:
            break
    return stats


def draw_stats(frame: NDArray[np.uint8], page: Page, stats: Stats, facts: FrameFacts, text_colors: TextColors) -> None:
    """Write step, epoch and accuracy of one frame; unmeasured numbers are written as n/a."""
    box, texts = page.stats, _texts(facts, stats.total)
    if stats.stacked:
        right = float(box.right)
        upper, lower = box.top + stats.label.size * 1.5, box.bottom - stats.value.size * 0.45
        for title, text, width in zip(_TITLES[::-1], texts[::-1], stats.widths[::-1], strict=True):
            write(frame, title, (right, upper), stats.label, text_colors.muted, align="right")
            write(frame, text, (right, lower), stats.value, text_colors.ink, align="right")
            right -= width + _gap(stats)
        return
    left, baseline = float(box.left), box.top + box.height * 0.7
    for title, text, width in zip(_TITLES, texts, stats.widths, strict=True):
        start = write(frame, title, (left, baseline), stats.label, text_colors.muted)
        write(frame, text, (start + _space(stats.label), baseline), stats.value, text_colors.ink)
        left += width + _gap(stats)


def _texts(facts: FrameFacts, total: int) -> tuple[str, str, str]:
    epoch = f"{facts.epoch:,.1f}" if facts.epoch < _WHOLE_EPOCHS else f"{facts.epoch:,.0f}"
    accuracy = f"{100.0 * facts.accuracy:.1f} %"
    return (
        f"{facts.step:,} / {total:,}",
        epoch if np.isfinite(facts.epoch) else _UNKNOWN,
        accuracy if np.isfinite(facts.accuracy) else _UNKNOWN,
    )


def _widths(longest: Sequence[str], label: Style, value: Style, *, stacked: bool) -> tuple[float, ...]:
    pairs = [(measure(t, label), measure(x, value)) for t, x in zip(_TITLES, longest, strict=True)]
    return tuple(max(pair) if stacked else sum(pair) + _space(label) for pair in pairs)


def _gap(stats: Stats) -> float:
    return stats.label.size * (2.2 if stats.stacked else 1.6)


def _space(label: Style) -> float:
    return label.size * 0.5
