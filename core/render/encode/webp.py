"""Writes lossless animated WebP that loops forever."""

from pathlib import Path

from core.draw.palette import Palette
from core.render.encode.video import Encoding, VideoWriter

ENCODING = Encoding(
    container="webp",
    codec="libwebp_anim",
    pixels="bgra",
    even=False,
    encoder={"lossless": "1", "compression_level": "3"},
    muxer={"loop": "0"},
)


def open_writer(path: Path, palette: Palette, *, fps: int) -> VideoWriter:
    """Open a writer for a WebP file."""
    return VideoWriter(path, palette, ENCODING, fps=fps)
