"""What is generated of the table of figures: core/domain/figures.json, which the service reads, and docs/figures.md.

`make docs` writes both; a test holds them against the table.
"""

from pathlib import Path

from core.domain.figures import DECLARED, MEDIA_TYPES, FigureSpec, as_json
from core.figures import FIGURES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "figures.md"

_HEAD = """\
<!-- Written by `make docs` from core/figures: change it there. -->

# Figures

A run has figures beside its film. They are drawn when the film is done, with its `render.theme`, sides and frames a
second; `POST /v1/runs/{id}/renders` draws them otherwise. A figure that cannot be drawn fails neither the film nor the
run: the list says why it is missing. A comparison has those figures that read the film only.

    embedreel figures RUN                     # the list
    embedreel figures RUN curves              # saves curves.png
    curl $URL/v1/runs/$RUN/figures            # name, title, formats, links, what is missing and why
    curl $URL/v1/runs/$RUN/figures/curves.png
    curl $URL/v1/runs/$RUN/figures/curves     # in the figure's first format

`GET /v1/runs/{id}/curves.png` and `…/contact-sheet.png` are older addresses of two of them.

| name | shows | formats |
|---|---|---|
"""

_TAIL = """
## To add one

A figure is one file in `core/figures/` and one line in the table `FIGURES` in `core/figures/__init__.py`. The file
holds `draw(inputs)`, which returns a `Drawing`, and `FIGURE`, which declares name, title, what it shows, formats and
what it reads: `core/figures/figure.py` says what can be read and what a drawing is. `make docs` writes this page,
`core/domain/figures.json` and `docs/openapi.json` anew; worker, API and command line know the figure then. A figure
that draws something else than before raises its `version`: a run that is drawn anew has it then.
"""


def page() -> str:
    """The text of docs/figures.md."""
    specs = [figure.spec for figure in FIGURES]
    rows = "".join(f"| `{spec.name}` | {spec.shows} | {', '.join(spec.formats)} |\n" for spec in specs)
    return _HEAD + rows + "".join(map(_section, specs)) + _TAIL


def _section(spec: FigureSpec) -> str:
    addresses = ", ".join(f"`…/figures/{spec.name}.{suffix}` ({MEDIA_TYPES[suffix]})" for suffix in spec.formats)
    return f"\n## {spec.title}\n\n{spec.shows} It reads: {', '.join(spec.reads)}.\n\n{addresses}\n"


def declared_text() -> str:
    """The text of core/domain/figures.json."""
    return as_json(tuple(figure.spec for figure in FIGURES))


def write() -> None:
    """Write docs/figures.md and core/domain/figures.json."""
    DECLARED.write_text(declared_text())
    PAGE.write_text(page())
