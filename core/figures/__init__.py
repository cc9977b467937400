"""The table of a run's figures. A figure is one module of this package and one line of the table.

Drawing, URLs, OpenAPI, the command line and docs/figures.md are derived from the table. `make docs` writes the
generated files.
"""

from core.figures import confusion, contact_sheet, curves
from core.figures.figure import RunFigure

FIGURES: tuple[RunFigure, ...] = (
    curves.FIGURE,
    contact_sheet.FIGURE,
    confusion.FIGURE,
)
