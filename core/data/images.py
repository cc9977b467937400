"""Encoded bytes to RGB pixels, trusting nothing: three formats, a bound on pixels, errors naming the cause.

Every mode that these formats can hold is supported: grey, 1-bit, 16-bit and palette images, transparency
(laid on white) and CMYK become RGB; the EXIF orientation is applied; an animation gives its first frame.
"""

import io
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from core.data.limits import MAX_PIXELS
from core.domain.arrays import ImageArray
from core.errors import InvalidDatasetError

FORMATS = ("JPEG", "PNG", "WEBP")

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class EncodedImages(Protocol):
    """Encoded images by row."""

    def __getitem__(self, row: int, /) -> bytes:
        """The bytes of one image file."""


def measure(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Decode an image only to see that it can be.

    Returns:
        Width and height in pixels, before its orientation is applied.

    Raises:
        InvalidDatasetError: the bytes are no usable image; the message is the cause, without a subject.
    """
    return _loaded(encoded, max_pixels=max_pixels, at_least=None).size


def decode(encoded: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """An upright RGB image.

    Args:
        encoded: the bytes of a JPEG, PNG or WebP file.
        max_pixels: most pixels that are decoded; the header is believed before any pixel is.
        at_least: a JPEG may be decoded at a fraction of its size as long as both sides keep this many pixels;
            None decodes it whole.

    Raises:
        InvalidDatasetError: the bytes are no usable image; the message is the cause, without a subject.
    """
    image = _loaded(encoded, max_pixels=max_pixels, at_least=at_least)
    try:
        return _upright(image, to_rgb(image))
    except MemoryError:
        raise
    except Exception as error:  # whoever made the file wrote what they liked into its palette
        raise InvalidDatasetError(f"of colours that cannot be converted ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Any decoded image in RGB: transparency on white, 16 bits scaled by their range (65535 becomes 255)."""
    if image.mode.startswith("I"):
        deep = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, size: int) -> ImageArray:
    """Scale the shorter side to `size` and keep the centre.

    Args:
        image: RGB.
        size: pixels a side.

    Returns:
        (size, size, 3) uint8; an image that is size x size already keeps its values.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def squares(encoded: EncodedImages, rows: Sequence[int], *, size: int, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Decode the rows asked for.

    Returns:
        (len(rows), size, size, 3) uint8 RGB, in the order of `rows`.

    Raises:
        InvalidDatasetError: an image cannot be decoded; the message names its row.
    """
    images = np.empty((len(rows), size, size, 3), np.uint8)
    for index, row in enumerate(rows):
        try:
            image = decode(encoded[row], max_pixels=max_pixels, at_least=size)
        except InvalidDatasetError as error:
            raise InvalidDatasetError(f"The image in row {row} cannot be used: {error.detail}.") from error
        images[index] = to_square(image, size)
    return images


def _loaded(encoded: bytes, *, max_pixels: int, at_least: int | None) -> Image.Image:
    if not encoded:
        raise InvalidDatasetError("empty")
    try:
        image = Image.open(io.BytesIO(encoded), formats=FORMATS)
        width, height = image.size
        if width * height <= max_pixels:
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            image.load()
            return image
    except UnidentifiedImageError as error:
        raise InvalidDatasetError("not a JPEG, PNG or WebP image") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidDatasetError(f"more pixels than the {max_pixels:,} allowed") from error
    except MemoryError:
        raise
    except Exception as error:  # a decoder of hostile bytes may raise anything
        raise InvalidDatasetError(f"broken or cut short ({error})") from error
    raise InvalidDatasetError(f"{width} x {height} pixels, more than the {max_pixels:,} allowed")


def _upright(source: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except Exception:  # noqa: BLE001 - broken EXIF data says nothing about the pixels
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)
