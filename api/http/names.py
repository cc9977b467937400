"""Names that users give to runs, comparisons and keys."""

from typing import Annotated

from pydantic import Field

from core.domain.frozen import ONE_LINE

NAME_LENGTH = 120

Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=ONE_LINE,
        description="Shown in the film's title. Without it: the dataset and the model.",
    ),
]
