"""What a figure is: what it declares, what it may read, and what it draws."""

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
    """What a figure may read of one run. Each is loaded when it is first asked for.

    A new kind of input is a name in `core.domain.figures.FigureInput`, a property here and a reader where stages are
    run; figures that do not read it stay as they are.

    Attributes:
        run: the run's spec; `run.render` has sides, theme and frames a second.
        readers: by the input's name what loads it. An input without a reader cannot be had.
    """

    run: RunSpec
    readers: Mapping[FigureInput, Callable[[], Any]]

    def only(self, names: Collection[FigureInput]) -> "FigureInputs":
        """The same without all inputs but these."""
        return replace(self, readers={name: read for name, read in self.readers.items() if name in names})

    @property
    def film(self) -> Path:
        """Folder of the finished film: `frames/00000.png` … are in it, in the order of the checkpoints."""
        return self._read("film", Path)

    @property
    def log(self) -> TrainingLog:
        """The training log."""
        return self._read("log", TrainingLog)

    @property
    def probe(self) -> ProbeSet:
        """The N images that are embedded, with labels and names of classes."""
        return self._read("probe", ProbeSet)

    @property
    def checkpoints(self) -> Sequence[FrameFacts]:
        """Step, loss, accuracy and the N predictions of each of T checkpoints, by rising step."""
        facts: list[FrameFacts] = self._read("checkpoints", list)
        return facts

    def _read(self, name: FigureInput, kind: type[_Input]) -> _Input:
        if name not in self.readers:
            raise KeyError(f"The figure reads {name!r} and does not declare it.")
        value = self.readers[name]()
        if not isinstance(value, kind):
            raise TypeError(f"{name!r} is a {type(value).__name__}, not a {kind.__name__}.")
        return value


@dataclass(frozen=True)
class Drawing:
    """A figure as it is drawn: the formats that it declares say which of these are asked for.

    Attributes:
        palette: of all pictures.
        still: the picture, for `png`.
        film: the pictures of a film over the checkpoints, for `gif`, `mp4` and `webp`; each is drawn when asked for.
        svg: the picture as an SVG document, for `svg`.
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
