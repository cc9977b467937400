"""Frames to files: the GIF, and single frames as PNG.

Pillow's LZW encoder does the work, not imageio: given one global palette it took 10 ms a frame where imageio took
150 ms and made a larger file. Pillow's own `save_all` is passed by, because it holds every frame in memory until the
last one has come, drops frames that repeat the one before, and can invent palettes; the few blocks of the container
are written here instead.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from core.draw.palette import TRANSPARENT, Palette

Frame = NDArray[np.uint8]

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


def write_gif(path: Path, frames: Iterable[Frame], palette: Palette, *, fps: int, hold_seconds: float = 2.0) -> int:
    """Write a film that loops for ever, one frame at a time.

    Each frame is stored as the rectangle that changed, whole or with longer stretches that stayed left transparent,
    whichever is smaller. Every frame is kept, also those that repeat the one before. Delays are whole hundredths of a
    second, as the format has it, and take turns where 100 / fps is not whole, so that the film's length is right.

    Args:
        path: written in place; who must never see half a film writes elsewhere and renames.
        frames: (H, W) uint8 indices into the palette, all of one shape, none 255.
        palette: stored once, for all frames.
        fps: frames a second, 1 to 50.
        hold_seconds: how long the last frame stays.

    Returns:
        How many frames were written.

    Raises:
        ValueError: there are no frames, their shapes differ, or `fps` is not within 1 to 50.
    """
    if not 1 <= fps <= 100 // _SHORTEST_DELAY:
        raise ValueError(f"fps is {fps}, a GIF plays 1 to {100 // _SHORTEST_DELAY}.")
    with path.open("wb") as file:
        count = 0
        for before, frame, is_last in _with_neighbours(frames):
            delay = _delay(count, fps)
            if is_last:
                delay = min(max(delay, round(hold_seconds * 100)), _LONGEST_DELAY)
            if before is None:
                _write_header(file, frame.shape, palette)
                file.write(_encode(frame, (0, 0), delay, transparent=False))
            else:
                file.write(_encode_change(before, frame, delay))
            count += 1
        file.write(b";")
    return count


def write_png(path: Path, frame: Frame, palette: Palette) -> None:
    """Write one frame, (H, W) uint8 indices, as a PNG with the film's palette."""
    image = Image.fromarray(frame)
    image.putpalette(palette.colors.tobytes())
    image.save(path, format="PNG", compress_level=6)


def _with_neighbours(frames: Iterable[Frame]) -> Iterator[tuple[Frame | None, Frame, bool]]:
    """Each frame with the one before it (None at first) and whether it is the last.

    Raises:
        ValueError: there are no frames, or their shapes differ.
    """
    before: Frame | None = None
    waiting: Frame | None = None
    for frame in frames:
        if waiting is not None:
            if frame.shape != waiting.shape:
                raise ValueError(f"Frames of {waiting.shape} and {frame.shape} cannot share a film.")
            yield before, waiting, False
            before = waiting
        waiting = frame
    if waiting is None:
        raise ValueError("A film needs at least one frame.")
    yield before, waiting, True


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
