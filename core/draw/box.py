"""Rectangles of pixels, and the scale of text and marks."""

from dataclasses import dataclass

_DESIGN_SIDE = 960
"""Shorter side at which the scale is 1, pixels: the default side of a film."""

_SMALL = 480
"""Below this side, text and marks shrink further, down to the smallest legible size. Chosen by hand; not measured."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first pixel column to the right of the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first pixel row below the box."""
        return self.top + self.height

    def inset(self, pad: int) -> "Box":
        """Return the box without `pad` pixels on each side."""
        return Box(self.left + pad, self.top + pad, self.width - 2 * pad, self.height - 2 * pad)

    def below(self, pixels: int) -> "Box":
        """Return the box without its first `pixels` rows."""
        return Box(self.left, self.top + pixels, self.width, self.height - pixels)

    def first(self, pixels: int) -> "Box":
        """Return the first `pixels` rows of the box."""
        return Box(self.left, self.top, self.width, pixels)


def measures(width: int, height: int) -> tuple[float, Box, int]:
    """Return the scale, the inner box and the gap of a picture.

    The scale multiplies the sizes of text and marks. It is 1.0 at 960 pixels. Its limits keep text legible. All numbers
    were chosen by hand; none was measured.

    Args:
        width: width of the picture, pixels.
        height: height of the picture, pixels.

    Returns:
        The scale, the box inside the margins, and the pixels between two boxes.
    """
    side = min(width, height)
    scale = min(max(side / _DESIGN_SIDE, 0.78), 1.7) if side >= _SMALL else 0.78 - (_SMALL - side) / 1200
    margin = round(26 * scale)
    return scale, Box(margin, round(margin * 0.85), width - 2 * margin, height - round(margin * 1.7)), round(18 * scale)
