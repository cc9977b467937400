"""Frames to a GIF, one at a time.

Pillow's LZW encoder does the work, not imageio: given one global palette it took 10 ms a frame where imageio took
150 ms and made a larger file. Pillow's own `save_all` is passed by, because it holds every frame in memory until the
last one has come, drops frames that repeat the one before, and can invent palettes; the few blocks of the container
are written here instead.
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
"""Hundredths of a second: viewers slow down anything quicker."""

_LONGEST_DELAY = 65_535
_BITS = 8
"""Of a pixel, as the codes begin with."""

_SHORTEST_GAP = 32
"""Pixels: shorter stretches that stayed, between two that changed, are stored as they are. Transparent ones would break
the strings that LZW knows: films of 200 to 10,000 images are 10 to 19 % smaller, and with 16 or 64 pixels nearly so."""
_MUCH = 0.25
"""Of the rectangle that changed: where less has, storing it whole is not even tried."""

_KEEP = 1
"""Disposal method: the next frame is drawn over this one."""


class GifWriter:
    """Writes a film that loops for ever, one frame at a time; use it in a `with` block.

    Each frame is stored as the rectangle that changed, whole or with longer stretches that stayed left transparent,
    whichever is smaller. Every frame is kept, also those that repeat the one before. Delays are whole hundredths of a
    second, as the format has it, and take turns where 100 / fps is not whole, so that the film's length is right.

    A frame is written when the next one comes, because the last one is held.

    Args:
        path: written in place; who must never see half a film writes elsewhere and renames.
        palette: stored once, for all frames.
        fps: frames a second, 1 to 50.
        hold_seconds: how long the last frame stays.

    Attributes:
        count: frames written so far.

    Raises:
        ValueError: `fps` is not within 1 to 50; at the end of the block, there are no frames.
    """

    def __init__(self, path: Path, palette: Palette, *, fps: int, hold_seconds: float = 2.0) -> None:
        if not 1 <= fps <= 100 // _SHORTEST_DELAY:
            raise ValueError(f"fps is {fps}, a GIF plays 1 to {100 // _SHORTEST_DELAY}.")
        self.count = 0
        self._palette, self._fps, self._hold_seconds = palette, fps, hold_seconds
        self._before: Frame | None = None
        self._waiting: Frame | None = None
        self._file = path.open("wb")

    def add(self, frame: Frame) -> None:
        """Take the next frame: (H, W) uint8 indices into the palette, none 255.

        Raises:
            ValueError: its shape is not that of the frame before.
        """
        if self._waiting is not None:
            if frame.shape != self._waiting.shape:
                raise ValueError(f"Frames of {self._waiting.shape} and {frame.shape} cannot share a film.")
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
    """A writer of a GIF file."""
    return GifWriter(path, palette, fps=fps)


def _delay(index: int, fps: int) -> int:
    """Hundredths of a second between frame `index` and the next, such that their sum never drifts."""
    start, end = ((2 * 100 * edge + fps) // (2 * fps) for edge in (index, index + 1))
    return max(_SHORTEST_DELAY, end - start)


def _write_header(file: BinaryIO, shape: tuple[int, ...], palette: Palette) -> None:
    height, width = shape
    file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0b1111_0111, 0, 0))
    file.write(palette.colors.tobytes())
    file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", 0) + b"\x00")


def _encode_change(before: Frame, frame: Frame, delay: int) -> bytes:
    """The rectangle that changed; one pixel where nothing did, so that the frame is still there."""
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
    """The marks, and what lies between two of them if it is shorter than `length`, in reading order.

    Marks are spread and drawn in again, each time by as many as so far: in the logarithm of `length` passes.

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
    """One image: its control block, its place, and its pixels, without a palette of its own."""
    height, width = area.shape
    control = struct.pack("<BHB", _KEEP << 2 | transparent, delay, TRANSPARENT if transparent else 0)
    place = struct.pack("<HHHHB", *offset, width, height, 0)
    pixels = Image.fromarray(np.ascontiguousarray(area)).tobytes("gif", "L", _BITS, 0)
    return b"!\xf9\x04" + control + b"\x00," + place + bytes([_BITS]) + pixels + b"\x00"
