"""Rectangles of pixels, and the scale of text and marks.

All proportions are chosen by hand; not measured.
"""

from dataclasses import dataclass

_DESIGN_SIDE = 960
"""Shorter side of a picture of scale 1, pixels."""
_SMALL = 480
"""Shorter side below which the scale falls under its usual minimum of 0.78, pixels."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels.

    Attributes:
        left: first column.
        top: first row.
        width: number of columns.
        height: number of rows.
    """

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column right of the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row below the box."""
        return self.top + self.height

    def inset(self, pad: int) -> "Box":
        """The box without `pad` pixels at each side."""
        return Box(self.left + pad, self.top + pad, self.width - 2 * pad, self.height - 2 * pad)

    def below(self, pixels: int) -> "Box":
        """The box without its first `pixels` rows."""
        return Box(self.left, self.top + pixels, self.width, self.height - pixels)

    def first(self, pixels: int) -> "Box":
        """The first `pixels` rows of the box."""
        return Box(self.left, self.top, self.width, pixels)


def measures(width: int, height: int) -> tuple[float, Box, int]:
    """Compute scale, margins and gap of a picture.

    Args:
        width: pixels, 320 to 2160.
        height: pixels, 320 to 2160.

    Returns:
        Scale of text and marks, 0.65 to 1.7, 1.0 at a shorter side of 960 pixels; the box inside the margins; the gap
        between two boxes, pixels.
    """
    side = min(width, height)
    scale = min(max(side / _DESIGN_SIDE, 0.78), 1.7) if side >= _SMALL else 0.78 - (_SMALL - side) / 1200
    margin = round(26 * scale)
    return scale, Box(margin, round(margin * 0.85), width - 2 * margin, height - round(margin * 1.7)), round(18 * scale)
