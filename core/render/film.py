"""A whole film into a folder: GIF and what else is asked for, and each checkpoint's frame."""

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
"""What of a RenderSpec may be given up for a smaller file."""
SMALLER = 0.85
"""Of the sides, from one try to the next, while the film is larger than it may be."""


class _TooLargeError(Exception):
    """The GIF has more bytes than it may have."""


@dataclass
class _Count:
    """Frames that were drawn, and those that will have been; a film that is drawn again adds to both."""

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
    on_cheaper: Callable[[RenderSpec], None] = lambda _cheaper: None,
) -> RenderSpec:
    """Draw and encode a film.

    Where the GIF may have so many bytes only, what it costs most is given up, until it fits: first the frames between
    checkpoints, then size.

    Args:
        folder: `film.gif`, `film.<format>` and `frames/00000.png` … are written into it.
        spec: how it is to be drawn.
        renderer: draws it so.
        on_frame: called with the number of frames drawn so far and of all, those between checkpoints left out. Where
            the film is drawn again, its frames are counted on top, so neither number falls.
        on_cheaper: called with how the film is drawn again, where it was too large.

    Returns:
        How it was drawn.

    Raises:
        InvalidSpecError: the GIF is too large even as small as can be.
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


def _write(folder: Path, spec: RenderSpec, renderer: Renderer, count: _Count) -> None:
    path, n_frames = folder / FILM, renderer.n_frames
    count.begin(n_frames)
    written: list[Future[None]] = []

    with ExitStack() as stack:
        # Pillow compresses a PNG beside the drawing of the next frame.
        pool = stack.enter_context(ThreadPoolExecutor(1))
        writers = [
            stack.enter_context(film_writer(name, folder / FORMATS[name].file, renderer.palette, fps=spec.fps))
            for name in dict.fromkeys((GIF, *spec.formats))
        ]
        for index, frame in renderer.film():
            for writer in writers:
                writer.add(frame)
            if index is not None:
                _wait(written)  # one frame at a time waits in memory
                target = folder / "frames" / f"{index:05d}.png"
                written.append(pool.submit(write_png, target, frame, renderer.palette))
                count.add()
            _keep_within(path, spec.max_bytes)
        _wait(written)
    _keep_within(path, spec.max_bytes)


def _wait(written: list[Future[None]]) -> None:
    """Wait for the files that are being written, and forget them; raises what writing one raised."""
    while written:
        written.pop().result()


def _keep_within(path: Path, max_bytes: int | None) -> None:
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise _TooLargeError
