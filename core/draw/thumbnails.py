"""Thumbnails of probe images for the leaderboard and for the responses of the API."""

import base64
import io
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.domain.arrays import ImageArray
from core.draw.palette import TRANSPARENT, Palette

_PIXEL_ART = 16
"""Images up to this side, pixels, are enlarged without interpolation, which would blur them. Chosen by hand; not
measured."""

_SHOWN_SIDE = 64
"""Maximum side of an image in a data URI, pixels. Chosen by hand; not measured."""


@dataclass(slots=True)
class Thumbnails:
    """Thumbnails of the probe images as index images. Each is computed on first use and cached.

    Attributes:
        images: (N, S, S, 3) uint8 RGB.
        palette: palette of the film.
        side: side of the thumbnails, pixels.
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
        """Return the (side, side) uint8 index image of a row of the probe set."""
        if row not in self._made:
            image = resize(self.images[row], self.side)
            # Dithering adds noise that compresses badly; the palette has colours that were chosen for these images.
            self._made[row] = np.asarray(image.quantize(palette=self._target, dither=Image.Dither.NONE))
        return self._made[row]


def resize(image: ImageArray, side: int) -> Image.Image:
    """Resize an image: without interpolation if its side is at most 16 pixels, otherwise with a Lanczos filter.

    Args:
        image: (S, S, 3) uint8 RGB.
        side: side of the result, pixels.

    Returns:
        The image, `side` by `side` pixels.
    """
    small = max(image.shape[:2]) <= _PIXEL_ART
    filter_ = Image.Resampling.NEAREST if small else Image.Resampling.LANCZOS
    return Image.fromarray(image).resize((side, side), filter_)


def data_uri(image: ImageArray) -> str:
    """Encode an image as a data URI of a PNG.

    Args:
        image: (S, S, 3) uint8 RGB; larger sides are reduced to 64 pixels.

    Returns:
        `data:image/png;base64,…`.
    """
    small = Image.fromarray(image) if max(image.shape[:2]) <= _SHOWN_SIDE else resize(image, _SHOWN_SIDE)
    png = io.BytesIO()
    small.save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
