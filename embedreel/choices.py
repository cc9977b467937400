"""The values that fields of a run take, as the service of this version offers them; `make openapi` writes the file."""

import json
from importlib import resources

CHOICES: dict[str, list[str]] = json.loads(resources.files("embedreel").joinpath("choices.json").read_text())
"""By field."""


def in_words(field: str) -> str:
    """The values of a field in words.

    >>> in_words("render.formats")
    'gif, mp4 or webp'
    """
    *others, last = CHOICES[field]
    return f"{', '.join(others)} or {last}"
