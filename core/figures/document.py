"""Documents that are generated from the table of figures: core/domain/figures.json and docs/figures.md.

`make docs` writes both, and a test compares them with the table.
"""

from pathlib import Path

from core.domain.figures import DECLARED, MEDIA_TYPES, FigureSpec, as_json
from core.figures import FIGURES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "figures.md"

_HEAD = """\
<!-- Written by `make docs` from core/figures: change it there. -->

# Figures

A run has figures in addition to its film. They are drawn after the film, with the same `render.theme`, sides and
frames per second. `POST /v1/runs/{id}/renders` draws them with other settings. If a figure cannot be drawn, the run
and the film still succeed, and the list of figures contains the reason. A comparison has only the figures that read
nothing but the film.

A figure with a film is always drawn as GIF. It is drawn as MP4 or WebP if `render.formats` lists that format, as is
the film of the run.

    embedreel figures RUN                     # lists the figures
    embedreel figures RUN curves              # saves curves.png
    curl $URL/v1/runs/$RUN/figures            # name, title, formats, links, and the reason for each missing figure
    curl $URL/v1/runs/$RUN/figures/curves.png
    curl $URL/v1/runs/$RUN/figures/curves     # in the first format of the figure

`GET /v1/runs/{id}/curves.png` and `…/contact-sheet.png` are older paths of two figures.

| name | shows | formats |
|---|---|---|
"""

_TAIL = """
## Add a figure

A figure is one file in `core/figures/` and one line in the table `FIGURES` in `core/figures/__init__.py`. The file
has a function `draw(inputs)` that returns a `Drawing`, and a constant `FIGURE` that declares name, title, content,
formats and inputs. `core/figures/figure.py` describes inputs and drawings. `make docs` writes this page,
`core/domain/figures.json` and `docs/openapi.json`. Then the worker, the API and the command line know the figure.
Raise the `version` of a figure when its drawing changes, so that a new drawing of a run contains the new figure.
"""


def page() -> str:
    """Return the text of docs/figures.md."""
    specs = [figure.spec for figure in FIGURES]
    rows = "".join(f"| `{spec.name}` | {spec.shows} | {', '.join(spec.formats)} |\n" for spec in specs)
    return _HEAD + rows + "".join(map(_section, specs)) + _TAIL


def _section(spec: FigureSpec) -> str:
    addresses = ", ".join(f"`…/figures/{spec.name}.{suffix}` ({MEDIA_TYPES[suffix]})" for suffix in spec.formats)
    return f"\n## {spec.title}\n\n{spec.shows} Inputs: {', '.join(spec.reads)}.\n\n{addresses}\n"


def declared_text() -> str:
    """Return the text of core/domain/figures.json."""
    return as_json(tuple(figure.spec for figure in FIGURES))


def write() -> None:
    """Write docs/figures.md and core/domain/figures.json."""
    DECLARED.write_text(declared_text())
    PAGE.write_text(page())
