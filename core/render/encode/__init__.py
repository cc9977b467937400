"""Frames to files. The module `core.render.encode.<name>` writes the film in the format of that name."""

from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from core.draw.palette import Frame, Palette


class FilmWriter(Protocol):
    """Writes a film, one frame at a time; the file is complete once the `with` block has ended without an error."""

    def add(self, frame: Frame) -> None:
        """Write the next frame, (H, W) uint8 indices into the palette."""

    def __enter__(self) -> Self:
        """The writer."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, and close the file."""


def film_writer(name: str, path: Path, palette: Palette, *, fps: int) -> FilmWriter:
    """A writer of a film in the format of this name.

    Args:
        name: of a format in `FORMATS`.
        path: of the file.
        palette: of the frames.
        fps: frames per second.
    """
    writer: FilmWriter = import_module(f"{__name__}.{name}").open_writer(path, palette, fps=fps)
    return writer
