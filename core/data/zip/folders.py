"""Class folders: which split and which class each image of an archive belongs to, by the folders that it lies in."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.data.splits import role_of
from core.data.zip.entry_names import shown
from core.errors import InvalidDatasetError

FLAT = 0
IN_CLASSES = 1
IN_SPLITS = 2
"""Folders above an image."""


class Place(NamedTuple):
    """What is known of an image before it is read: its split, None where nothing says it, and its class."""

    split: str | None
    label: str


def wrapping(names: Sequence[str], *, beside: Sequence[str] = ()) -> str:
    """The one top folder that holds everything and says nothing, with a slash; empty where there is none.

    Args:
        names: of the images.
        beside: of the files that list them.

    >>> wrapping(["pets/cat/1.jpg", "pets/dog/1.jpg"]), wrapping(["cat/1.jpg"])
    ('pets/', '')
    """
    tops = {name.partition("/")[0] for name in (*names, *beside)}
    top = f"{next(iter(tops), '')}/"
    if len(tops) != 1 or not all(name.startswith(top) for name in (*names, *beside)):
        return ""
    listed = any(name.count("/") == 1 for name in beside)
    return top if listed or any(name.count("/") > IN_CLASSES for name in names) else ""


def by_folder(names: Sequence[str]) -> list[Place]:
    """Places by `SPLIT/CLASS/image`, or by `CLASS/image`.

    Args:
        names: of the images, below what wraps them.

    Raises:
        InvalidDatasetError: an image lies in no class folder, or deeper than in one.
    """
    tops = {name.partition("/")[0] for name in names if "/" in name}
    in_splits = bool(tops) and all(role_of(top) for top in tops)
    for name in names:
        depth, wanted = name.count("/"), IN_SPLITS if in_splits else IN_CLASSES
        if depth < wanted:
            raise _in_no_class(name)
        if depth > wanted:
            raise _too_deep(name, in_splits=in_splits)
    parts = [name.split("/") for name in names]
    return [Place(part[0] if in_splits else None, part[-2]) for part in parts]


def refuse_clashes(labels: Iterable[str]) -> None:
    """Check that no two class names differ in case or in spaces around them only.

    Raises:
        InvalidDatasetError: two do.
    """
    alike = defaultdict(set)
    for label in labels:
        alike[label.strip().casefold()].add(label)
    for spellings in alike.values():
        if len(spellings) > 1:
            one, other, *_ = sorted(spellings)
            raise InvalidDatasetError(
                f"The classes {shown(one)!r} and {shown(other)!r} differ in case or spaces only: give them one "
                "name, or two that differ more."
            )


def in_order(labels: Iterable[str]) -> list[str]:
    """Class names, sorted; as numbers where all are.

    >>> in_order({"10", "9", "1"}), in_order({"b", "a"})
    (['1', '9', '10'], ['a', 'b'])
    """
    names = sorted(set(labels))
    return sorted(names, key=int) if all(name.isascii() and name.isdecimal() for name in names) else names


def _in_no_class(name: str) -> InvalidDatasetError:
    top, slash, _ = name.partition("/")
    where = f"directly in the folder of the split {shown(top)!r}" if slash else "in no folder"
    return InvalidDatasetError(
        f"{shown(name)!r} lies {where}: put each image into a folder that is named by its class, or list the images "
        "with their labels in a manifest.csv at the top."
    )


def _too_deep(name: str, *, in_splits: bool) -> InvalidDatasetError:
    top = name.partition("/")[0]
    more = "" if in_splits else f", and {shown(top)!r} is no split: those are train, val and test"
    return InvalidDatasetError(
        f"{shown(name)!r} lies too deep{more}. Put images directly into class folders, as in train/CLASS/image.jpg or "
        "CLASS/image.jpg."
    )
