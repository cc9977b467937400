"""Single frames as PNG."""

from pathlib import Path

from PIL import Image

from core.draw.palette import Frame, Palette


def write_png(path: Path, frame: Frame, palette: Palette) -> None:
    """Write a frame as a PNG with a palette.

    Args:
        path: the file, which is overwritten.
        frame: (H, W) uint8 palette indices.
        palette: palette of the film.
    """
    image = Image.fromarray(frame)
    image.putpalette(palette.colors.tobytes())
    image.save(path, format="PNG", compress_level=6)
