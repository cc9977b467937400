"""Decode JPEG, PNG and WebP bytes from untrusted sources into RGB pixels.

Images with too many pixels are refused before a pixel is decoded, and each error states its cause. Every colour mode of
the three formats becomes RGB: grey, 1-bit, 16-bit, palette and CMYK. Transparent pixels are composited on white. The
EXIF orientation is applied. Only the first frame of an animation is read.
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
_UPRIGHT = {  # by the EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class EncodedImages(Protocol):
    """A sequence of encoded images, indexed by row."""

    def __getitem__(self, row: int, /) -> bytes:
        """Return the bytes of one image file.

        Raises:
            InvalidDatasetError: the row has no image. The message is the cause, without a subject.
        """


def measure(encoded: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Check that an image can be decoded, and return its size.

    Args:
        encoded: bytes of an image file.
        max_pixels: maximum width times height.

    Returns:
        Width and height in pixels, before the EXIF orientation is applied.

    Raises:
        InvalidDatasetError: the bytes are not a usable image. The message is the cause, without a subject.
    """
    return _loaded(encoded, max_pixels=max_pixels, at_least=None).size


def decode(encoded: bytes, *, max_pixels: int = MAX_PIXELS, at_least: int | None = None) -> Image.Image:
    """Decode an image to upright RGB.

    Args:
        encoded: bytes of a JPEG, PNG or WebP file.
        max_pixels: maximum width times height. The size in the header is checked before a pixel is decoded.
        at_least: minimum side in pixels. A JPEG may be decoded at a fraction of its size, if both sides keep at least
            this many pixels. None: decode at full size.

    Returns:
        An image in mode RGB, with the EXIF orientation applied.

    Raises:
        InvalidDatasetError: the bytes are not a usable image. The message is the cause, without a subject.
    """
    image = _loaded(encoded, max_pixels=max_pixels, at_least=at_least)
    try:
        return _upright(image, to_rgb(image))
    except MemoryError:
        raise
    except Exception as error:  # a hostile palette can cause any exception in Pillow
        raise InvalidDatasetError(f"colours cannot be converted ({error})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded image of any mode to RGB.

    Transparent pixels are composited on white. 16-bit values v become round(v / 257), so that 65535 becomes 255.

    Args:
        image: decoded image.

    Returns:
        Image in mode RGB, of the same size.
    """
    if image.mode.startswith("I"):
        deep = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode in {"LA", "PA", "RGBA"} or "transparency" in image.info:
        coloured = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, coloured).convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, size: int) -> ImageArray:
    """Scale the shorter side to `size` with bicubic interpolation, and keep the central square.

    Args:
        image: image in mode RGB.
        size: side of the square in pixels.

    Returns:
        (size, size, 3) uint8. The values of an image that is already size x size do not change.
    """
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def squares(encoded: EncodedImages, rows: Sequence[int], *, size: int, max_pixels: int = MAX_PIXELS) -> ImageArray:
    """Decode several images to squares, as `to_square` does.

    Args:
        encoded: encoded images by row.
        rows: n rows to decode, in any order.
        size: side of the squares in pixels.
        max_pixels: maximum width times height of an encoded image.

    Returns:
        (n, size, size, 3) uint8 RGB, in the order of `rows`.

    Raises:
        InvalidDatasetError: an image cannot be decoded. The message names its row.
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
    except Exception as error:  # a decoder can raise any exception on hostile bytes
        raise InvalidDatasetError(f"broken or cut short ({error})") from error
    raise InvalidDatasetError(f"{width} x {height} pixels, more than the {max_pixels:,} allowed")


def _upright(source: Image.Image, image: Image.Image) -> Image.Image:
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG)
    except Exception:  # noqa: BLE001 - broken EXIF data does not make the pixels unusable
        return image
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)
