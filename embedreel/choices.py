"""Allowed values of fields of a run, from choices.json. `make openapi` writes that file from the service's tables."""

import json
from importlib import resources

CHOICES: dict[str, list[str]] = json.loads(resources.files("embedreel").joinpath("choices.json").read_text())
"""Allowed values, by path of the field."""


def in_words(field: str) -> str:
    """Return the allowed values of a field as a phrase.

    >>> in_words("render.formats")
    'gif, mp4 or webp'
    """
    *others, last = CHOICES[field]
    return f"{', '.join(others)} or {last}"
