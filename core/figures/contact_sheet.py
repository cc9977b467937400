"""The figure `contact-sheet`: four frames of the film as one picture, for papers."""

from pathlib import Path

import numpy as np
from PIL import Image

from core.domain.figures import FigureSpec
from core.draw.colors import THEMES
from core.draw.palette import Frame, Palette, stored_palette
from core.figures.figure import Drawing, FigureInputs, RunFigure

_SHOWN = 4


def draw(inputs: FigureInputs) -> Drawing:
    """Join four evenly spaced frames, from the first to the last, two by two at full size."""
    paths = sorted((inputs.film / "frames").glob("*.png"))
    picked = np.linspace(0, len(paths) - 1, _SHOWN).round().astype(int).tolist()
    first, palette = _opened(paths[picked[0]], inputs)
    others = [_opened(paths[at], inputs)[0] for at in picked[1:]]
    sheet = np.concatenate(
        [np.concatenate([first, others[0]], axis=1), np.concatenate(others[1:], axis=1)],
    )
    return Drawing(palette, still=lambda: sheet)


def _opened(path: Path, inputs: FigureInputs) -> tuple[Frame, Palette]:
    """Read a frame and the film's palette from a PNG."""
    with Image.open(path) as image:
        colors = np.array(image.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        return np.asarray(image), stored_palette(colors, THEMES[inputs.run.render.theme])


FIGURE = RunFigure(
    FigureSpec(
        name="contact-sheet",
        title="Four frames of the film",
        shows="Four evenly spaced frames of the film, from the first to the last, two by two.",
        formats=("png",),
        reads=("film",),
        stem="contact_sheet",
    ),
    draw,
)
