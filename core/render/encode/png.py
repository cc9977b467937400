"""Single frames as PNG."""

from pathlib import Path

from PIL import Image

from core.draw.palette import Frame, Palette


def write_png(path: Path, frame: Frame, palette: Palette) -> None:
    """Write one frame, (H, W) uint8 indices, as a PNG with the film's palette."""
    image = Image.fromarray(frame)
    image.putpalette(palette.colors.tobytes())
    image.save(path, format="PNG", compress_level=6)
