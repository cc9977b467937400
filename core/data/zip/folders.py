"""Derive the split and the class of each image of an archive from its folders."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.data.splits import role_of
from core.data.zip.entry_names import shown
from core.errors import InvalidDatasetError

FLAT = 0
IN_CLASSES = 1
IN_SPLITS = 2
"""Number of folders above an image: none, CLASS, or SPLIT/CLASS."""


class Place(NamedTuple):
    """The split and the class of an image.

    Attributes:
        split: name of the split as the user wrote it. None if the archive does not state splits.
        label: name of the class.
    """

    split: str | None
    label: str


def wrapping(names: Sequence[str], *, beside: Sequence[str] = ()) -> str:
    """Return the one top folder that contains all images and manifests, unless it is a class folder.

    The folder is a class folder if all images are directly in the folder, and no manifest is.

    >>> wrapping(["pets/cat/1.jpg", "pets/dog/1.jpg"]), wrapping(["cat/1.jpg"])
    ('pets/', '')

    Args:
        names: names of the images.
        beside: names of the manifests.

    Returns:
        The name of the folder with a slash; empty if there is no such folder.
    """
    tops = {name.partition("/")[0] for name in (*names, *beside)}
    top = f"{next(iter(tops), '')}/"
    if len(tops) != 1 or not all(name.startswith(top) for name in (*names, *beside)):
        return ""
    listed = any(name.count("/") == 1 for name in beside)
    return top if listed or any(name.count("/") > IN_CLASSES for name in names) else ""


def by_folder(names: Sequence[str]) -> list[Place]:
    """Return the place of each image by its name, `SPLIT/CLASS/image` or `CLASS/image`.

    The top folders are splits if all their names state a split.

    Args:
        names: names of the images, without the wrapping folder.

    Returns:
        The places, in the order of `names`.

    Raises:
        InvalidDatasetError: an image is in no class folder, or in a folder inside a class folder.
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
    """Check that no two class names differ only in case or in surrounding spaces.

    Args:
        labels: class names.

    Raises:
        InvalidDatasetError: two class names differ only in case or in surrounding spaces.
    """
    alike = defaultdict(set)
    for label in labels:
        alike[label.strip().casefold()].add(label)
    for spellings in alike.values():
        if len(spellings) > 1:
            one, other, *_ = sorted(spellings)
            raise InvalidDatasetError(
                f"The classes {shown(one)!r} and {shown(other)!r} differ only in case or spaces: give them one "
                "name, or two names that differ more."
            )


def in_order(labels: Iterable[str]) -> list[str]:
    """Return the different class names in ascending order. If all are numbers, sort by value, else by code point.

    >>> in_order({"10", "9", "1"}), in_order({"b", "a"})
    (['1', '9', '10'], ['a', 'b'])

    Args:
        labels: class names.
    """
    names = sorted(set(labels))
    return sorted(names, key=int) if all(name.isascii() and name.isdecimal() for name in names) else names


def _in_no_class(name: str) -> InvalidDatasetError:
    top, slash, _ = name.partition("/")
    where = f"directly in the folder of the split {shown(top)!r}" if slash else "in no folder"
    return InvalidDatasetError(
        f"{shown(name)!r} is {where}: put each image into a folder that has the name of its class, or list the images "
        "with their labels in a manifest.csv at the top."
    )


def _too_deep(name: str, *, in_splits: bool) -> InvalidDatasetError:
    top = name.partition("/")[0]
    more = "" if in_splits else f", and {shown(top)!r} is not a split (train, val or test)"
    return InvalidDatasetError(
        f"{shown(name)!r} is too deep{more}. Put images directly into class folders, as in train/CLASS/image.jpg or "
        "CLASS/image.jpg."
    )
