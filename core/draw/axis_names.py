"""Names of rows beside a grid and of columns above it, of 2 to hundreds of classes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from core.draw.colors import Color
from core.draw.picture import Text
from core.draw.text import Style, measure, shorten_each

SMALLEST = 8
"""Size of letters that can just be read, pixels."""
_MOST_LANES = 2
"""Names of neighbouring classes take turns in so many columns where they are too close for one."""
_APART = 1.12
"""Between two names, as a multiple of the letters' size."""


@dataclass(frozen=True, slots=True)
class AxisNames:
    """Names of classes along one side of a grid.

    Attributes:
        style: of all of them.
        shown: the names, cut to the room that there is.
        lanes: neighbours take turns in so many.
        every: every so many classes are named.
        room: pixels of one lane.
        upright: whether they run upwards.
    """

    style: Style
    shown: tuple[str, ...]
    lanes: int
    every: int
    room: int
    upright: bool

    @property
    def depth(self) -> int:
        """Pixels of all lanes."""
        return self.lanes * self.room

    @property
    def note(self) -> str:
        """What is to be said where not every class is named."""
        return "" if self.every == 1 else f", 1 in {self.every} named"

    @classmethod
    def plan(cls, names: Sequence[str], *, pitch: float, most: float, size: int, upright: bool) -> "AxisNames":
        """What fits: in smaller letters first, then in two lanes, then not every name.

        Args:
            names: C names.
            pitch: pixels between two classes.
            most: pixels that all lanes may take.
            size: of letters where there is room.
            upright: whether names run upwards, beside each other.
        """
        style = Style(max(SMALLEST, min(size, int(pitch / _APART))))
        needed = math.ceil(style.size * _APART / pitch)
        lanes, every = (needed, 1) if needed <= _MOST_LANES else (1, needed)
        gap = round(style.size * 0.6)
        shown = shorten_each(names, style, most / lanes - gap)
        room = round(max(measure(name, style) for name in shown)) + gap
        return cls(style, tuple(shown), lanes, every, room, upright)

    def placed(self, middles: Sequence[float], edge: int, color: Color, behind: Color) -> Iterator[Text]:
        """The names before a grid: they end at its left or upper edge, each at the middle of its class."""
        gap, drop = round(self.style.size * 0.4), self.style.size * 0.36
        for number, place in enumerate(range(0, len(self.shown), self.every)):
            end, along = edge - gap - number % self.lanes * self.room, middles[place] + drop
            if self.upright:
                yield Text(self.shown[place], along, end, self.style, color, behind, "left", upright=True)
            else:
                yield Text(self.shown[place], end, along, self.style, color, behind, "right")
