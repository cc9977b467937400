"""Fields of a spec whose values are the names in a table. They behave like a `Literal` of these names."""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Protocol

from pydantic import GetPydanticSchema
from pydantic_core import core_schema


class Described(Protocol):
    """An entry of a table.

    Attributes:
        description: description in the API's documentation, without a full stop.
    """

    @property
    def description(self) -> str:
        """The description, without a full stop."""


def one_of(names: Iterable[str]) -> GetPydanticSchema:
    """Return the annotation of a `str` field that accepts only these names.

    >>> from typing import Annotated
    >>> from pydantic import TypeAdapter
    >>> TypeAdapter(Annotated[str, one_of(["gif", "mp4"])]).json_schema()
    {'enum': ['gif', 'mp4'], 'type': 'string'}
    """
    allowed = list(names)
    return GetPydanticSchema(lambda _source, _handler: core_schema.literal_schema(allowed))


def describe(table: Mapping[str, Described]) -> str:
    """Return a table as one sentence. Consecutive entries with the same description are named together."""
    groups = groupby(table, key=lambda name: table[name].description)
    return "; ".join(f"{', '.join(names)}: {description}" for description, names in groups) + "."
