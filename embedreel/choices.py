"""The values that fields of a run may have in this version. `make openapi` writes choices.json."""

import json
from importlib import resources

CHOICES: dict[str, list[str]] = json.loads(resources.files("embedreel").joinpath("choices.json").read_text())
"""Values by field."""


def in_words(field: str) -> str:
    """Return the values of a field as a phrase.

    >>> in_words("render.formats")
    'gif, mp4 or webp'
    """
    *others, last = CHOICES[field]
    return f"{', '.join(others)} or {last}"
