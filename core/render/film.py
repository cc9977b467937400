"""Writes a film into a folder: the GIF, the other requested formats, and a PNG of each checkpoint."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from core.domain.formats import FORMATS, GIF
from core.domain.spec import SMALLEST_SIDE, RenderSpec
from core.draw.palette import Frame, Palette
from core.errors import InvalidSpecError
from core.render.encode import film_writer
from core.render.encode.png import write_png

FILM = FORMATS[GIF].file
REDUCIBLE_FIELDS = {"width", "height", "tween"}
"""Fields of a RenderSpec that `render_film` may reduce to keep within `max_bytes`."""
SMALLER = 0.85
"""Factor on width and height from one attempt to the next while the GIF is too large. Chosen by hand; not measured."""


class _TooLargeError(Exception):
    """The GIF exceeds `max_bytes`."""


@dataclass
class _Count:
    """Counts drawn frames and all frames to draw. A further attempt adds to both numbers."""

    on_frame: Callable[[int, int], None]
    done: int = 0
    total: int = 0

    def begin(self, n_frames: int) -> None:
        self.total = self.done + n_frames

    def add(self) -> None:
        self.done += 1
        self.on_frame(self.done, self.total)


class Renderer(Protocol):
    """Draws the frames of one film.

    Attributes:
        palette: palette of the film.
        n_frames: number of frames, without pictures between two frames.
    """

    palette: Palette
    n_frames: int

    def film(self) -> Iterator[tuple[int | None, Frame]]:
        """Yield every picture with its frame number, or with None between two frames."""


def render_film(
    folder: Path,
    spec: RenderSpec,
    renderer: Callable[[RenderSpec], Renderer],
    *,
    on_frame: Callable[[int, int], None],
    on_cheaper: Callable[[RenderSpec], None] = lambda _cheaper: None,
) -> RenderSpec:
    """Draw and encode a film.

    If the GIF exceeds `spec.max_bytes`, the film is drawn again: first without frames between checkpoints, then with
    sides 0.85 times as long, and so on, until the GIF fits.

    Args:
        folder: `film.gif`, `film.<format>` and `frames/00000.png` … are written into this folder.
        spec: requested size, formats and limits.
        renderer: creates the renderer of a spec.
        on_frame: called with the number of frames drawn so far, and with the number of frames to draw; pictures between
            two frames do not count. Each further attempt adds to both numbers, so that neither decreases.
        on_cheaper: called with the reduced spec before each further attempt.

    Returns:
        The spec of the written film.

    Raises:
        InvalidSpecError: the GIF exceeds `spec.max_bytes` at the smallest size.
        DegenerateEmbeddingsError: a coordinate is NaN or infinite.
    """
    (folder / "frames").mkdir()
    count = _Count(on_frame)
    for drawn in _cheaper_specs(spec):
        if count.done:
            on_cheaper(drawn)
        try:
            _write(folder, drawn, renderer(drawn), count)
        except _TooLargeError:
            continue
        return drawn
    raise InvalidSpecError(
        f"The film has more than {spec.max_bytes:,} bytes even without frames between checkpoints and at the smallest "
        "size. Increase render.max_bytes, or use fewer frames or fewer probe images.",
        field="render.max_bytes",
    )


def _cheaper_specs(spec: RenderSpec) -> Iterator[RenderSpec]:
    """Yield the requested spec; if bytes are limited, also the reduced specs in order."""
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


def _write(folder: Path, spec: RenderSpec, renderer: Renderer, count: _Count) -> None:
    path, n_frames = folder / FILM, renderer.n_frames
    count.begin(n_frames)
    written: list[Future[None]] = []

    with ExitStack() as stack:
        # One thread compresses a PNG while this thread draws the next frame.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        writers = [
            stack.enter_context(film_writer(name, folder / FORMATS[name].file, renderer.palette, fps=spec.fps))
            for name in dict.fromkeys((GIF, *spec.formats))
        ]
        for index, frame in renderer.film():
            for writer in writers:
                writer.add(frame)
            if index is not None:
                _wait(written)  # limits the frames that wait in memory to one
                target = folder / "frames" / f"{index:05d}.png"
                written.append(pool.submit(write_png, target, frame, renderer.palette))
                count.add()
            _keep_within(path, spec.max_bytes)
        _wait(written)
    _keep_within(path, spec.max_bytes)


def _wait(written: list[Future[None]]) -> None:
    """Wait until all files are written, and empty the list. Raises the error of a failed write."""
    while written:
        written.pop().result()


def _keep_within(path: Path, max_bytes: int | None) -> None:
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise _TooLargeError
