"""The parts of a figure: its declaration, its inputs and its drawing."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from core.domain.arrays import FrameFacts, ProbeSet, TrainingLog
from core.domain.figures import FigureInput, FigureSpec
from core.domain.spec import RunSpec
from core.draw.palette import Frame, Palette

_Input = TypeVar("_Input")


@dataclass(frozen=True)
class FigureInputs:
    """Inputs of a figure. Each input is loaded on request.

    A new kind of input needs a name in `core.domain.figures.FigureInput`, a property here, and a reader in
    worker/stages/render.py. Figures that do not read it stay unchanged.

    Attributes:
        run: spec of the run; `run.render` has the sides, the theme and the frames per second.
        readers: functions that load the inputs, by name. An input without a reader is not available.
    """

    run: RunSpec
    readers: Mapping[FigureInput, Callable[[], Any]]

    def only(self, names: Collection[FigureInput]) -> "FigureInputs":
        """Return the inputs, limited to these names."""
        return replace(self, readers={name: read for name, read in self.readers.items() if name in names})

    @property
    def film(self) -> Path:
        """The folder of the finished film, with `frames/00000.png` … in the order of the checkpoints."""
        return self._read("film", Path)

    @property
    def log(self) -> TrainingLog:
        """The training log."""
        return self._read("log", TrainingLog)

    @property
    def probe(self) -> ProbeSet:
        """The N probe images, with labels and class names."""
        return self._read("probe", ProbeSet)

    @property
    def checkpoints(self) -> Sequence[FrameFacts]:
        """Step, loss, accuracy and N predictions of each of the T checkpoints, by rising step."""
        facts: list[FrameFacts] = self._read("checkpoints", list)
        return facts

    def _read(self, name: FigureInput, kind: type[_Input]) -> _Input:
        if name not in self.readers:
            raise KeyError(f"The figure reads {name!r} but does not declare it.")
        value = self.readers[name]()
        if not isinstance(value, kind):
            raise TypeError(f"{name!r} is a {type(value).__name__}, not a {kind.__name__}.")
        return value


@dataclass(frozen=True)
class Drawing:
    """The drawing of a figure. The declared formats decide which functions are called.

    Attributes:
        palette: palette of all pictures.
        still: draws the picture for `png`.
        film: draws the pictures of a film over the checkpoints for `gif`, `mp4` and `webp`, one at a time.
        svg: draws the picture for `svg`, as an SVG document.
    """

    palette: Palette
    still: Callable[[], Frame]
    film: Callable[[], Iterator[Frame]] | None = None
    svg: Callable[[], str] | None = None


@dataclass(frozen=True)
class RunFigure:
    """One figure: an entry of `core.figures.FIGURES`."""

    spec: FigureSpec
    draw: Callable[[FigureInputs], Drawing]
