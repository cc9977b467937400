"""Declarations of the figures, and the record of the figures of a run. `core.figures` draws them.

The table of figures is `core.figures.FIGURES`. `python -m core.figures.document` writes its declarations to
figures.json, and this module reads that file. So the API and the plan do not import the drawing code.
"""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.domain.formats import FORMATS, GIF
from core.domain.frozen import Frozen

FigureFormat = Literal["png", "svg", "gif", "mp4", "webp"]
MEDIA_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webp": "image/webp",
}
"""Media type of each format."""
FigureInput = Literal["film", "log", "probe", "checkpoints"]
"""Inputs of figures. `core.figures.figure.FigureInputs` describes each of them."""
OF_COMPARISON: frozenset[FigureInput] = frozenset({"film"})
"""Inputs that a comparison has. A comparison trains nothing, so it has no log and no checkpoints of its own."""

DECLARED = Path(__file__).with_name("figures.json")
DRAWN_FILE = "figures.json"
"""Name of the file with the `DrawnFigures` in the artifact of `render`."""


class FigureSpec(Frozen):
    """Declaration of a figure.

    Attributes:
        name: name in URL paths and on the command line.
        title: title of a few words.
        shows: content, in one sentence.
        formats: file formats; the first is the default. `formats_for` selects those of one run.
        reads: inputs that the figure is drawn from.
        version: raise it when the drawing changes. A new drawing of a run then draws the figure again.
        stem: path of the files in the artifact of `render`, without the suffix; None means `figures/<name>`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    title: Annotated[str, Field(min_length=1, max_length=60)]
    shows: Annotated[str, Field(min_length=1, max_length=300)]
    formats: Annotated[tuple[FigureFormat, ...], Field(min_length=1)]
    reads: Annotated[tuple[FigureInput, ...], Field(min_length=1)]
    version: int = 1
    stem: str | None = None

    def file(self, suffix: str) -> str:
        """Return the path of the file with this suffix in the artifact of `render`."""
        return f"{self.stem or f'figures/{self.name}'}.{suffix}"

    def formats_for(self, film_formats: Collection[str]) -> tuple[FigureFormat, ...]:
        """Return the formats in which the figure of a run is drawn, in the order of `formats`.

        Pictures and GIFs are always drawn. Another film format is drawn if the film of the run has it too.

        Args:
            film_formats: formats of the film of the run, `render.formats`.
        """
        return tuple(one for one in self.formats if one not in FORMATS or one == GIF or one in film_formats)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of the files in all formats, in their order."""
        return tuple(map(self.file, self.formats))


class MissingFigure(Frozen):
    """A figure that could not be drawn, and the reason."""

    name: str
    reason: str


class DrawnFigures(Frozen):
    """Names of the drawn figures, and the figures that could not be drawn."""

    drawn: tuple[str, ...]
    missing: tuple[MissingFigure, ...] = ()

    def why_missing(self, name: str) -> str | None:
        """Return why a figure could not be drawn; None if no reason is recorded."""
        return next((one.reason for one in self.missing if one.name == name), None)


_SPECS = TypeAdapter(tuple[FigureSpec, ...])


@cache
def declared() -> Mapping[str, FigureSpec]:
    """Return the declarations of all figures by name, in the order of the table."""
    return {spec.name: spec for spec in _SPECS.validate_json(DECLARED.read_text())}


def versions(available: Collection[FigureInput] | None = None) -> list[str]:
    """Return name, version and formats of each figure that can be drawn from these inputs, as part of an artifact key.

    Args:
        available: the available inputs; None means all inputs.
    """
    return [
        f"{spec.name} {spec.version} {' '.join(spec.formats)}"
        for spec in declared().values()
        if available is None or set(spec.reads) <= set(available)
    ]


def as_json(specs: tuple[FigureSpec, ...]) -> str:
    """Return the text of figures.json, with one figure on each line."""
    lines = (spec.model_dump_json(exclude_defaults=True) for spec in specs)
    return "[\n" + ",\n".join(lines) + "\n]\n"
