"""Class names beside the rows and above the columns of a grid, for 2 to hundreds of classes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.draw.colors import Color
from core.draw.picture import Text
from core.draw.text import Style, measure, shorten_each

SMALLEST = 8
"""Smallest legible size of letters, pixels. Chosen by hand; not measured."""
_MOST_LANES = 2
"""Largest number of lanes. If names are too close for one lane, neighbouring names alternate between lanes."""
_APART = 1.12
"""Smallest distance between two names, as a multiple of the size of the letters. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class AxisNames:
    """Names of classes along one side of a grid.

    Attributes:
        style: style of all names.
        shown: the names, shortened to the available width.
        lanes: number of lanes; neighbouring names alternate between them.
        every: distance between two named classes; 1 if all classes are named.
        room: width of one lane, pixels.
        upright: True if the names run upwards.
    """

    style: Style
    shown: tuple[str, ...]
    lanes: int
    every: int
    room: int
    upright: bool

    @property
    def depth(self) -> int:
        """The width of all lanes, pixels."""
        return self.lanes * self.room

    @property
    def note(self) -> str:
        """A note for the axis if not all classes are named; otherwise empty."""
        return "" if self.every == 1 else f", 1 in {self.every} named"

    @classmethod
    def plan(cls, names: Sequence[str], *, pitch: float, most: float, size: int, upright: bool) -> "AxisNames":
        """Return names that fit: with smaller letters first, then in two lanes, then not all names.

        Args:
            names: C names.
            pitch: distance between two classes, pixels.
            most: largest width of all lanes, pixels.
            size: largest size of the letters, pixels.
            upright: True if the names run upwards.
        """
        style = Style(max(SMALLEST, min(size, int(pitch / _APART))))
        needed = math.ceil(style.size * _APART / pitch)
        lanes, every = (needed, 1) if needed <= _MOST_LANES else (1, needed)
        gap = round(style.size * 0.6)
        shown = shorten_each(names, style, most / lanes - gap)
        room = round(max(measure(name, style) for name in shown)) + gap
        return cls(style, tuple(shown), lanes, every, room, upright)

    def placed(self, middles: Sequence[float], edge: int, color: Color, behind: Color) -> Iterator[Text]:
        """Return the names as shapes. Each name ends at the left or upper edge of the grid, at the middle of its class.

        Args:
            middles: C middles of the classes along the axis, pixels.
            edge: position of the grid's edge, pixels.
            color: colour of the letters.
            behind: colour of the background.
        """
        gap, drop = round(self.style.size * 0.4), self.style.size * 0.36
        for number, place in enumerate(range(0, len(self.shown), self.every)):
            end, along = edge - gap - number % self.lanes * self.room, middles[place] + drop
            if self.upright:
                yield Text(self.shown[place], along, end, self.style, color, behind, "left", upright=True)
            else:
                yield Text(self.shown[place], end, along, self.style, color, behind, "right")
