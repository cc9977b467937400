"""The table of figures. A figure is one file and one line of this table.

Drawing, URL paths, OpenAPI, the command line and docs/figures.md come from the table. `make docs` writes the generated
documents.
"""

from core.figures import confusion, contact_sheet, curves
from core.figures.figure import RunFigure

FIGURES: tuple[RunFigure, ...] = (
    curves.FIGURE,
    contact_sheet.FIGURE,
    confusion.FIGURE,
)
