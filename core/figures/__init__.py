"""The figures of a run beside its film: one file each, and one line each in this table.

Drawing, addresses, OpenAPI, the command line and docs/figures.md are derived from the table; `make docs` writes what is
generated of it.
"""

from core.figures import confusion, contact_sheet, curves
from core.figures.figure import RunFigure

FIGURES: tuple[RunFigure, ...] = (
    curves.FIGURE,
    contact_sheet.FIGURE,
    confusion.FIGURE,
)
