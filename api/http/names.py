"""Names that users give to runs, comparisons and keys."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import ONE_LINE

NAME_LENGTH = 120
"""Maximum length of a name, characters. Chosen by hand; not measured."""

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=ONE_LINE,
        description="Shown in the film's title. The default is the dataset and the model; for a comparison, the names "
        "of its runs; for a new drawing, the name of the drawn run.",
    ),
]
