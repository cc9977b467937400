"""A whole film into a folder: GIF and what else is asked for, each checkpoint's frame, a contact sheet, the curves."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np

from core.domain.formats import FORMATS, GIF
from core.domain.spec import SMALLEST_SIDE, RenderSpec
from core.draw.palette import Frame, Palette
from core.errors import InvalidSpecError
from core.render.encode import film_writer
from core.render.encode.png import write_png

FILM = FORMATS[GIF].file
SHEET = "contact_sheet.png"
REDUCIBLE_FIELDS = {"width", "height", "tween"}
"""What of a RenderSpec may be given up for a smaller file."""
SMALLER = 0.85
"""Of the sides, from one try to the next, while the film is larger than it may be."""


class _TooLargeError(Exception):
    """The GIF has more bytes than it may have."""


class Renderer(Protocol):
    """Draws the frames of one film.

    Attributes:
        palette: of the film.
        n_frames: pictures without those between two.
    """

    palette: Palette
    n_frames: int

    def film(self) -> Iterator[tuple[int | None, Frame]]:
        """All frames: its number, None for one between two, and its picture."""


def render_film(
    folder: Path,
    spec: RenderSpec,
    renderer: Callable[[RenderSpec], Renderer],
    *,
    on_frame: Callable[[int, int], None],
) -> RenderSpec:
    """Draw and encode a film.

    Where the GIF may have so many bytes only, what it costs most is given up, until it fits: first the frames between
    checkpoints, then size.

    Args:
        folder: `film.gif`, `film.<format>`, `frames/00000.png` … and `contact_sheet.png` are written into it.
        spec: how it is to be drawn.
        renderer: draws it so.
        on_frame: called with the number of frames drawn and of all, those between checkpoints left out.

    Returns:
        How it was drawn.

    Raises:
        InvalidSpecError: the GIF is too large even as small as can be.
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """
    (folder / "frames").mkdir()
    for drawn in _cheaper_specs(spec):
        try:
            _write(folder, drawn, renderer(drawn), on_frame)
        except _TooLargeError:
            continue
        return drawn
    raise InvalidSpecError(
        f"The film has more than {spec.max_bytes:,} bytes even without frames between checkpoints and at the least "
        "size. Ask for more bytes, fewer frames or fewer probe images.",
        field="render.max_bytes",
    )


def _cheaper_specs(spec: RenderSpec) -> Iterator[RenderSpec]:
    """As asked for, then, where bytes are limited, ever cheaper."""
    yield spec
    if spec.max_bytes is None:
        return
    if spec.tween:
        spec = spec.model_copy(update={"tween": 0})
        yield spec
    while min(spec.width, spec.height) > SMALLEST_SIDE:
        share = max(SMALLER, SMALLEST_SIDE / min(spec.width, spec.height))
        spec = spec.model_copy(update={"width": round(spec.width * share), "height": round(spec.height * share)})
        yield spec


def _write(folder: Path, spec: RenderSpec, renderer: Renderer, on_frame: Callable[[int, int], None]) -> None:
    path, n_frames = folder / FILM, renderer.n_frames
    picked = np.linspace(0, n_frames - 1, 4).round().astype(int).tolist()
    sheet: dict[int, Frame] = {}

    with ExitStack() as stack:
        writers = [
            stack.enter_context(film_writer(name, folder, renderer.palette, fps=spec.fps))
            for name in dict.fromkeys((GIF, *spec.formats))
        ]
        for index, frame in renderer.film():
            for writer in writers:
                writer.add(frame)
            if index is not None:
                write_png(folder / "frames" / f"{index:05d}.png", frame, renderer.palette)
                on_frame(index, n_frames)
                if index in picked:
                    sheet[index] = frame
            _keep_within(path, spec.max_bytes)
    _keep_within(path, spec.max_bytes)
    write_png(folder / SHEET, _arranged([sheet[index] for index in picked]), renderer.palette)


def _keep_within(path: Path, max_bytes: int | None) -> None:
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise _TooLargeError


def _arranged(frames: Sequence[Frame]) -> Frame:
    """Four frames, two by two."""
    return np.concatenate([np.concatenate(frames[:2], axis=1), np.concatenate(frames[2:], axis=1)])
