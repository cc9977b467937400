"""Writes films to files. The module `core.render.encode.<name>` writes the format of that name."""

from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from core.draw.palette import Frame, Palette


class FilmWriter(Protocol):
    """Writes a film one frame at a time. The file is complete after a `with` block without an error."""

    def add(self, frame: Frame) -> None:
        """Write the next frame, (H, W) uint8 indices into the palette."""

    def __enter__(self) -> Self:
        """Return the writer."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write the remaining frames if there was no error, and close the file."""


def film_writer(name: str, path: Path, palette: Palette, *, fps: int) -> FilmWriter:
    """Open a writer for a format.

    Args:
        name: key of `FORMATS`, such as `gif`.
        path: the file, which is overwritten.
        palette: palette of the frames.
        fps: frames per second.

    Returns:
        The writer, to be used in a `with` block.
    """
    writer: FilmWriter = import_module(f"{__name__}.{name}").open_writer(path, palette, fps=fps)
    return writer
