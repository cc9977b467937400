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
    """The inputs of a run's figures. Each access calls the input's reader.

    A new kind of input requires a name in `core.domain.figures.FigureInput`, a property in this class, and a reader in
    the worker. Figures that do not read the input do not change.

    Attributes:
        run: spec of the run; `run.render` has width, height, theme and frames per second.
        readers: for each available input the function that loads it.
    """

    run: RunSpec
    readers: Mapping[FigureInput, Callable[[], Any]]

    def only(self, names: Collection[FigureInput]) -> "FigureInputs":
        """Copy the inputs, limited to the given names."""
        return replace(self, readers={name: read for name, read in self.readers.items() if name in names})

    @property
    def film(self) -> Path:
        """Folder of the finished film; it has `frames/00000.png` …, in the order of the checkpoints."""
        return self._read("film", Path)

    @property
    def log(self) -> TrainingLog:
        """The training log."""
        return self._read("log", TrainingLog)

    @property
    def probe(self) -> ProbeSet:
        """The N probe images with labels and class names."""
        return self._read("probe", ProbeSet)

    @property
    def checkpoints(self) -> Sequence[FrameFacts]:
        """Step, epoch, loss, accuracy and N predictions of each of the T checkpoints, by rising step."""
        facts: list[FrameFacts] = self._read("checkpoints", list)
        return facts

    def _read(self, name: FigureInput, kind: type[_Input]) -> _Input:
        if name not in self.readers:
            raise KeyError(f"The figure reads {name!r}, but does not declare it.")
        value = self.readers[name]()
        if not isinstance(value, kind):
            raise TypeError(f"{name!r} is a {type(value).__name__}, not a {kind.__name__}.")
        return value


@dataclass(frozen=True)
class Drawing:
    """A drawn figure. The functions for the figure's declared formats are called.

    Attributes:
        palette: palette of all pictures.
        still: draws the picture, for `png`.
        film: draws one picture for each checkpoint on demand, for `gif`, `mp4` and `webp`; None without these formats.
        svg: writes the picture as an SVG document, for `svg`; None without this format.
    """

    palette: Palette
    still: Callable[[], Frame]
    film: Callable[[], Iterator[Frame]] | None = None
    svg: Callable[[], str] | None = None


@dataclass(frozen=True)
class RunFigure:
    """A figure, which is an entry of `core.figures.FIGURES`.

    Attributes:
        spec: declaration of the figure.
        draw: draws the figure from its inputs.
    """

    spec: FigureSpec
    draw: Callable[[FigureInputs], Drawing]
