"""Rectangles of pixels, and the scale of text and marks."""

from dataclasses import dataclass

_DESIGN_SIDE = 960
_SMALL = 480
"""Below it letters and marks shrink further, to what can just be read."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First pixel column behind it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First pixel row below it."""
        return self.top + self.height

    def inset(self, pad: int) -> "Box":
        """What is left without `pad` pixels on each side."""
        return Box(self.left + pad, self.top + pad, self.width - 2 * pad, self.height - 2 * pad)

    def below(self, pixels: int) -> "Box":
        """What is left without its first `pixels` rows."""
        return Box(self.left, self.top + pixels, self.width, self.height - pixels)

    def first(self, pixels: int) -> "Box":
        """Its first `pixels` rows."""
        return Box(self.left, self.top, self.width, pixels)


def measures(width: int, height: int) -> tuple[float, Box, int]:
    """Of a picture of these sides the scale, what is inside its margins, and the pixels between two boxes.

    The scale is the size of text and marks: 1.0 at 960 pixels, and never too small to be read.
    """
    side = min(width, height)
    scale = min(max(side / _DESIGN_SIDE, 0.78), 1.7) if side >= _SMALL else 0.78 - (_SMALL - side) / 1200
    margin = round(26 * scale)
    return scale, Box(margin, round(margin * 0.85), width - 2 * margin, height - round(margin * 1.7)), round(18 * scale)
