"""What the service says of its figures, and which of them a run has. Plain data: drawing is `core.figures`.

The table of figures is `core.figures.FIGURES`. `python -m core.figures.document` writes what it declares to
figures.json, which this module reads: the API and the plan never import what draws.
"""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.domain.frozen import Frozen

FigureFormat = Literal["png", "svg", "gif", "mp4", "webp"]
MEDIA_TYPES: Mapping[str, str] = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webp": "image/webp",
}
"""By format."""
FigureInput = Literal["film", "log", "probe", "checkpoints"]
"""What a figure may read; `core.figures.figure.FigureInputs` says what each is."""
OF_COMPARISON: frozenset[FigureInput] = frozenset({"film"})
"""What a comparison has of these: it has trained nothing."""

DECLARED = Path(__file__).with_name("figures.json")
DRAWN_FILE = "figures.json"
"""The record of the figures in a render's artifact."""


class FigureSpec(Frozen):
    """What a figure declares.

    Attributes:
        name: in addresses and on the command line.
        title: a few words.
        shows: one sentence.
        formats: in which it is drawn; the first is the default.
        reads: what it is drawn from.
        version: raised when what it draws changes: a run that is drawn anew then draws it anew.
        stem: the path of its files in a render's artifact without the suffix; None: `figures/<name>`.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    title: Annotated[str, Field(min_length=1, max_length=60)]
    shows: Annotated[str, Field(min_length=1, max_length=300)]
    formats: Annotated[tuple[FigureFormat, ...], Field(min_length=1)]
    reads: Annotated[tuple[FigureInput, ...], Field(min_length=1)]
    version: int = 1
    stem: str | None = None

    def file(self, suffix: str) -> str:
        """Path of one of its files in a render's artifact."""
        return f"{self.stem or f'figures/{self.name}'}.{suffix}"

    @property
    def files(self) -> tuple[str, ...]:
        """Paths of all of them, in the order of the formats."""
        return tuple(map(self.file, self.formats))


class MissingFigure(Frozen):
    """A figure that could not be drawn, and why."""

    name: str
    reason: str


class DrawnFigures(Frozen):
    """Which figures a render has drawn, by name, and which it could not draw."""

    drawn: tuple[str, ...]
    missing: tuple[MissingFigure, ...] = ()

    def why_missing(self, name: str) -> str | None:
        """Why a figure could not be drawn; None where nothing is known of that."""
        return next((one.reason for one in self.missing if one.name == name), None)


_SPECS = TypeAdapter(tuple[FigureSpec, ...])


@cache
def declared() -> Mapping[str, FigureSpec]:
    """All figures of this version by name, in the order of the table."""
    return {spec.name: spec for spec in _SPECS.validate_json(DECLARED.read_text())}


def versions(available: Collection[FigureInput] | None = None) -> list[str]:
    """What a drawing depends on of the figures that can be drawn from these inputs; None: from all."""
    return [
        f"{spec.name} {spec.version} {' '.join(spec.formats)}"
        for spec in declared().values()
        if available is None or set(spec.reads) <= set(available)
    ]


def as_json(specs: tuple[FigureSpec, ...]) -> str:
    """The text of figures.json: a figure a line."""
    lines = (spec.model_dump_json(exclude_defaults=True) for spec in specs)
    return "[\n" + ",\n".join(lines) + "\n]\n"
