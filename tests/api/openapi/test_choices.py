"""The generated documents agree with the tables, and each entry is explained on its page."""

import pytest

from api.openapi import choices
from core.data.sources import SOURCES
from core.domain.families import FAMILIES
from core.domain.formats import FORMATS
from core.domain.layouts import ALIGNMENTS, LAYOUTS
from embedreel.choices import CHOICES

TABLES = (SOURCES, FAMILIES, LAYOUTS, ALIGNMENTS, FORMATS)


@pytest.mark.parametrize(
    ("file", "text"), [(choices.DOCUMENT, choices.document_text), (choices.CLIENT, choices.client_text)]
)
def test_choices__are_the_committed_ones(file, text):
    assert file.read_text() == text(), "A table has changed: run `make openapi` and commit."


@pytest.mark.parametrize("table", TABLES)
def test_choices__each_entry_has_a_row(table):
    document = choices.document_text()
    for name in table:
        assert f"`{name}`" in document


def test_choices__the_command_line_offers_them():
    assert {
        "project.method": list(LAYOUTS),
        "align.method": list(ALIGNMENTS),
        "render.formats": list(FORMATS),
    } == CHOICES
