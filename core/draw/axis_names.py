"""Class names along the rows and columns of a grid, for 2 to hundreds of classes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.draw.colors import Color
from core.draw.picture import Text
from core.draw.text import Style, measure, shorten_each

SMALLEST = 8
"""Minimum size of readable text, pixels. Chosen by hand; not measured."""
_MOST_LANES = 2
"""Maximum number of lanes. Names too close for one lane alternate between two. Chosen by hand; not measured."""
_APART = 1.12
"""Minimum distance of two names in a lane, as a multiple of the text size. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class AxisNames:
    """Class names along one side of a grid.

    Attributes:
        style: style of all names.
        shown: names, shortened to the width of a lane.
        lanes: number of lanes; neighbouring names alternate between them.
        every: n if only every n-th class has a name; 1 if every class has one.
        room: width of a lane, pixels.
        upright: True for text that runs upwards.
    """

    style: Style
    shown: tuple[str, ...]
    lanes: int
    every: int
    room: int
    upright: bool

    @property
    def depth(self) -> int:
        """Width of all lanes, pixels."""
        return self.lanes * self.room

    @property
    def note(self) -> str:
        """Suffix of the axis label that states which fraction of the classes has a name; empty if all have one."""
        return "" if self.every == 1 else f", 1 in {self.every} named"

    @classmethod
    def plan(cls, names: Sequence[str], *, pitch: float, most: float, size: int, upright: bool) -> "AxisNames":
        """Choose text size, lanes and names.

        If names are too close, the text becomes smaller; then names alternate between two lanes; then classes are left
        without a name.

        Args:
            names: C names.
            pitch: distance of two classes, pixels.
            most: maximum width of all lanes, pixels.
            size: preferred text size, pixels.
            upright: True for text that runs upwards.

        Returns:
            The names.
        """
        style = Style(max(SMALLEST, min(size, int(pitch / _APART))))
        needed = math.ceil(style.size * _APART / pitch)
        lanes, every = (needed, 1) if needed <= _MOST_LANES else (1, needed)
        gap = round(style.size * 0.6)
        shown = shorten_each(names, style, most / lanes - gap)
        room = round(max(measure(name, style) for name in shown)) + gap
        return cls(style, tuple(shown), lanes, every, room, upright)

    def placed(self, middles: Sequence[float], edge: int, color: Color, behind: Color) -> Iterator[Text]:
        """Place the names left of a grid or above it.

        Args:
            middles: C pixel positions of the classes' centres.
            edge: pixel column of the grid's left edge, or pixel row of its upper edge if the text runs upwards.
            color: colour of the text.
            behind: colour of the background.

        Yields:
            The placed names.
        """
        gap, drop = round(self.style.size * 0.4), self.style.size * 0.36
        for number, place in enumerate(range(0, len(self.shown), self.every)):
            end, along = edge - gap - number % self.lanes * self.room, middles[place] + drop
            if self.upright:
                yield Text(self.shown[place], along, end, self.style, color, behind, "left", upright=True)
            else:
                yield Text(self.shown[place], end, along, self.style, color, behind, "right")
