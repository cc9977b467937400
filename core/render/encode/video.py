"""Writes frames to a video file with PyAV, one at a time."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from core.draw.palette import Frame, Palette


class Encoding(NamedTuple):
    """Settings of a video format.

    Attributes:
        container: FFmpeg's name of the container.
        codec: FFmpeg's name of the encoder.
        pixels: FFmpeg's name of the pixel format. Every browser plays H.264 in 4:2:0, but not in other pixel formats.
        even: True if width and height must be even.
        encoder: options of the encoder.
        muxer: options of the container.
    """

    container: str
    codec: str
    pixels: str
    even: bool
    encoder: dict[str, str]
    muxer: dict[str, str]


class VideoWriter:
    """Writes a film as a video, in a `with` block.

    If the format requires even sides, an odd side gets one more row or column in the page's colour. Frames are not
    scaled.

    Args:
        path: the file, which is written in place.
        palette: palette of the frames.
        encoding: settings of the format.
        fps: frames per second.
        hold_seconds: duration of the last frame, seconds; at least one frame.
    """

    def __init__(
        self, path: Path, palette: Palette, encoding: Encoding, *, fps: int, hold_seconds: float = 2.0
    ) -> None:
        self._format = encoding
        self._colors, self._background = palette.colors, palette.theme.page
        self._fps, self._held = fps, max(1, round(hold_seconds * fps))
        self._container = av.open(str(path), "w", format=self._format.container, options=self._format.muxer)
        self._stream: VideoStream | None = None
        self._last: av.VideoFrame | None = None
        self._count = 0

    def add(self, frame: Frame) -> None:
        """Write the next frame, (H, W) uint8 indices into the palette."""
        pixels = self._pixels(frame)
        if self._stream is None:
            self._stream = self._begin(pixels.shape)
        self._last = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=self._format.pixels)
        self._write(self._last)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._stream is not None and self._last is not None:
            for _ in range(self._held - 1):
                self._write(self._last)
            self._container.mux(self._stream.encode(None))
        self._container.close()

    def _begin(self, shape: tuple[int, ...]) -> VideoStream:
        stream = self._container.add_stream(self._format.codec, rate=Fraction(self._fps), options=self._format.encoder)
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{self._format.codec} is not a video codec.")
        stream.height, stream.width = shape[:2]
        stream.pix_fmt = self._format.pixels
        return stream

    def _write(self, frame: av.VideoFrame) -> None:
        if self._stream is None:
            return
        frame.pts = self._count
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def _pixels(self, frame: Frame) -> NDArray[np.uint8]:
        pixels: NDArray[np.uint8] = np.take(self._colors, frame, axis=0)  # a quarter of the time of `colors[frame]`
        height, width = frame.shape
        if not self._format.even or (height % 2 == 0 and width % 2 == 0):
            return pixels
        padded = np.empty((height + height % 2, width + width % 2, 3), dtype=np.uint8)
        padded[:] = self._background
        padded[:height, :width] = pixels
        return padded
