"""Writes H.264 in MP4, which every browser plays."""

from pathlib import Path

from core.draw.palette import Palette
from core.render.encode.video import Encoding, VideoWriter

ENCODING = Encoding(
    container="mp4",
    codec="libx264",
    pixels="yuv420p",
    even=True,
    encoder={"crf": "18", "preset": "veryfast"},
    muxer={"movflags": "+faststart"},
)


def open_writer(path: Path, palette: Palette, *, fps: int) -> VideoWriter:
    """Open a writer for an MP4 file."""
    return VideoWriter(path, palette, ENCODING, fps=fps)
