"""Thumbnails of probe images for the leaderboard and for the API."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.domain.arrays import ImageArray
from core.draw.palette import TRANSPARENT, Palette

_PIXEL_ART = 16
"""Images up to this side are enlarged without interpolation, which would blur them. Chosen by hand; not measured."""

_SHOWN_SIDE = 64
"""Largest side of an image in a data URI, pixels. Chosen by hand; not measured."""


@dataclass(slots=True)
class Thumbnails:
    """Probe images as index images. Each is made on first use and cached.

    Attributes:
        images: (N, S, S, 3) uint8 RGB.
        palette: palette of the film.
        side: side of a thumbnail, pixels.
    """

    images: ImageArray
    palette: Palette
    side: int
    _made: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _target: Image.Image = field(init=False)

    def __post_init__(self) -> None:
        self._target = Image.new("P", (1, 1))
        self._target.putpalette(self.palette.colors[:TRANSPARENT].tobytes())

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        """Return one probe image as a (side, side) uint8 index image."""
        if row not in self._made:
            image = resize(self.images[row], self.side)
            # No dithering: its noise makes the file larger, and the palette was chosen for these images.
            self._made[row] = np.asarray(image.quantize(palette=self._target, dither=Image.Dither.NONE))
        return self._made[row]


def resize(image: ImageArray, side: int) -> Image.Image:
    """Scale an (S, S, 3) uint8 RGB image to a side in pixels. Images of up to 16 pixels keep sharp pixels."""
    small = max(image.shape[:2]) <= _PIXEL_ART
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return Image.fromarray(image).resize((side, side), filter_)


def data_uri(image: ImageArray) -> str:
    """Return an (S, S, 3) uint8 RGB image as a data URI of a PNG with sides of at most 64 pixels."""
    small = Image.fromarray(image) if max(image.shape[:2]) <= _SHOWN_SIDE else resize(image, _SHOWN_SIDE)
    png = io.BytesIO()
    small.save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
