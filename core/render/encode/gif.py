"""Writes frames to a GIF, one at a time.

Pillow's LZW encoder compresses the pixels; this module writes the blocks of the container. With one global palette,
Pillow took 10 ms per frame; imageio took 150 ms and wrote a larger file. Pillow's `save_all` is not used: it holds all
frames in memory, drops a frame that equals the frame before, and can create other palettes. See ADR 3.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.draw.palette import TRANSPARENT, Frame, Palette

_SHORTEST_DELAY = 2
"""Hundredths of a second. Viewers slow down shorter delays."""

_LONGEST_DELAY = 65_535
"""Hundredths of a second: the largest value of the field, which has 16 bits."""
_BITS = 8
"""Bits per pixel, which is the minimum code size of LZW."""

_SHORTEST_GAP = 32
"""Minimum length of a run of unchanged pixels that is stored as transparent, pixels.

Shorter runs between two changed pixels are stored with their colours: transparent pixels would break strings in the
LZW dictionary. Films of 200 to 10,000 images were 10 to 19 % smaller with 32 pixels, and nearly as small with 16 or 64.
"""
_MUCH = 0.25
"""Minimum fraction of changed pixels at which the rectangle is also encoded without transparency. Chosen by hand; not
measured."""

_KEEP = 1
"""Disposal method 1: the next frame is drawn over this frame."""


class GifWriter:
    """Writes a film that loops forever, in a `with` block, one frame at a time.

    Each frame is stored as the rectangle that changed: complete, or with long runs of unchanged pixels as transparent
    pixels, whichever is smaller. Every frame is kept, even if it equals the frame before. A GIF stores delays in
    hundredths of a second; if 100 / fps is not a whole number, delays alternate so that the film's duration is right.

    A frame is written when the next frame is added, because the last frame has a longer delay.

    Args:
        path: the file, which is written in place; it is incomplete until the block ends.
        palette: palette of all frames, stored once.
        fps: frames per second, 1 to 50.
        hold_seconds: duration of the last frame, seconds.

    Attributes:
        count: number of frames written so far.

    Raises:
        ValueError: `fps` is not within 1 to 50, or the block ends without a frame.
    """

    def __init__(self, path: Path, palette: Palette, *, fps: int, hold_seconds: float = 2.0) -> None:
        if not 1 <= fps <= 100 // _SHORTEST_DELAY:
            raise ValueError(f"fps is {fps}. A GIF plays 1 to {100 // _SHORTEST_DELAY} frames per second.")
        self.count = 0
        self._palette, self._fps, self._hold_seconds = palette, fps, hold_seconds
        self._before: Frame | None = None
        self._waiting: Frame | None = None
        self._file = path.open("wb")

    def add(self, frame: Frame) -> None:
        """Add the next frame.

        Args:
            frame: (H, W) uint8 palette indices, 0..254; 255 is transparent.

        Raises:
            ValueError: the shape differs from the frame before.
        """
        if self._waiting is not None:
            if frame.shape != self._waiting.shape:
                raise ValueError(f"Frames of the shapes {self._waiting.shape} and {frame.shape} cannot share a film.")
            self._write(self._waiting, _delay(self.count, self._fps))
        self._waiting = frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is not None:
                return
            if self._waiting is None:
                raise ValueError("A film needs at least one frame.")
            held = max(_delay(self.count, self._fps), round(self._hold_seconds * 100))
            self._write(self._waiting, min(held, _LONGEST_DELAY))
            self._file.write(b";")

    def _write(self, frame: Frame, delay: int) -> None:
        if self._before is None:
            _write_header(self._file, frame.shape, self._palette)
            self._file.write(_encode(frame, (0, 0), delay, transparent=False))
        else:
            self._file.write(_encode_change(self._before, frame, delay))
        self._before = frame
        self.count += 1


def open_writer(path: Path, palette: Palette, *, fps: int) -> GifWriter:
    """Open a writer for a GIF file."""
    return GifWriter(path, palette, fps=fps)


def _delay(index: int, fps: int) -> int:
    """Delay of frame `index` in hundredths of a second. The end times are rounded, so rounding errors do not add up."""
    start, end = ((2 * 100 * edge + fps) // (2 * fps) for edge in (index, index + 1))
    return max(_SHORTEST_DELAY, end - start)


def _write_header(file: BinaryIO, shape: tuple[int, ...], palette: Palette) -> None:
    height, width = shape
    file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0b1111_0111, 0, 0))
    file.write(palette.colors.tobytes())
    file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", 0) + b"\x00")


def _encode_change(before: Frame, frame: Frame, delay: int) -> bytes:
    """Encode the rectangle that changed; one pixel if nothing changed, so that the frame is kept."""
    changed = before != frame
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return _encode(frame[:1, :1], (0, 0), delay, transparent=False)
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    area, differs, offset = frame[top:bottom, left:right], changed[top:bottom, left:right], (int(left), int(top))
    sparse = np.where(fill_gaps(differs, _SHORTEST_GAP), area, np.uint8(TRANSPARENT))
    stored = _encode(sparse, offset, delay, transparent=True)
    if differs.mean() < _MUCH:
        return stored
    return min(stored, _encode(area, offset, delay, transparent=False), key=len)


def fill_gaps(marks: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """Fill short gaps between marked pixels.

    This is a morphological closing of the pixels in reading order: a dilation, then an erosion. Each pass doubles the
    reach, so both take about log2(length) passes.

    Args:
        marks: (H, W) bool.
        length: gaps of fewer than `length` pixels between two marks are filled.

    Returns:
        (H, W) bool, the marks and the filled gaps.

    >>> fill_gaps(np.array([[True, False, False], [True, False, True], [False, False, False]]), 3).astype(int).tolist()
    [[1, 1, 1], [1, 1, 1], [0, 0, 0]]
    """
    line = np.concatenate([marks.ravel(), np.zeros(length, dtype=bool)])
    for back in (False, True):
        reached = 1
        while reached < length:
            step = min(reached, length - reached)
            ahead, behind = line[step:], line[:-step]
            if back:
                np.logical_and(behind, ahead, out=behind)
            else:
                np.logical_or(ahead, behind.copy(), out=ahead)
            reached += step
    return line[: marks.size].reshape(marks.shape)


def _encode(area: Frame, offset: tuple[int, int], delay: int, *, transparent: bool) -> bytes:
    """Encode one image: graphic control extension, image descriptor without a local palette, and pixels."""
    height, width = area.shape
    control = struct.pack("<BHB", _KEEP << 2 | transparent, delay, TRANSPARENT if transparent else 0)
    place = struct.pack("<HHHHB", *offset, width, height, 0)
    pixels = Image.fromarray(np.ascontiguousarray(area)).tobytes("gif", "L", _BITS, 0)
    return b"!\xf9\x04" + control + b"\x00," + place + bytes([_BITS]) + pixels + b"\x00"
