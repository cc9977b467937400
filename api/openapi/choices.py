"""Export the registries of datasets, model families, layouts, alignments and formats.

`make docs` writes docs/choices.md for readers and embedreel/choices.json for the command line, which must not import
core. A test compares both files with the registries.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from core.data.sources import SOURCES
from core.domain.families import FAMILIES
from core.domain.formats import FORMATS
from core.domain.layouts import ALIGNMENTS, LAYOUTS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "choices.md"
CLIENT = ROOT / "embedreel" / "choices.json"

Row = Sequence[str]


def client_text() -> str:
    """Return the values of the fields that the command line offers, by field, as JSON."""
    choices = {"project.method": list(LAYOUTS), "align.method": list(ALIGNMENTS), "render.formats": list(FORMATS)}
    return json.dumps(choices, indent=2) + "\n"


def document_text() -> str:
    """Return every registry as a Markdown table."""
    sections = (
        _section(
            "Datasets",
            "Values of a run's `dataset`. docs/datasets.md explains them.",
            ("`kind`", "name", "description"),
            ((f"`{kind}`", source.FORM, source.DESCRIPTION) for kind, source in SOURCES.items()),
        ),
        _section(
            "Model families",
            "Values of `model_type` in the config.json of a checkpoint. docs/backbones.md explains them.",
            ("family", "`model_type`", "embedding"),
            ((family.name, f"`{name}`", family.pooling) for name, family in FAMILIES.items()),
        ),
        _section(
            "Layout methods",
            "Values of `project.method`. docs/layouts.md compares them.",
            ("method", "description", "`project` options", "default `align.method`", "required package"),
            (
                (
                    f"`{name}`",
                    method.description,
                    ", ".join(f"`{option}`" for option in method.options) or "-",
                    f"`{method.usual_alignment}`",
                    f"`embedreel[{name}]`: {method.package}" if method.package else "-",
                )
                for name, method in LAYOUTS.items()
            ),
        ),
        _section(
            "Alignments",
            "Values of `align.method`.",
            ("method", "description"),
            ((f"`{name}`", alignment.description) for name, alignment in ALIGNMENTS.items()),
        ),
        _section(
            "Formats of the film",
            "Values of `render.formats`. A GIF is always made.",
            ("format", "path", "media type", "description"),
            (
                (f"`{name}`", f"`/v1/runs/{{id}}/{made.file}`", f"`{made.media_type}`", made.description)
                for name, made in FORMATS.items()
            ),
        ),
    )
    lines = [
        "# What a run can choose",
        "",
        "`make docs` writes this page from the tables in `core`. A test fails if the page is out of date.",
    ]
    return "\n".join([*lines, *(line for section in sections for line in section)]) + "\n"


def write() -> None:
    """Write both files."""
    DOCUMENT.write_text(document_text())
    CLIENT.write_text(client_text())


def _section(title: str, introduction: str, columns: Row, rows: Iterable[Row]) -> Iterator[str]:
    yield from ("", f"## {title}", "", introduction, "")
    for row in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(row)} |"
